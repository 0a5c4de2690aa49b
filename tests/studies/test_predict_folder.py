"""touchstone predict on folders as other people keep them."""

import os
import shutil
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kit.pictures import classes, lay, picture
from touchstone.errors import TouchstoneError
from touchstone.studies.predict_folder import predict_folder


def model() -> Any:
    """A model of two classes that takes everything for the first."""
    metadata = SimpleNamespace(
        channels=3, bits=8, white=0, max_pixels=10**6, image_size=8, resize="squash", classes=["cat", "dog"]
    )
    predict = lambda images: np.tile(np.float32([0.9, 0.1]), (1, len(images), 1))  # noqa: E731
    return SimpleNamespace(metadata=metadata, predict=predict, thresholds=None)


def test_a_folder_from_a_mac_a_notebook_and_a_nas(tmp_path: Path) -> None:
    names = classes("new")
    left = ["new/._0.png", "new/.ipynb_checkpoints/0-checkpoint.png", "__MACOSX/new/._0.png", "new/@eaDir/0.png/T.jpg"]
    table = predict_folder(lay(tmp_path / "in", [*names, *left]), model())
    assert table["file"].tolist() == names
    assert table["error"].tolist() == ["", ""]


def test_links_are_followed_and_those_that_lead_nowhere_are_rows_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay(tmp_path / "in", ["a/1.png"])
    lay(tmp_path / "store", ["2.png"])
    (root / "store").symlink_to(tmp_path / "store")
    (root / "a/loop").symlink_to("..")
    (root / "broken.png").symlink_to("nowhere.png")
    table = predict_folder(root, model()).set_index("file")
    assert table.index.tolist() == ["a/1.png", "broken.png", "store/2.png"]
    assert table["error"]["broken.png"].startswith("is a link to nowhere.png, where there is nothing to read")
    assert "left out: a/loop is a link to .., a folder that holds the link" in capsys.readouterr().err


def test_names_that_are_not_utf8_are_predicted_and_written_with_escapes(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", ["1.png"])
    os.rename(os.fsencode(root / "1.png"), os.fsencode(root) + b"/K\xe4se.png")
    table = predict_folder(root, model())
    assert table["file"].tolist() == [r"K\xe4se.png"]
    table.to_csv(tmp_path / "out.csv", index=False)


def test_pictures_that_are_not_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lay(tmp_path / "in", ["1.png", "2.NEF", "a/3", ".22 rifle/4.png"])
    assert predict_folder(root, model())["file"].tolist() == ["1.png"]
    said = capsys.readouterr().err
    assert "left out 1 .nef file, a format that is not read; convert them to .png or .jpg" in said
    assert "left out 1 file without a suffix" in said
    assert "left out hidden folders with images: .22 rifle (1)" in said


def test_a_picture_that_needs_an_extra_has_a_row_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay(tmp_path / "in", ["1.png"])
    (root / "2.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    table = predict_folder(root, model())
    assert table["file"].tolist() == ["1.png", "2.heic"]
    assert table["error"][0] == ""
    assert "need pillow-heif" in table["error"][1]


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"b.png": "gone"}, "no image in it that can be read: b.png is a link to gone, where there is nothing to read"),
        ({"b.png": "gone", "a.png": "lost"}, r"a\.png is a link to lost, .* \(and 1 more that cannot be read\)$"),
        ({"b.png": "gone", "a": "lost"}, "b.png is a link to gone, "),
        ({"a": "."}, r"a is a link to \., a folder that holds the link; remove it$"),
    ],
)
def test_a_folder_of_broken_links_names_the_first(tmp_path: Path, links: dict[str, str], said: str) -> None:
    (tmp_path / "in").mkdir()
    for name, target in links.items():
        (tmp_path / "in" / name).symlink_to(target)
    with pytest.raises(TouchstoneError, match=said):
        predict_folder(tmp_path / "in", model())


def test_no_image_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match="no images in it; give a folder of images"):
        predict_folder(lay(tmp_path / "in", ["._1.png", "@eaDir/1.png"]), model())


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_an_archive_gives_the_rows_of_its_folder(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay(tmp_path / "in", ["b/1.png", "a/2.jpg", "3.png", "a/._2.jpg", "@eaDir/3.png/T.jpg", "x.nef"])
    picture("4").save(root / "a/IMG_4", "PNG")
    (root / "a/lost.png").write_bytes(b"no image")
    (root / "a/note").write_bytes(b"no image")
    archive = tmp_path / f"photos{suffix}"
    if suffix == ".zip":
        shutil.make_archive(str(tmp_path / "photos"), "zip", root)
    else:
        with tarfile.open(
            archive, "w" + {".tar": "", ".tgz": ":gz"}.get(suffix, ":" + suffix.rpartition(".")[2])
        ) as out:
            for file in sorted(root.iterdir()):
                out.add(file, file.name)
    folder = predict_folder(root, model())
    said = capsys.readouterr().err
    assert folder["file"].tolist() == ["3.png", "a/2.jpg", "a/IMG_4", "a/lost.png", "b/1.png"]
    assert folder["error"].str.len().gt(0).tolist() == [False, False, False, True, False]
    pd.testing.assert_frame_equal(predict_folder(archive, model()), folder)
    assert capsys.readouterr().err.replace(str(archive), str(root)) == said
    assert "took 1 file without a suffix (a/IMG_4) as images, by their content" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one.png", "got a file; give a folder of images, or an archive of one (.zip, .tar, .tar.gz"),
        ("none", "no such folder or archive; give a folder of images, or an archive of one (.zip, .tar"),
        ("bad.zip", "damaged or truncated (File is not a zip file); get the archive again"),
    ],
)
def test_what_is_neither_a_folder_nor_an_archive_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    lay(tmp_path, ["one.png", "bad.zip"])
    with pytest.raises(TouchstoneError) as raised:
        predict_folder(tmp_path / name, model())
    assert str(raised.value).startswith(f"{tmp_path / name}: {said}")
    assert "\n" not in str(raised.value)
