"""Sentences about the prepared images, such as copies and conflicts; tables beside them list every image concerned."""

from collections.abc import Iterator

import pandas as pd

from touchstone.data import split_table
from touchstone.data.findings import Finding
from touchstone.data.wording import count

DARK = 16  # of 255: 4095, the largest value of 12 bits, divided by 257
NEAR = {"drop": "one image of each left out", "report": "all kept"}


def about_images(
    table: pd.DataFrame, repeats: pd.DataFrame, near: pd.DataFrame, *, dark: list[str], kept: str
) -> list[Finding]:
    """Return what should be known of the images.

    table: see `split_table`. repeats, near: see `drop_copies`. dark: files without a value above DARK. kept: the
    setting data.near_duplicates.
    """
    return [Finding(kind, text) for kind, text in _remarks(table, repeats, near, dark, kept)]


def _remarks(
    table: pd.DataFrame, repeats: pd.DataFrame, near: pd.DataFrame, dark: list[str], kept: str
) -> Iterator[tuple[str, str]]:
    conflicts = repeats[repeats["label"] != repeats["other_label"]]
    within = int((repeats["split"] == repeats["other_split"]).sum())
    unread = int(table["left_out"].str.startswith(split_table.BAD_IMAGE).sum())
    if len(conflicts):
        shown = [
            f"{file} ({label or 'no label'}) and {other} ({other_label or 'no label'}), by {same}"
            for file, label, _, other, other_label, _, same in conflicts.head(3).itertuples(index=False)
        ]
        more = f"; and {len(conflicts) - 3} more in findings/repeats.csv" if len(conflicts) > 3 else ""
        yield "conflict", f"one picture has two labels: {'; '.join(shown)}{more}; correct one of the two"
    if within:
        yield (
            "repeat",
            f"{count(within, 'image repeats', 'images repeat')} another of the same split; all kept",
        )
    if across := len(repeats) - within:
        yield (
            "copy",
            f"{count(across, 'image copies', 'images copy')} one of another split, left out (findings/left_out.csv)",
        )
    if len(near):
        pairs = (
            "pair of images in two splits is a near copy" if len(near) == 1 else "pairs in two splits are near copies"
        )
        yield "near copy", f"{len(near)} {pairs}, {NEAR[kept]}; findings/near_copies.csv lists them"
    if dark:
        yield (
            "dark",
            f"{count(len(dark), 'image is', 'images are')} nearly black, with no value above {DARK} of 255, such as "
            f"{dark[0]}: pictures of 12 bits in files of 16 look so; multiply their values by 16",
        )
    if unread:
        yield "unread", f"{count(unread, 'image', 'images')} that cannot be read, left out (findings/left_out.csv)"
