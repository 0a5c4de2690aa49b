"""data.source -> data/raw: the images as published, checked by hash, in a form that does not change again."""

from pathlib import Path

from touchstone.config import params
from touchstone.data.imageset import replaced
from touchstone.data.sources import load_source
from touchstone.stage import run

OLD = Path("data/raw")


def main() -> None:
    data = params.load().data
    with replaced(OLD) as folder:
        load_source(data.source).download(to=folder, path=Path(data.path), mirror=data.mirror, old=OLD)


if __name__ == "__main__":
    run(main)
