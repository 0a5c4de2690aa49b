"""Pydantic's errors about params.yaml, each worded as one line."""

import re
from typing import Any, get_args

from pydantic import ValidationError

from touchstone.config.schema.section import Section
from touchstone.errors import nearest

MOVED = {"data.path": "source.path", "data.mirror": "source.mirror"}
NO_KEY = re.compile(r"(int|float|str|dict\[.*|\[key\])$")  # parts of pydantic's location that are no key of params.yaml


def explain(error: ValidationError, section: type[Section], prefix: str) -> str:
    """Return the first mistake: its key, its value, what is allowed, and the nearest known key."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if not NO_KEY.match(str(part))]
    key = prefix + ".".join(path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    kind, got = first["type"], first["input"]
    if kind == "extra_forbidden" and key in MOVED:
        return f"{key}: this key has moved; write {MOVED[key]}{more}"
    if kind == "extra_forbidden":
        known = [name for name in _known_keys(section, path[:-1]) if not (prefix and name == "seeds")]
        return f"{key}: unknown key (value {got!r}); known keys: {', '.join(known)}{nearest(path[-1], known)}{more}"
    if kind == "missing":
        return f"{key}: this key is missing{more}"
    what = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if kind == "literal_error" and isinstance(got, str):
        what += nearest(got, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    if kind == "value_error" and isinstance(got, dict):
        return f"{key.rstrip('.')}: {what}{more}"
    return f"{key}: got {got!r}, {what}{more}"


def _known_keys(section: type[Section], path: list[str]) -> list[str]:
    """Return the keys that may stand at `path` below `section`. Names that the user gave are passed over."""
    for part in path:
        if part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((inner for item in get_args(annotation) if (inner := _section_in(item))), None)
