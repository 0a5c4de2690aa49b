"""Mistakes in params.yaml, found by pydantic, as one line for people."""

import re
from typing import Any, get_args

from pydantic import ValidationError

from touchstone.config.schema.section import Section
from touchstone.errors import nearest

MOVED = {"data.path": "source.path", "data.mirror": "source.mirror"}


def explain(error: ValidationError, section: type[Section], prefix: str) -> str:
    """The first mistake: its key, its value, what is allowed, and the nearest known key."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if part != "[key]" and not _is_type(str(part))]
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


def _is_type(part: str) -> bool:
    """Whether a part of pydantic's location names a member of a union, not a key."""
    return re.match(r"(int|float|str|dict\[.*)$", part) is not None


def _known_keys(section: type[Section], path: list[str]) -> list[str]:
    """The keys known at `path` below `section`; a name that a user gave is passed over."""
    for part in path:
        field = section.model_fields.get(part)
        inner = None if field is None else _section_in(field.annotation)
        section = inner or section
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((inner for item in get_args(annotation) if (inner := _section_in(item))), None)
