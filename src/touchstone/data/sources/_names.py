"""Class names that stand in files, as opposed to folders."""

import unicodedata

from touchstone.errors import TouchstoneError


def class_name(text: str, *, where: str) -> str:
    """The name in NFC: two spellings of one name are one class.

    Raises TouchstoneError where it is empty, begins or ends with a blank, or holds `|` or a control character.
    """
    name = unicodedata.normalize("NFC", text)
    odd = any(unicodedata.category(char) in ("Cc", "Cs") for char in name)
    if not name or "|" in name or name != name.strip() or odd:
        raise TouchstoneError(
            f"{where}: got the class name {text!r}, expected one without | and control characters, and without blanks "
            "at its ends; rename it"
        )
    return name
