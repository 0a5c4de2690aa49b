"""Files that systems leave beside images are hidden from every reader, and links are followed."""

from pathlib import Path

import pytest

from kit.pictures import both, classes, lay
from touchstone.data.hidden import hidden, told
from touchstone.data.walk import walk
from touchstone.errors import TouchstoneError

LEFT = [
    *("@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/1.png", "lost+found/", ".ipynb_checkpoints/1-checkpoint.png"),
    *("__MACOSX/._1.png", "._1.png", "Icon\r", "Thumbs.db", "desktop.ini", ".DS_Store"),
    *("$RECYCLE.BIN/1.png", "System Volume Information/1.png"),
]


@pytest.mark.parametrize("name", LEFT)
def test_every_reader_hides_it(tmp_path: Path, name: str) -> None:
    assert hidden(name.rstrip("/"))
    root = lay(tmp_path / "in", [*classes("cat", "dog"), name, f"cat/{name}", f"unlabelled/{name}", "unlabelled/1.png"])
    found, texts = both(root, tmp_path)
    assert sorted(found) == sorted([*classes("cat", "dog"), "unlabelled/1.png"])
    assert texts == []
    seen = {entry.name for entry in walk(root) if not entry.is_folder}  # as `touchstone predict` sees it
    assert seen == {*classes("cat", "dog"), "unlabelled/1.png"}


def test_only_folders_that_may_be_classes_are_told() -> None:
    assert told("a/.22 rifle/x/1.png") == "a/.22 rifle"
    assert [told(name) for name in (".git/1.png", "cat/._1.png", "@eaDir/1.png", ".Trash-1000/1.png")] == [""] * 4


def test_an_ordinary_name_is_not_hidden() -> None:
    assert not any(
        hidden(name) for name in ("Icon.png", "icons/1.png", "recycle/1.png", "lost/found.png", "@work/1.png")
    )


def test_odd_entries_are_reported_or_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", ["a/1.png"])
    (root / "a/loop").symlink_to("..")
    (root / "b.png").symlink_to("nowhere")
    (root / "c.png").symlink_to("a/1.png")
    odd: dict[str, str] = {}
    assert [entry.name for entry in walk(root, odd=odd.__setitem__)] == ["a", "a/1.png", "c.png"]
    assert odd.keys() == {"a/loop", "b.png"}
    with pytest.raises(TouchstoneError, match=r"a/loop is a link to \.\., a folder that holds the link; remove it"):
        list(walk(root))
