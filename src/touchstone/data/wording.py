"""Counted nouns, for every sentence that a user reads."""


def count(value: float, noun: str, plural: str = "") -> str:
    """Return `1 image` or `1,797 images`; plural: where it is not the noun and an s."""
    return f"{value:,.0f} {noun if value == 1 else plural or noun + 's'}"
