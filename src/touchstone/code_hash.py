"""Which files of this project a Python file imports, directly or not: what its results depend on. Runs nothing."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parent  # src/touchstone


def imports(script: Path) -> list[Path]:
    """The project's own files that `script` imports, itself first, then sorted.

    Imports inside functions and under `if TYPE_CHECKING` count; modules named at run time (importlib) do not.
    """
    found: set[Path] = set()
    todo = [script.resolve()]
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += _imported_files(file)
    return [script.resolve(), *sorted(found - {script.resolve()})]


def digest(files: Iterable[Path]) -> str:
    """sha256 over the contents of files, in the given order."""
    total = hashlib.sha256()
    for file in files:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def hashes(script: Path, *, root: Path) -> dict[str, str]:
    """Path below `root` -> sha256, of each file that `script` imports, itself first."""
    top = root.resolve()
    return {file.relative_to(top).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in imports(script)}


def _imported_files(file: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [path for name in names for path in _module_files(name)]


def _module_files(name: str) -> list[Path]:
    """The files that importing `name` runs: the packages above it and the module itself."""
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return []
    files, folder = [PACKAGE / "__init__.py"], PACKAGE
    for part in rest:
        module, package = folder / f"{part}.py", folder / part / "__init__.py"
        files += [path for path in (module, package) if path.is_file()]
        folder = folder / part
    return files
