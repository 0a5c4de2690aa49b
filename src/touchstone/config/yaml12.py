"""params.yaml as DVC reads it: YAML 1.2.

PyYAML reads YAML 1.1: `1e-05` is a string to it, and `off`, `yes`, `on` are booleans. Here both see the same values.
"""

import re
from typing import Any

import yaml

from touchstone.errors import TouchstoneError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            line = node.start_mark.line + 1
            raise TouchstoneError(f"params.yaml: key {twice[0]!r} stands twice in the mapping at line {line}")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), [*_first, ""])
_Loader.add_constructor(
    "tag:yaml.org,2002:int",
    lambda loader, node: int(node.value, 0) if node.value[:2] in ("0o", "0x") else int(node.value),  # underscores too
)
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: _float(node.value))


def _float(text: str) -> float:
    return float(
        text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
    )


def parse(text: str) -> dict[str, Any]:
    """YAML 1.2 text to plain values. Raises TouchstoneError with the line of a mistake."""
    try:
        values = _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:
        raise TouchstoneError("params.yaml: not YAML: " + " ".join(str(error).split())) from error
    if not isinstance(values, dict):
        raise TouchstoneError(f"params.yaml: got {type(values).__name__}, expected a mapping of sections")
    return values


def changed(text: str, changes: list[str]) -> str:
    """The YAML text with each "section.key=value" of `changes` set; unchanged text where there are none.

    Raises TouchstoneError on a change without "=" or below something that is no mapping.
    """
    if not changes:
        return text
    values = parse(text)
    for change in changes:
        key, equals, value = change.partition("=")
        *sections, last = key.split(".")
        place: Any = values
        for section in sections:
            place = place.setdefault(section, {}) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict):
            raise TouchstoneError(f"-S {change}: expected section.key=value")
        place[last] = parse(f"value: {value}")["value"]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
