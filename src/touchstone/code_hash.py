"""The code of this project that can change a script's outputs, and its hash. Nothing is executed.

A file's hash is that of its syntax tree without what reaches no output: comments, layout, docstrings, annotations of
functions, messages of errors, wordings of settings in the report, and what is printed or shown in a progress bar.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent  # src/touchstone
ROOT = PACKAGE.parents[1]
# Modules whose work reaches no output: they read, check and explain settings, time stages, write logs.
SILENT = (
    "errors.py",
    "stage.py",
    "config/checks.py",
    "config/load.py",
    "config/machine.py",
    "config/yaml.py",
    "models/checks.py",
    "training/checks.py",
    "training/loggers.py",
)
LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "diffusers", "numpy", "opencv-python-headless", "optuna")
"""The libraries whose versions decide the bytes of what is trained and computed."""
WRITTEN_DOWN = "BadImage"  # the one error whose message ends in an output: why an image was left out
NOT_COUNTED = ("ctx", "kind", "type_comment", "type_params")  # they differ between versions of Python, or say nothing


def imports(*scripts: Path) -> list[Path]:
    """The project's own files that the scripts import, directly or not, themselves included; sorted.

    Imports inside functions count; those under `if TYPE_CHECKING`, SILENT modules and modules named at run time
    (importlib) do not.
    """
    found: set[Path] = set()
    todo = [script.resolve() for script in scripts]
    while todo:
        file = todo.pop()
        silent = file.is_relative_to(PACKAGE) and file.relative_to(PACKAGE).as_posix() in SILENT
        if file not in found and not silent:
            found.add(file)
            todo += _imported_files(file)
    return sorted(found)


def hashes(*scripts: Path, root: Path = ROOT) -> dict[str, str]:
    """Path below `root` -> hash, for every file in `imports`."""
    top = root.resolve()
    return {file.relative_to(top).as_posix(): file_hash(file) for file in imports(*scripts)}


def digest(*scripts: Path) -> str:
    """One sha256 over the hashes of all files that the scripts import."""
    return hashlib.sha256("".join(file_hash(file) for file in imports(*scripts)).encode()).hexdigest()


def library_versions() -> list[str]:
    """The names and versions of LIBRARIES."""
    return [f"{name} {metadata.version(name)}" for name in LIBRARIES]


def constant(script: Path, name: str) -> Any:
    """The literal that a script assigns to `name` at its top, or None. The script is not run."""
    for node in _tree(script).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
    return None


@cache
def file_hash(file: Path) -> str:
    """sha256 of what a Python file does; the first 32 digits."""
    return hashlib.sha256(_text(_tree(file)).encode()).hexdigest()[:32]


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _text(node: object) -> str:
    """A canonical text of a syntax tree without what reaches no output."""
    if isinstance(node, list):
        return "[" + ",".join(_text(item) for item in node if not _is_silent_statement(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    silent = (*NOT_COUNTED, *_silent_fields(node))
    fields = [(name, value) for name, value in ast.iter_fields(node) if name not in silent]
    counted = [f"{name}={_text(value)}" for name, value in fields if value is not None and value != []]
    return f"{type(node).__name__}({','.join(counted)})"


def _silent_fields(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return ("returns",)
    if isinstance(node, ast.arg):
        return ("annotation",)
    if isinstance(node, ast.Assert):
        return ("msg",)
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc) != WRITTEN_DOWN:
        return ("exc",)
    if isinstance(node, ast.Call) and _name(node) in ("TouchstoneError", "Shown"):
        return ("args",)
    if isinstance(node, ast.Call) and _name(node) == "tqdm":
        return ("keywords",)
    return ()


def _is_silent_statement(node: object) -> bool:
    """Whether a statement is a docstring, a print, or an update of a progress bar's text."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node.value, ast.Call) and _name(node.value) in ("print", "set_postfix")


def _name(call: ast.Call) -> str:
    """The last part of what is called."""
    function = call.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


@cache
def _imported_files(file: Path) -> tuple[Path, ...]:
    names: list[str] = []
    todo: list[ast.AST] = [_tree(file)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        typing_only = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):  # imports are statements
            if not (typing_only and block == "body") and isinstance(inner := getattr(node, block, ()), list):
                todo += inner
    return tuple(path for name in names for path in _module_files(name))


@cache
def _module_files(name: str) -> Iterable[Path]:
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
