"""The text of params.yaml: parsed as DVC parses it (ruamel, YAML 1.2), and written back with changes."""

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from touchstone.errors import TouchstoneError


def parse(text: str) -> dict[str, Any]:
    """Return the text as plain values. Raises TouchstoneError, with the line, where it is not YAML or not a mapping."""
    values = _load(text, "safe")
    if not isinstance(values, dict):
        raise TouchstoneError(f"params.yaml: got {type(values).__name__}, expected a mapping of sections")
    return values


def changed(text: str, changes: list[str]) -> str:
    """Return the text with each "section.key=value" of `changes` set and its comments kept.

    A + before it, with which DVC adds a key that params.yaml leaves to its default, changes nothing.
    Raises TouchstoneError on a change without "=" or below something that is not a mapping.
    """
    if not changes:
        return text
    values = _load(text, "rt")
    for change in changes:
        key, equals, value = change.partition("=")
        *sections, last = key.lstrip("+").split(".")
        place: Any = values
        for section in sections:
            place = place.setdefault(section, {}) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict):
            raise TouchstoneError(f"-S {change}: expected section.key=value")
        place[last] = parse(f"value: {value}")["value"]
    out = io.StringIO()
    _yaml("rt").dump(values, out)
    return out.getvalue()


def _load(text: str, kind: str) -> Any:
    try:
        return _yaml(kind).load(text)
    except DuplicateKeyError as error:
        name = re.search(r'duplicate key "(.*?)"', str(error.problem))
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise TouchstoneError(f"params.yaml: key {name[1] if name else ''!r} stands twice,{where}") from error
    except (YAMLError, ValueError) as error:
        raise TouchstoneError("params.yaml: not YAML: " + " ".join(str(error).split())) from error


def _yaml(kind: str) -> YAML:
    yaml = YAML(typ=kind, pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    return yaml
