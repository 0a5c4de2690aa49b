import hashlib
import io
import os
import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from touchstone.data.sources import folder
from touchstone.errors import BadImage, TouchstoneError

PLAIN = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/deeper/2.jpg"]
SPLIT = ["train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "val/dog/1.png"]


def picture(name: str) -> bytes:
    """An image file whose grey depends on its name."""
    file = io.BytesIO()
    grey = hashlib.sha256(name.encode(errors="surrogateescape")).digest()[0]
    Image.new("L", (4, 3), grey).save(file, "JPEG" if name.endswith("jpg") else "PNG")
    return file.getvalue()


def lay(root: Path, names: Iterable[str]) -> Path:
    """Write the files, as pictures or text by their suffix; a name that ends in / is an empty folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = root / name
        (file if name.endswith("/") else file.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            file.write_bytes(picture(name) if name.lower().endswith(("png", "jpg")) else b"text")
    return root


def download(tmp_path: Path, path: Path) -> Path:
    raw = tmp_path / f"raw{len(list(tmp_path.iterdir()))}"
    raw.mkdir()
    folder.download(to=raw, path=path, mirror="")
    assert sorted({file.name for file in raw.iterdir()} - {"findings.csv"}) == ["files.zip", "manifest.csv"]
    return raw


def rows(tmp_path: Path, names: Iterable[str]) -> list[tuple[str, str, str]]:
    """The (file, label, split) of each image that is read from the named files."""
    raw_set = folder.read(raw=download(tmp_path, lay(tmp_path / "in", names)))
    return [(image.file, image.label, image.split) for image in raw_set.images]


def refused(tmp_path: Path, names: Iterable[str]) -> str:
    path = lay(tmp_path / "in", names)
    return refused_path(tmp_path, path).removeprefix(f"source.path: {path}: ")


def refused_path(tmp_path: Path, path: Path) -> str:
    (tmp_path / "raw").mkdir()
    with pytest.raises(TouchstoneError) as raised:
        folder.download(to=tmp_path / "raw", path=path, mirror="")
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert not list((tmp_path / "raw").iterdir())
    return str(raised.value)


# --- layouts ---


def test_classes_without_split(tmp_path: Path) -> None:
    assert rows(tmp_path, PLAIN) == [
        ("cat/1.png", "cat", ""),
        ("cat/2.png", "cat", ""),
        ("dog/1.png", "dog", ""),
        ("dog/deeper/2.jpg", "dog", ""),
    ]


def test_classes_with_split(tmp_path: Path) -> None:
    assert rows(tmp_path, [*SPLIT, "unlabelled/x.png"]) == [
        ("test/cat/1.png", "cat", "test"),
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/1.png", "dog", "train"),
        ("unlabelled/x.png", "", "unlabelled"),
        ("val/dog/1.png", "dog", "val"),
    ]


def test_train_alone_is_a_split(tmp_path: Path) -> None:
    got = rows(tmp_path, ["train/cat/1.png", "train/dog/deeper/1.png"])
    assert {split for *_, split in got} == {"train"}


def test_unlabelled_beside_classes(tmp_path: Path) -> None:
    got = rows(tmp_path, [*PLAIN, "unlabelled/x.png", "unlabelled/deep/er/y.png"])
    assert got[-2:] == [("unlabelled/deep/er/y.png", "", "unlabelled"), ("unlabelled/x.png", "", "unlabelled")]
    assert folder.read(raw=tmp_path / "raw1").classes == ["cat", "dog"]


@pytest.mark.parametrize("names", [PLAIN, [*SPLIT, "unlabelled/x.png"]])
def test_one_folder_around_is_looked_through(tmp_path: Path, names: list[str]) -> None:
    plain = download(tmp_path, lay(tmp_path / "in", names))
    around = lay(tmp_path / "outer", ["readme.txt", ".hidden/x.png"])
    shutil.copytree(tmp_path / "in", around / "inner")
    wrapped = download(tmp_path, around)
    assert (wrapped / "files.zip").read_bytes() == (plain / "files.zip").read_bytes()


def test_the_path_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(lay(tmp_path / "in", PLAIN))
    download(tmp_path, tmp_path / "link")


# --- what is written ---


def pack(path: Path, suffix: str, order: int = 1) -> Path:
    """An archive of the folder `path`, with its files in or against the order of their names."""
    files = sorted((file for file in path.rglob("*") if file.is_file()), reverse=order < 0)
    archive = path.with_name(f"packed{suffix}")
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for file in files:
                out.write(file, file.relative_to(path))
    else:
        with tarfile.open(archive, "w:gz") as tar:
            for file in files:
                tar.add(file, Path("some-name") / file.relative_to(path))
    return archive


@pytest.mark.parametrize("names", [PLAIN, [*SPLIT, "unlabelled/x.png"], [*PLAIN, "notes.txt", "ä/1.png", "ä/2.png"]])
def test_a_folder_and_its_archives_give_the_same_bytes(tmp_path: Path, names: list[str]) -> None:
    path = lay(tmp_path / "in", names)
    first = download(tmp_path, path)
    os.utime(path / names[0], (10**9, 10**9))
    (path / names[0]).chmod(0o600)
    for again in (path, pack(path, ".zip"), pack(path, ".tar.gz", order=-1)):
        other = download(tmp_path, again)
        for name in ("files.zip", "manifest.csv"):
            assert (other / name).read_bytes() == (first / name).read_bytes()


def test_manifest_and_files(tmp_path: Path) -> None:
    raw = download(tmp_path, lay(tmp_path / "in", [*PLAIN, "unlabelled/x.png"]))
    table = pd.read_csv(raw / "manifest.csv", keep_default_na=False)
    assert table.columns.tolist() == ["file", "label", "split", "sha256", "bytes"]
    with zipfile.ZipFile(raw / "files.zip") as archive:
        assert archive.namelist() == table["file"].tolist() == sorted([*PLAIN, "unlabelled/x.png"])
        for entry, digest, size in zip(archive.infolist(), table["sha256"], table["bytes"], strict=True):
            content = archive.read(entry)
            assert content == picture(entry.filename)
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, size)
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.compress_type == zipfile.ZIP_STORED


def test_pixels_from_many_threads(tmp_path: Path) -> None:
    raw_set = folder.read(raw=download(tmp_path, lay(tmp_path / "in", PLAIN)))

    def one(index: int) -> np.ndarray:
        return raw_set.pixels(index, channels=3, max_pixels=12)

    with ThreadPoolExecutor(4) as pool:
        for index, got in enumerate(pool.map(one, [0, 1, 2, 3] * 10)):
            file = io.BytesIO(picture(PLAIN[index % 4]))
            np.testing.assert_array_equal(got, np.asarray(Image.open(file).convert("RGB")))
    assert raw_set.images[1].id == hashlib.sha256(picture("cat/2.png")).hexdigest()


def test_bad_images_show_when_they_are_read(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", PLAIN)
    (path / "cat/1.png").write_bytes(b"no image")
    raw_set = folder.read(raw=download(tmp_path, path))
    with pytest.raises(BadImage, match="not an image"):
        raw_set.pixels(0, channels=1, max_pixels=100)
    with pytest.raises(BadImage, match="4x3 is more than 11 pixels"):
        raw_set.pixels(1, channels=1, max_pixels=11)


def test_damaged_raw_data(tmp_path: Path) -> None:
    raw = download(tmp_path, lay(tmp_path / "in", PLAIN))
    (raw / "files.zip").write_bytes(b"x")
    with pytest.raises(TouchstoneError, match=r"files\.zip: damaged .*; run `dvc repro --force download`"):
        folder.read(raw=raw).pixels(0, channels=1, max_pixels=100)


def test_a_changed_archive_is_damaged(tmp_path: Path) -> None:
    """Other bytes in the place of an image, or another archive of the same files, never pass for the image."""
    raw = download(tmp_path, lay(tmp_path / "in", PLAIN))
    packed = (raw / "files.zip").read_bytes()
    place = packed.index(picture("cat/2.png")) + 30
    changed = packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :]
    for content, said in (
        (changed, "cat/2.png has another checksum"),
        (packed[: place + 1], "cat/2.png has another checksum"),
        (packed[:20], "cat/2.png is not where it was packed"),
        (packed[1:], "cat/2.png is not where it was packed"),
    ):
        (raw / "files.zip").write_bytes(content)
        with pytest.raises(TouchstoneError, match=f"damaged .{said}.; run `dvc repro --force download`"):
            folder.read(raw=raw).pixels(1, channels=1, max_pixels=100)


def test_files_after_a_very_large_one_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zipfile writes a longer header before a file of two GiB; here before those of 500 bytes."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 500)
    names = ["a/1.png", "a/bücher 日本.png", "b/1.png", "b/2.png"]
    path = lay(tmp_path / "in", names)
    Image.new("L", (1, 1), 7).save(path / "a/2.bmp")
    raw_set = folder.read(raw=download(tmp_path, path))
    sizes = [len((path / image.file).read_bytes()) for image in raw_set.images]
    assert min(sizes) < 400
    assert max(sizes) > 500
    for index, image in enumerate(raw_set.images):
        expected = np.asarray(Image.open(path / image.file).convert("L"))[..., None]
        np.testing.assert_array_equal(raw_set.pixels(index, channels=1, max_pixels=100), expected)


# --- names ---


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    classes = ["01", "1.0", "NA", "a, b", 'quo"te', "nan", "true"]
    names = [f"{label}/{index}.png" for label in classes for index in (1, 2)]
    got = rows(tmp_path, names)
    assert sorted({label for _, label, _ in got}) == sorted(classes)
    assert [file for file, *_ in got] == sorted(names)


def test_names_become_nfc(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    assert len(decomposed) == 2
    got = rows(tmp_path, [f"{decomposed}/{decomposed}.png", f"{decomposed}/2.png", *PLAIN])
    assert ("\u00e9/\u00e9.png", "\u00e9", "") in got


@pytest.mark.parametrize("name", ["cat/{}.png", "{}/1.png"])
def test_two_names_equal_in_nfc(tmp_path: Path, name: str) -> None:
    names = [name.format(form) for form in ("\u00e9", "e\u0301")]
    assert "two names are" in refused(tmp_path, [*PLAIN, *names])


@pytest.mark.parametrize("label", ["a|b", " cat", "cat ", "\u00a0x"])
@pytest.mark.parametrize("top", ["", "train/"])
def test_class_names(tmp_path: Path, label: str, top: str) -> None:
    names = [f"{top}{name}" for name in (*PLAIN, f"{label}/1.png", f"{label}/2.png")]
    message = refused(tmp_path, names)
    assert message.startswith(f"got the class name {label!r}, expected one without | and control characters")


@pytest.mark.parametrize("name", ["a\nb/1.png", "cat/a\tb.png", "cat/a\x7fb.png", "cat/\udcff.png"])
def test_control_characters(tmp_path: Path, name: str) -> None:
    assert "holds a control character or is not UTF-8; rename it" in refused(tmp_path, [*PLAIN, name])


# --- what is left out ---


def test_other_files_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = ["cat/notes.txt", "README.md", "dog/data.csv", "labels.json"]
    hidden = [".gitignore", "cat/.DS_Store", "dog/Thumbs.db", "cat.dvc", ".ipynb_checkpoints/x.png", "__MACOSX/x.png"]
    assert [file for file, *_ in rows(tmp_path, [*PLAIN, *others, *hidden])] == PLAIN
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "left out 4 files that are not images: README.md, cat/notes.txt, dog/data.csv, ..." in said


def test_hidden_files_are_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows(tmp_path, [*PLAIN, ".gitignore", "in.dvc", "cat/Thumbs.db"])
    assert capsys.readouterr().out == ""


def test_suffixes_in_upper_case(tmp_path: Path) -> None:
    assert len(rows(tmp_path, [*PLAIN, "cat/3.PNG"])) == 5


# --- errors ---


def test_missing_path(tmp_path: Path) -> None:
    assert "does not exist; put a folder or an archive" in refused_path(tmp_path, tmp_path / "nowhere")


def test_neither_folder_nor_archive(tmp_path: Path) -> None:
    (tmp_path / "x.7z").write_bytes(b"x")
    message = refused_path(tmp_path, tmp_path / "x.7z")
    assert "got a file, expected a folder or a .zip or .tar" in message


def test_a_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"x")
    assert "damaged or truncated" in refused_path(tmp_path, tmp_path / "x.zip")


@pytest.mark.parametrize("names", [[], ["readme.txt"], ["unlabelled/x.png"], [".hidden/x.png"]])
def test_no_class_folder(tmp_path: Path, names: list[str]) -> None:
    assert refused(tmp_path, names).startswith("no class folder; expected <class>/<image>")


@pytest.mark.parametrize("names", [["x.png"], ["x.png", *PLAIN], ["x.png", *SPLIT]])
def test_images_at_the_top(tmp_path: Path, names: list[str]) -> None:
    message = refused(tmp_path, names)
    assert message.startswith("the image x.png is not in a class folder; expected <class>/<image>")


def test_images_directly_in_a_split(tmp_path: Path) -> None:
    message = refused(tmp_path, [*SPLIT, "train/x.png"])
    assert "the image train/x.png is not in a class folder; expected <class>/<image> under each of train" in message


@pytest.mark.parametrize("empty", ["bird/", "bird/notes.txt", "bird/deeper/"])
@pytest.mark.parametrize(("names", "top"), [(PLAIN, ""), (SPLIT, "train/"), (SPLIT, "test/")])
def test_a_class_without_images(tmp_path: Path, names: list[str], top: str, empty: str) -> None:
    message = refused(tmp_path, [*names, top + empty])
    assert message == f"the class folder {top}bird has no images; remove it or put images in it"


def test_a_class_without_images_in_an_archive(tmp_path: Path) -> None:
    path = pack(lay(tmp_path / "in", [*PLAIN, "bird/notes.txt"]), ".zip")
    assert "the class folder bird has no images" in refused_path(tmp_path, path)


@pytest.mark.parametrize(
    "names", [["cat/1.png", "cat/2.png"], ["train/cat/1.png"], ["cat/1.png", "cat/2.png", "unlabelled/x.png"]]
)
def test_one_class(tmp_path: Path, names: list[str]) -> None:
    assert refused(tmp_path, names) == "got 1 class (cat), expected at least two; add a class folder"


@pytest.mark.parametrize("names", [PLAIN, SPLIT])
@pytest.mark.parametrize("empty", ["unlabelled/", "unlabelled/notes.txt", "unlabelled/deeper/"])
def test_unlabelled_without_images(tmp_path: Path, names: list[str], empty: str) -> None:
    message = refused(tmp_path, [*names, empty])
    assert message == "the folder unlabelled has no images; remove the folder or put images in it"


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_split_without_images(tmp_path: Path, split: str) -> None:
    names = [name for name in SPLIT if not name.startswith(split)]
    message = refused(tmp_path, [*names, f"{split}/"])
    assert message == f"the folder {split} has no images; remove the folder or put images in it"


@pytest.mark.parametrize("split", ["test", "val"])
def test_no_train(tmp_path: Path, split: str) -> None:
    message = refused(tmp_path, [f"{split}/cat/1.png", f"{split}/dog/1.png"])
    assert message == f"got the folder {split} without train; add train/<class>/"


def test_another_folder_beside_a_split(tmp_path: Path) -> None:
    message = refused(tmp_path, [*SPLIT, "more/cat/1.png"])
    assert "got the folder more beside a split's (test, train, val), expected only train, val, test, unl" in message


def test_two_folders_of_one_split(tmp_path: Path) -> None:
    message = refused(tmp_path, [*SPLIT, "valid/cat/1.png"])
    assert message == "the folders val and valid are both taken as val; put them together"


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_class_that_train_lacks(tmp_path: Path, split: str) -> None:
    message = refused(tmp_path, [*SPLIT, f"{split}/bird/1.png"])
    assert message == f"the class bird of {split} is not in train; add train/bird or remove it"


def test_a_class_of_one_image(tmp_path: Path) -> None:
    message = refused(tmp_path, [*PLAIN, "bird/1.png"])
    assert message.startswith("class bird has 1 image; at least 2 are needed")


def test_links_are_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To files, as DVC's cache type symlink leaves them and subsets are made, and to folders, in and outside."""
    stored = lay(tmp_path / "store", [*PLAIN, "fox/1.png", "fox/2.png"])
    plain = download(tmp_path, stored)
    path = tmp_path / "in"
    for name in PLAIN:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).symlink_to(stored / name)
    (path / "fox").symlink_to(stored / "fox")
    capsys.readouterr()
    linked = download(tmp_path, path)
    for file in ("files.zip", "manifest.csv"):
        assert (linked / file).read_bytes() == (plain / file).read_bytes()
    said = "fox: links to folders, in which DVC notices no change: after one, `dvc repro --force download`"
    assert capsys.readouterr().out == f"{path}: {said}\n"
    added = tmp_path / "added"
    added.mkdir()
    folder.download(to=added, path=path, mirror="", few=True)  # as the stage collect reads images made elsewhere
    assert capsys.readouterr().out == f"{path}: {said.replace('download', 'collect')}\n"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/elsewhere", "is a link to /elsewhere, where there is nothing to read (No such file or directory)"),
        ("link.png", "is a link to link.png, where there is nothing to read"),
        (".", "is a link to ., a folder that holds the link; remove it"),
        ("..", "is a link to .., a folder that holds the link; remove it"),
        ("../..", "is a link to ../.., a folder that holds the link; remove it"),
    ],
)
def test_links_that_lead_nowhere_or_back(tmp_path: Path, target: str, said: str) -> None:
    path = lay(tmp_path / "in", PLAIN)
    (path / "dog" / "link.png").symlink_to(target)
    assert f"dog/link.png {said}" in refused_path(tmp_path, path)


def test_a_circle_through_two_links(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", PLAIN)
    other = lay(tmp_path / "other", ["x.png"])
    (path / "dog" / "there").symlink_to(other)
    (other / "back").symlink_to(path / "dog")
    assert "dog/there/back is a link to" in refused_path(tmp_path, path)


def test_a_pipe_in_a_folder(tmp_path: Path) -> None:
    os.mkfifo(lay(tmp_path / "in", PLAIN) / "cat" / "pipe.png")
    assert "cat/pipe.png is neither a file nor a folder" in refused_path(tmp_path, tmp_path / "in")


@pytest.mark.parametrize("method", ["iterdir", "read_bytes"])
def test_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    path = lay(tmp_path / "in", PLAIN)
    original = getattr(Path, method)

    def refuse(self: Path) -> object:
        if self.is_relative_to(path / "dog"):
            raise PermissionError(13, "Permission denied")
        return original(self)

    (tmp_path / "raw").mkdir()
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(TouchstoneError, match=r"dog.*cannot be read \(Permission denied\); change its permissions"):
        folder.download(to=tmp_path / "raw", path=path, mirror="")


def table(tmp_path: Path, text: str, *names: str) -> Path:
    root = lay(tmp_path / "in", names or ("1.png", "deep/2.png", "3.png", "unlabelled/4.png"))
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return root


def test_a_table_may_give_an_image_several_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "file,label,split\n1.png,dog|cat,train\ndeep/2.png,,test\n3.png,cat,\n"
    path = table(tmp_path, text, "1.png", "deep/2.png", "3.png", "unlabelled/4.png", "stray.png")
    raw = folder.read(raw=download(tmp_path, path))
    assert {(image.file, image.label, image.split) for image in raw.images} == {
        ("1.png", "cat|dog", "train"),
        ("deep/2.png", "", "test"),
        ("3.png", "cat", ""),
        ("unlabelled/4.png", "", "unlabelled"),
    }
    assert raw.multi_label
    assert raw.classes == ["cat", "dog"]
    assert "left out 1 image that labels.csv does not list: stray.png" in capsys.readouterr().out


def test_a_table_of_single_labels_equals_class_folders(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label\n1.png,a\ndeep/2.png,b\n3.png,a\n")
    raw = folder.read(raw=download(tmp_path, path))
    assert not raw.multi_label
    assert [image.label for image in raw.images] == ["a", "a", "b", ""]


def test_a_table_may_have_columns_of_its_own(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,patient,split\n1.png,a,p1,train\ndeep/2.png,b,p2,\n3.png,a,,test\n")
    raw = folder.read(raw=download(tmp_path, path))
    cells = {image.file: (image.split, image.columns) for image in raw.images}
    assert cells["1.png"] == ("train", {"patient": "p1"})
    assert cells["deep/2.png"] == ("", {"patient": "p2"})
    assert cells["3.png"] == ("test", {"patient": ""})
    assert cells["unlabelled/4.png"] == ("unlabelled", {"patient": ""})


def test_an_archive_and_a_wrapped_folder_of_a_table_give_the_same_bytes(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label\n1.png,a|b\ndeep/2.png,b\n3.png,\n")
    shutil.copytree(path, tmp_path / "outer/top")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", path)
    raws = [download(tmp_path, each) for each in (path, tmp_path / "outer", Path(archive))]
    for file in ("files.zip", "manifest.csv"):
        assert len({(raw / file).read_bytes() for raw in raws}) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\n", "got the header 'name,label', expected file,label or file,label,split"),
        ("", "got the header ''"),
        ("file,label,,\n1.png,a,x,\n", "got the header 'file,label,,'"),
        ("file,label,bytes\n1.png,a,1\n", "a column is called bytes, which is taken; give it another name"),
        ("file,label\n1.png\n", "line 2: got 1 cells, expected 2: file,label"),
        ("file,label\n1.pgn,a\n", "line 2: no image '1.pgn' beside labels.csv; did you mean 1.png?"),
        ("file,label\n1.png,a\n1.png,b\n", "line 3: 1.png is listed twice; join its classes by |"),
        ("file,label\n1.png,a| b\n", "line 2: got the class name ' b', expected one without | and control characters"),
        ("file,label\n1.png,a|a\n", "got the label 'a|a', expected each class once, joined by |"),
        ("file,label\n1.png,a|\n", "line 2: got the class name ''"),
        ('file,label\n1.png,"a\nb"\n', r"line 2: got the class name 'a\nb'"),
        ("file,label\nunlabelled/4.png,a\n", "unlabelled/4.png lies in unlabelled and has the label 'a'"),
        (
            "file,label,split\n1.png,a,holdout\n",
            "line 2: got the split 'holdout', expected train, val, test, unlabelled",
        ),
        ("file,label,split\n1.png,a,unlabelled\n", "an unlabelled image has the label 'a'"),
        ("file,label\n1.png,\n", "no image has a label"),
        ("file,label\n1.png,a\n3.png,a\n", "every image is a, so there is nothing to learn"),
        ('file,label\n"1.png,a\n', "not a CSV file in UTF-8"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    message = refused_path(tmp_path, table(tmp_path, text))
    assert said in message
    assert "\n" not in message


def test_names_in_a_table_are_normalised_and_folders_of_splits_count(tmp_path: Path) -> None:
    accent = unicodedata.normalize("NFD", "\u00e9")
    path = table(
        tmp_path, f"file,label\ntrain/{accent}.png,\u00e9|b\ntest/2.png,{accent}\n", "train/\u00e9.png", "test/2.png"
    )
    raw = folder.read(raw=download(tmp_path, path))
    assert {(image.file, image.label, image.split) for image in raw.images} == {
        ("train/\u00e9.png", "b|\u00e9", "train"),
        ("test/2.png", "\u00e9", "test"),
    }


def test_a_table_beside_flat_images_is_found_in_an_archive_of_their_folder(tmp_path: Path) -> None:
    table(tmp_path / "outer", "file,label\n1.png,a|b\n2.png,b\n", "1.png", "2.png")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "outer")
    for path in (tmp_path / "outer", Path(archive)):
        assert [image.label for image in folder.read(raw=download(tmp_path, path)).images] == ["a|b", "b"]
