"""PASCAL VOC's annotations: XML files, read without expanding an entity or fetching anything."""

from dataclasses import dataclass
from xml.parsers import expat

from touchstone.errors import TouchstoneError

MAX_BYTES = 1 << 22  # real annotations have a few KiB


@dataclass(frozen=True)
class Thing:
    """An object in an image."""

    name: str
    """Its class."""
    difficult: bool
    """Whether it is marked as difficult to see."""


def things(xml: bytes, *, file: str) -> list[Thing]:
    """Return the objects of an annotation in the file's order, without parts of objects such as heads and hands.

    Raises TouchstoneError on XML that is not well-formed or is truncated, on more than 4 MiB, on a declared document
    type (which could hold entity bombs), and on an object without a name.
    """
    if len(xml) > MAX_BYTES:
        raise TouchstoneError(f"{file}: {len(xml):,} bytes, expected an annotation of at most {MAX_BYTES:,}; remove it")
    reader = _Reader(file)
    try:
        reader.parser.Parse(xml, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two on unknown encodings
        raise TouchstoneError(f"{file}: not well-formed XML ({error}); correct or remove it") from error
    if reader.root != "annotation":
        raise TouchstoneError(f"{file}: got <{reader.root}>, expected <annotation>, as in PASCAL VOC; correct it")
    return reader.things


class _Reader:
    def __init__(self, file: str) -> None:
        self.file, self.things, self.root = file, list[Thing](), ""
        self._path: list[str] = []
        self._texts: dict[str, str] = {}
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise TouchstoneError(f"{self.file}: declares a document type, which annotations do not need; remove it")

    def _start(self, name: str, _: object) -> None:
        self.root = self.root or name
        self._path.append(name)
        if self._in_object():
            self._texts = {}

    def _text(self, text: str) -> None:
        if len(self._path) == 3 and self._path[1] == "object":
            self._texts[self._path[2]] = self._texts.get(self._path[2], "") + text

    def _in_object(self) -> bool:
        return len(self._path) == 2 and self._path[1] == "object"

    def _end(self, _: str) -> None:
        if self._in_object():
            name = self._texts.get("name", "").strip()
            if not name:
                raise TouchstoneError(f"{self.file}: an object has no name; give it one or remove it")
            self.things.append(Thing(name, self._texts.get("difficult", "0").strip() == "1"))
        self._path.pop()
