"""What pydantic says of a mistake in params.yaml -> one line for people."""

import re
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from touchstone.config.sections import Section
from touchstone.errors import nearest


def explain(error: ValidationError, section: type[Section], prefix: str) -> str:
    """The first mistake, in one line: key, value, what is allowed, the nearest known key."""
    first = error.errors()[0]
    path = [
        str(part) for part in first["loc"] if part != "[key]" and not re.match(r"(int|float|str|dict\[.*)$", str(part))
    ]
    key = prefix + ".".join(path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    kind, got = first["type"], first["input"]
    if kind == "extra_forbidden":
        known = [name for name in _fields(section, path[:-1]) if not (prefix and name == "seeds")]
        return f"{key}: unknown key (value {got!r}); known keys: {', '.join(known)}{nearest(path[-1], known)}{more}"
    if kind == "missing":
        return f"{key}: this key is missing{more}"
    what = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if kind == "literal_error" and isinstance(got, str):
        what += nearest(got, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    if kind == "value_error" and isinstance(got, dict):
        return f"{key.rstrip('.')}: {what}{more}"
    return f"{key}: got {got!r}, {what}{more}"


def _fields(section: type[Section], path: list[str]) -> list[str]:
    """The keys known at `path` below `section`."""
    for part in path:
        field: FieldInfo | None = section.model_fields.get(part)
        if field is None:
            continue  # the name of an entry: its section is already here
        found = _section_of(field.annotation)
        if found is not None:
            section = found
    return list(section.model_fields)


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for item in get_args(annotation) if (found := _section_of(item))), None)
