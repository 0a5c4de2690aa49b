"""The section `machine`, which stages read from params.yaml itself, since no result depends on it."""

from pathlib import Path

from touchstone.config.schema.machine import Machine
from touchstone.config.yaml import parse
from touchstone.errors import TouchstoneError


def load_machine(path: Path = Path("params.yaml")) -> Machine:
    """Read the section. The stage `settings` has checked it, so a mistake here comes from a later edit."""
    values = parse(path.read_text(encoding="utf-8"))["machine"]
    try:
        return Machine.model_validate({key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    except ValueError as error:
        raise TouchstoneError(f"{path}: machine: {' '.join(str(error).split())}; run `dvc repro`") from error
