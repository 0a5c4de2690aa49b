"""The package's rooms, computed from the source: imports run one way, in no circle; tests lie beside what they test."""

import ast
import re
from pathlib import Path

import pytest

from kit.project import ROOT
from touchstone.code_hash import PACKAGE

# Each room may import from itself and from those before it.
ROOMS = (
    *("arithmetic", "errors", "seeds", "code_hash", "notes", "stage", "hub"),
    *("config", "data", "models", "evaluation", "training", "generators", "explain", "audit", "report", "studies"),
    *("export", "cluster", "cli"),
)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
LIBRARY_PATHS = (
    "arithmetic",
    "cluster",
    "report",
    "studies",
    "export",
    "cli",
    "notes",
    "stage",
    "config",
)  # rooms that may know where the project's files lie


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """The project's modules that a file names in its imports, those for type checkers and inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "touchstone":
            inner = (node.module or "").removeprefix("touchstone").removeprefix(".")
            for alias in node.names:
                full = f"{inner}.{alias.name}".removeprefix(".")
                names.add(full if full in MODULES else inner)
        elif isinstance(node, ast.Import):
            names |= {a.name.removeprefix("touchstone.") for a in node.names if a.name.startswith("touchstone.")}
    return names - {""}


IMPORTS = {name: imported(path) for name, path in MODULES.items()}


def room(name: str) -> str:
    return name.split(".")[0]


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in MODULES} <= set(ROOMS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name: str) -> None:
    for other in IMPORTS[name]:
        assert ROOMS.index(room(other)) <= ROOMS.index(room(name)), f"{name} imports {other}"


def test_no_files_import_one_another_in_a_circle() -> None:
    done: set[str] = set()

    def follow(name: str, chain: tuple[str, ...]) -> None:
        assert name not in chain, " -> ".join([*chain, name])
        if name not in done:
            for other in IMPORTS.get(name, ()):
                follow(other, (*chain, name))
            done.add(name)

    for name in MODULES:
        follow(name, ())


def test_the_schema_imports_nothing_but_itself() -> None:
    for name in MODULES:
        if name.startswith("config.schema"):
            assert all(other.startswith("config.schema") for other in IMPORTS[name]), name


def test_nets_sources_and_kinds_know_nothing_of_one_another() -> None:
    """Files whose names begin with an underscore are what several share."""
    for folder in ("models.nets", "data.sources"):
        for name in MODULES:
            own = name.removeprefix(f"{folder}.")
            if name.startswith(f"{folder}.") and not own.startswith("_"):
                others = {other for other in IMPORTS[name] if other.startswith(f"{folder}.")}
                assert all(other.removeprefix(f"{folder}.").startswith("_") for other in others), name
    kinds = tuple(f"generators.{kind}" for kind in ("dcgan", "ddpm", "diffusers"))
    for kind in ("dcgan", "ddpm", "diffusers"):
        for name in MODULES:
            if name.startswith(f"generators.{kind}"):
                others = {o for o in IMPORTS[name] if o.startswith(kinds)}
                assert all(other.startswith(f"generators.{kind}") for other in others), name


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) not in LIBRARY_PATHS])
def test_the_library_does_not_know_where_the_projects_files_lie(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert not re.search(r'(Path\(|/ )f?"(data|metrics)', text), "names of dependencies in dvc.lock are no paths"


def test_tests_lie_in_the_room_of_what_they_test() -> None:
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders <= {".", "pipeline", *ROOMS}, "pipeline: what runs the graph as a whole"


def test_no_test_imports_another_test_file() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] in ("conftest", *(p.stem for p in tests()))], path


def tests() -> list[Path]:
    return list((ROOT / "tests").rglob("test_*.py"))


def test_test_files_have_names_of_their_own() -> None:
    """Without packages, pytest cannot import two files of one name in one run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
