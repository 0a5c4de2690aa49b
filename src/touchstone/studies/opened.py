"""Opens a user's images as the pipeline does, in a temporary folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from touchstone.config.schema.data import Columns
from touchstone.data.remote import is_remote, local
from touchstone.data.sources import RawSet, load_source, options_of
from touchstone.errors import TouchstoneError
from touchstone.studies.detect import Place, place_of


@contextmanager
def opened(source: str, path: str, mirror: str = "", columns: Columns | None = None) -> Iterator[RawSet]:
    """Open the data set that a source reads at a path or an address. Raises TouchstoneError as the source does."""
    with tempfile.TemporaryDirectory() as folder, local(path, beside=Path(folder) / "raw") as found:
        yield _read(source, found, Path(folder), mirror, columns or Columns())


@contextmanager
def detected(path: str) -> Iterator[tuple[Place, RawSet]]:
    """Open the images at a path or an address by the source that fits; of an address, the place lies in its copy.

    Raises TouchstoneError as `place_of` and the source do, and on an address of a table alone.
    """
    with tempfile.TemporaryDirectory() as folder, local(path, beside=Path(folder) / "raw") as found:
        place = place_of(found)
        if is_remote(path) and place.path != found:
            raise TouchstoneError(
                f"{found}: is a table alone; give the address of the folder that holds its images, too"
            )
        yield place, _read(place.source, place.path, Path(folder), "", Columns(table=place.table))


def _read(source: str, path: Path, folder: Path, mirror: str, columns: Columns) -> RawSet:
    options = {"columns": columns} if "columns" in options_of(source) else {}
    (to := folder / "packed").mkdir()
    module = load_source(source)
    module.download(to=to, path=path, mirror=mirror, **options)
    raw: RawSet = module.read(to)
    return raw
