"""PASCAL VOC's annotations: XML files, read without expanding entities or fetching anything."""

import re
from typing import NamedTuple
from xml.parsers import expat

from touchstone.errors import TouchstoneError

MAX_BYTES = 1 << 22  # real annotations have a few KiB


class Thing(NamedTuple):
    """An object in an image: its class, and whether it is marked as difficult to see."""

    name: str
    difficult: bool


def things(xml: bytes, *, file: str) -> list[Thing]:
    """Return the objects of an annotation in the file's order, without their parts such as heads and hands.

    Raises TouchstoneError on XML that is not well-formed, on more than 4 MiB, on a declared document type (which could
    hold entity bombs), and on an object without a name.
    """
    if len(xml) > MAX_BYTES:
        raise TouchstoneError(f"{file}: {len(xml):,} bytes, expected an annotation of at most {MAX_BYTES:,}; remove it")
    found: list[Thing] = []
    path: list[str] = []  # the names of the open elements
    texts: dict[str, str] = {}  # the texts in the open object, by element
    root = ""

    def refuse(*_: object) -> None:
        raise TouchstoneError(f"{file}: declares a document type, which annotations do not need; remove it")

    def start(name: str, _: object) -> None:
        nonlocal root
        root = root or name
        path.append(name)
        if path[1:] == ["object"]:
            texts.clear()

    def text(content: str) -> None:
        if len(path) == 3 and path[1] == "object":
            texts[path[2]] = texts.get(path[2], "") + content

    def end(_: str) -> None:
        if path[1:] == ["object"]:
            name = texts.get("name", "").strip()
            if not name:
                raise TouchstoneError(f"{file}: an object has no name; give it one or remove it")
            found.append(Thing(name, texts.get("difficult", "0").strip() == "1"))
        path.pop()

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(_in_utf8(xml), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two on unknown encodings
        raise TouchstoneError(f"{file}: not well-formed XML ({error}); correct or remove it") from error
    if root != "annotation":
        raise TouchstoneError(f"{file}: got <{root}>, expected <annotation>, as in PASCAL VOC; correct it")
    return found


def _in_utf8(xml: bytes) -> bytes:
    """Return the XML in UTF-8 where it declares an encoding that the parser lacks and Python has, such as gbk."""
    declared = re.match(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*\?>", xml)
    if not declared or declared[1].lower() in (b"utf-8", b"utf-16", b"iso-8859-1", b"us-ascii"):
        return xml
    return xml[declared.end() :].decode(declared[1].decode()).encode()
