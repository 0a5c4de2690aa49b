"""The code and settings that made the files a recipe keeps, in its made_by.json, and whether they have changed since.

The file holds an entry for each command that keeps files, `study` and `sweep`:

    code         sha256 over the hashes (`code_hash`) of the code that decides the figures: the scripts of the stages
                 that the recipe needs, its source, its nets and its kinds of generators, with all that they import.
                 The stages that only check settings or write pages do not count (RENDERING).
    settings     sha256 of the values in params.yaml as they were run, and of those in sweep.yaml. Comments, and the
                 sections that change no result (PLACES), do not count.
    libraries    the names and versions of `code_hash.LIBRARIES`, for readers: they are compared with nothing, as they
                 vary from machine to machine
    files        path below the recipe's folder -> sha256, for each file kept

It holds no date and nothing of the machine, so the same run by the same code writes the same bytes. Tables in docs that
are quoted from a recipe end in a sentence, `State.mark`, unless its figures are those of the present code and settings
(`studies.quotes`).

The sentence says no more than "an earlier version of the code", and names neither a version nor how many changes lie
between. A mark that did would have to be written again with every change to the code. This one turns up in the first
change after a run and then stays until the recipe runs again, so each run costs one filling of the docs
(`touchstone studies --fill`), and branches that change the code write the same words, which git merges. A recipe that
takes hours may thus keep older figures, but not unmarked.

The default, recipes/digits, has no entry: its files are copies of the outputs in dvc.lock, whose code and parameters
`make locked` compares with the present ones.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import Any

from touchstone.code_hash import file_hash, imports, library_versions
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.config.schema import generator
from touchstone.config.settings import Settings
from touchstone.data import sources
from touchstone.errors import TouchstoneError
from touchstone.models import nets
from touchstone.studies.commands import locked_outputs
from touchstone.studies.hashes import files_in, hash_of

FILE = "made_by.json"
DEFAULT = "digits"
KEPT = {
    "study": ("metrics.json", "report.md", "figures"),
    "sweep": ("experiments.csv", "learning_curve.png"),
}
"""Command -> the files and folders that it keeps beside a recipe."""
RENDERING = ("settings", "report", "verdict")
"""The stages whose code decides no figure: they check settings and write pages."""
ONLY_WITH = {
    **dict.fromkeys(("encoder", "filters", "pipelines", "fit", "collect", "synthesize"), "generators"),
    "transform": "transforms",
    "tune": "tuned",
    "start": "finetunes",
    "teach": "students",
    "ensemble": "ensembles",
    "explain": "explain.runs",
}
"""Stage -> the settings without which it computes nothing."""
PLACES = ("machine", "source")
"""The sections of params.yaml that say where data and processes are and change no result."""


class State(Enum):
    """Standing of a recipe's kept files beside the present code and settings: a line for people, a mark for docs."""

    CURRENT = "made by the present code and settings", ""
    LOCKED = "as in dvc.lock, which `make locked` compares with the code", ""
    EARLIER = "made by an earlier version of the code", "Made by an earlier version of the code."
    OTHER_SETTINGS = (
        "made with other settings than the recipe has now",
        "The recipe's settings have changed since these figures were made.",
    )
    UNRECORDED = "made by an unrecorded version of the code", "Made by an unrecorded version of the code."
    ALTERED = "changed since the run that made them", "Changed since the run that made them."
    NOT_LOCKED = "not those of dvc.lock", ""
    NOTHING = "nothing kept", ""

    def __init__(self, text: str, mark: str) -> None:
        self.text = text
        self.mark = mark


@dataclass(frozen=True)
class Maker:
    """The code and settings that decide the figures of a run; see the head of this file."""

    code: str
    settings: str
    libraries: list[str]


def maker(text: str, root: Path, values: dict[str, list[Any]] | None = None) -> Maker:
    """Return what would make the figures of a params.yaml with the content `text` now.

    root: the folder of the project, with stages/. values: those of sweep.yaml, for a sweep. Raises TouchstoneError
    where the settings have a mistake.
    """
    settings = {key: value for key, value in yaml.parse(text).items() if key not in PLACES}
    canonical = json.dumps([settings, values], sort_keys=True)
    files = imports(*_code_files(settings_of(text), root / "stages"))
    code = "".join(sorted(map(file_hash, files)))  # the stages of a copy may import the package of another checkout
    return Maker(
        hashlib.sha256(code.encode()).hexdigest(), hashlib.sha256(canonical.encode()).hexdigest(), library_versions()
    )


def _code_files(settings: Settings, stages: Path) -> Iterable[Path]:
    """Yield the scripts of the stages that decide the figures, and the files that are named in the settings."""
    for script in sorted(stages.glob("*.py")):
        needed = script.stem not in ONLY_WITH or attrgetter(ONLY_WITH[script.stem])(settings)
        if needed and script.stem not in RENDERING:
            yield script
    yield sources.file_of(settings.data.source)
    encoders = [settings.audit.encoder] if settings.generators else []
    for net in {model.net for model in (*settings.trained.values(), *encoders)}:
        yield nets.file_of(net)
    for config in settings.generators.values():
        yield generator.FOLDER / config.kind / config.CODE


def record(folder: Path, command: str, made_by: Maker) -> None:
    """Write down what made the files that `command` has kept in the recipe's folder; the default has no such record."""
    if folder.name == DEFAULT:
        return
    entries = _records(folder) | {command: asdict(made_by) | {"files": _kept_files(folder, command)}}
    text = json.dumps({name: entries[name] for name in KEPT if name in entries}, indent=2)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def state(folder: Path, command: str, root: Path) -> State:
    """Return how the files that `command` keeps in a recipe's folder stand to the present code and settings.

    Raises TouchstoneError where the recipe's record or its settings cannot be read.
    """
    entry, files = _records(folder).get(command), _kept_files(folder, command)
    if not entry and not files:
        return State.NOTHING
    if folder.name == DEFAULT and command == "study":
        return State.LOCKED if _is_locked(folder, root) else State.NOT_LOCKED
    if not entry:
        return State.UNRECORDED
    if entry["files"] != files:
        return State.ALTERED
    now = present(folder, command, root)
    if entry["settings"] != now.settings:
        return State.OTHER_SETTINGS
    return State.CURRENT if entry["code"] == now.code else State.EARLIER


def present(folder: Path, command: str, root: Path) -> Maker:
    """Return what would make a recipe's figures now. Raises TouchstoneError where its settings have a mistake."""
    swept = folder / "sweep.yaml"
    values = yaml.parse(swept.read_text(encoding="utf-8")) if command == "sweep" and swept.is_file() else None
    try:
        return maker((folder / "params.yaml").read_text(encoding="utf-8"), root, values)
    except TouchstoneError as error:
        raise TouchstoneError(f"recipes/{folder.name}: {error}") from error


def mark(source: Path, root: Path) -> str:
    """Return the sentence for docs that quote the file `source` of a recipe; "" where none is needed."""
    folder = source.parent.parent if source.parent.name == "figures" else source.parent
    return state(folder, "sweep" if source.name in KEPT["sweep"] else "study", root).mark


def states(root: Path) -> list[tuple[str, str, State]]:
    """Return (recipe, command, state) for all recipes: each command that has kept files, or one line for none."""
    listed = []
    for folder in sorted(file.parent for file in (root / "recipes").glob("*/params.yaml")):
        each = [(folder.name, command, state(folder, command, root)) for command in KEPT]
        kept = [line for line in each if line[2] is not State.NOTHING]
        listed += kept or [(folder.name, "sweep" if (folder / "sweep.yaml").is_file() else "study", State.NOTHING)]
    return listed


def _records(folder: Path) -> dict[str, Any]:
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        complete = all({"code", "settings", "files"} <= entry.keys() for entry in entries.values())
    except (ValueError, AttributeError) as error:
        raise TouchstoneError(f"{file}: not readable ({error}); `git checkout` it, or run the recipe again") from error
    if not complete:
        raise TouchstoneError(f"{file}: lacks code, settings or files; `git checkout` it, or run the recipe again")
    return dict(entries)


def _kept_files(folder: Path, command: str) -> dict[str, str]:
    """Path below the folder -> sha256, for each file that the command keeps there."""
    paths = [folder / name for name in KEPT[command]]
    files = [inner for path in paths for inner in (files_in(path) if path.is_dir() else [path]) if inner.is_file()]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _is_locked(folder: Path, root: Path) -> bool:
    """Whether the default's kept files are outputs in dvc.lock, and its settings those of the project."""
    if not (root / "dvc.lock").is_file():
        return False
    locked = {path: md5 for _, path, md5 in locked_outputs(root)}
    kept = [name for name in KEPT["study"] if (folder / name).exists()]
    same_settings = (folder / "params.yaml").read_bytes() == (root / "params.yaml").read_bytes()
    return same_settings and all(hash_of(folder / name) == locked.get(f"metrics/{name}") for name in kept)
