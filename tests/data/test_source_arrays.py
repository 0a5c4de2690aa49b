"""The sources idx and medmnist: images in arrays."""

import gzip
import hashlib
import io
import shutil
import struct
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from touchstone.data import findings
from touchstone.data.sources import ArraySet, idx, medmnist
from touchstone.errors import TouchstoneError

GREY = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)  # (N, H, W)


def read(source: ModuleType, tmp_path: Path, path: Path) -> ArraySet:
    raw = tmp_path / f"raw{len(list(tmp_path.glob('raw*')))}"
    raw.mkdir()
    source.download(to=raw, path=path, mirror="")
    return source.read(raw)


def refused(source: ModuleType, tmp_path: Path, path: Path) -> str:
    with pytest.raises(TouchstoneError) as raised:
        read(source, tmp_path, path)
    assert "\n" not in str(raised.value)
    assert not any(file for raw in tmp_path.glob("raw*") for file in raw.iterdir())
    return str(raised.value)


# --- idx ---


def encoded(array: np.ndarray) -> bytes:
    return (
        bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def mnist(root: Path, *, train: str = "train-", test: str = "t10k-", end: str = "") -> Path:
    root.mkdir(parents=True)
    for name, part in ((train, slice(0, 4)), (test, slice(4, 6))):
        labels = np.array([1, 7, 1, 7, 7, 1], np.uint8)[part]
        for kind, array in (("images-idx3", GREY[part]), ("labels-idx1", labels)):
            content = encoded(array)
            (root / f"{name}{kind}-ubyte{end}").write_bytes(gzip.compress(content) if end else content)
    return root


@pytest.mark.parametrize("end", ["", ".gz"])
def test_mnist(tmp_path: Path, end: str) -> None:
    raw = read(idx, tmp_path, mnist(tmp_path / "in", end=end))
    assert raw.classes == ["1", "7"]
    assert [image.split for image in raw.images] == ["train"] * 4 + ["test"] * 2
    assert [image.label for image in raw.images] == ["1", "7", "1", "7", "7", "1"]
    assert raw.images[4].file == "test/000000"
    assert raw.images[5].id == hashlib.sha256(GREY[5].tobytes()).hexdigest()
    for index in range(6):
        np.testing.assert_array_equal(raw.pixels(index, channels=1, max_pixels=12)[..., 0], GREY[index])
    assert not raw.multi_label


def test_an_archive_of_idx_files_and_other_spellings(tmp_path: Path) -> None:
    path = mnist(tmp_path / "in", test="test-")
    for file in path.iterdir():
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", path)
    assert [image.split for image in read(idx, tmp_path, Path(archive)).images] == ["train"] * 4 + ["test"] * 2


def test_emnist_is_transposed_and_named(tmp_path: Path) -> None:
    path = mnist(tmp_path / "in", train="emnist-letters-train-", test="emnist-letters-test-", end=".gz")
    (path / "emnist-letters-mapping.txt").write_text("1 65 97\n7 71 103\n")
    (path / "emnist-digits-mapping.txt").write_text("1 49\n7 55\n")
    raw = read(idx, tmp_path, path)
    assert raw.classes == ["A", "G"]
    np.testing.assert_array_equal(raw.pixels(3, channels=1, max_pixels=12)[..., 0], GREY[3].T)


def test_a_list_of_classes(tmp_path: Path) -> None:
    path = mnist(tmp_path / "in")
    (path / "classes.txt").write_text("\n".join("abcdefgh"))
    assert read(idx, tmp_path, path).classes == ["b", "h"]


@pytest.mark.parametrize("beside", ["in", "around"], ids=["beside the files", "in the folder around"])
@pytest.mark.parametrize("name", ["classes.txt", "classnames.txt"])
def test_a_list_of_classes_is_the_same_in_a_folder_and_its_archive(tmp_path: Path, name: str, beside: str) -> None:
    mnist(tmp_path / "around/in")
    (tmp_path / {"in": "around/in", "around": "around"}[beside] / name).write_text("\n".join("abcdefgh"))
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "around")
    raws = [read(idx, tmp_path, path) for path in (tmp_path / "around", Path(archive))]
    assert [raw.classes for raw in raws] == [["b", "h"]] * 2
    assert (tmp_path / "raw0/labels.csv").read_bytes() == (tmp_path / "raw1/labels.csv").read_bytes()


def test_a_bad_list_of_classes_in_an_archive_is_named(tmp_path: Path) -> None:
    path = mnist(tmp_path / "in")
    (path / "classes.txt").write_text("a\na\n")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", path)
    assert "packed.zip: classes.txt, line 2: a is listed twice" in refused(idx, tmp_path, Path(archive))


@pytest.mark.parametrize("packed", [False, True])
def test_hidden_folders_and_links_beside_idx_files_are_told(tmp_path: Path, packed: bool) -> None:
    path = mnist(tmp_path / "in")
    (path / ".more").mkdir()
    (path / ".more/1.png").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    else:
        (path / "linked").symlink_to(tmp_path / "elsewhere")
    read(idx, tmp_path, path)
    texts = [finding.text for finding in findings.read(tmp_path / "raw0/findings.csv")]
    assert texts[0].startswith("left out hidden folders with images: .more (1); rename")
    assert [text.partition(":")[0] for text in texts[1:]] == ([] if packed else ["linked"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train-labels-idx1-ubyte", None, "got train-images-idx3-ubyte without the labels"),
        ("train-labels-idx1-ubyte", encoded(np.zeros(3)), "train-labels-idx1-ubyte: got 3 labels for 4 images"),
        ("train-labels-idx1-ubyte", b"", "begins with , expected 00000801, idx of uint8"),
        ("train-labels-idx1-ubyte", encoded(GREY), "begins with 00000803, expected 00000801"),
        ("train-images-idx3-ubyte", encoded(GREY)[:-1], "got 71 bytes for 6x4x3; the file is damaged"),
        ("train-images-idx3-ubyte", encoded(GREY) + b"x", "got more bytes for 6x4x3"),
        ("train-images-idx3-ubyte", encoded(GREY[:0]), "got 0 bytes for 0x4x3"),
        ("train-images-idx3-ubyte", bytes((0, 0, 8, 3)) + b"\xff" * 12, "the file is damaged"),
        ("train-images-idx3-ubyte", gzip.compress(encoded(GREY), mtime=0)[:-20], "train-images-idx3-ubyte: damaged"),
        ("more-train-images-idx3-ubyte", encoded(GREY), "expected one data set; set source.path to its own folder"),
        ("classes.txt", b"a\nb", "labels-idx1-ubyte: got the class number 7, expected 0 to 1"),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,
)
def test_bad_idx_files(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = mnist(tmp_path / "in")
    (path / name).unlink(missing_ok=True)
    if content is not None:
        (path / name).write_bytes(content)
    assert said in refused(idx, tmp_path, path)


def test_no_idx_files_and_a_bad_mapping(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no idx files in it" in refused(idx, tmp_path, tmp_path / "empty")
    path = mnist(tmp_path / "in", train="emnist-x-train-", test="emnist-x-test-")
    (path / "emnist-x-mapping.txt").write_text("1 one\n")
    assert "emnist-x-mapping.txt, line 1: got '1 one', expected a number and the code" in refused(idx, tmp_path, path)


# --- medmnist ---


def npz(file: Path, **changes: Any) -> Path:
    """Write six grey images, three for training; a value of None leaves an array out."""
    labels = np.array([[0], [4], [0], [4], [0], [4]])
    arrays: dict[str, Any] = {}
    for split, part in (("train", slice(0, 3)), ("val", slice(3, 4)), ("test", slice(4, 6))):
        arrays |= {f"{split}_images": GREY[part], f"{split}_labels": labels[part]}
    np.savez(file, **{key: value for key, value in (arrays | changes).items() if value is not None})
    return file


def test_medmnist_with_one_label(tmp_path: Path) -> None:
    raw = read(medmnist, tmp_path, npz(tmp_path / "x.npz"))
    assert [(image.file, image.label, image.split) for image in raw.images] == [
        ("train/000000", "0", "train"),
        ("train/000001", "4", "train"),
        ("train/000002", "0", "train"),
        ("val/000000", "4", "val"),
        ("test/000000", "0", "test"),
        ("test/000001", "4", "test"),
    ]
    assert raw.classes == ["0", "4"]
    assert not raw.multi_label
    np.testing.assert_array_equal(raw.pixels(5, channels=1, max_pixels=12)[..., 0], GREY[5])


def test_medmnist_in_colour_with_several_labels_and_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    colour = np.stack([GREY, GREY + 1, GREY + 2], axis=-1)
    several = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    splits = {"val_images": None, "val_labels": None, "test_images": colour[3:], "test_labels": several}
    npz(tmp_path / "in/x.npz", train_images=colour[:3], train_labels=several, **splits)
    (tmp_path / "in/classes.txt").write_text("mass\nnodule\nhernia\n")
    raw = read(medmnist, tmp_path, tmp_path / "in")
    assert [image.label for image in raw.images] == ["mass|hernia", "", "nodule"] * 2
    assert raw.classes == ["mass", "nodule", "hernia"]
    assert raw.multi_label
    np.testing.assert_array_equal(raw.pixels(1, channels=3, max_pixels=12), colour[1])


@pytest.mark.parametrize("word", ["valid", "validation", "dev"])
def test_other_words_for_validation(tmp_path: Path, word: str) -> None:
    named = read(medmnist, tmp_path, npz(tmp_path / "x.npz"))
    changes: dict[str, Any] = {"val_images": None, "val_labels": None}
    changes |= {f"{word}_images": GREY[3:4], f"{word}_labels": np.array([[4]])}
    assert read(medmnist, tmp_path, npz(tmp_path / "x.npz", **changes)).images == named.images


def test_what_systems_leave_beside_the_file_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    npz(tmp_path / "in/pathmnist.npz")
    (tmp_path / "in/._pathmnist.npz").write_bytes(b"Mac OS X")
    assert len(read(medmnist, tmp_path, tmp_path / "in").images) == 6


def test_a_list_of_classes_beside_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = npz(tmp_path / "in/x.npz")
    (tmp_path / "in/classes.txt").write_text("\n".join("abcde"))
    assert [read(medmnist, tmp_path, path).classes for path in (file.parent, file)] == [["a", "e"]] * 2
    assert not (tmp_path / "raw0/findings.csv").exists()
    told = [finding.text for finding in findings.read(tmp_path / "raw1/findings.csv")]
    assert told[0].startswith("classes.txt beside it names the classes; DVC notices no change there")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        raise AssertionError("a pickle was loaded")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_images": None, "train_labels": None}, "expected train_images, train_labels"),
        ({"train_images": None}, "train_images: got float64 (0,), expected uint8 or uint16 (N, H, W)"),
        ({"train_images": GREY[:3].astype(float)}, "train_images: got float64 (3, 4, 3), expected uint8"),
        ({"train_images": np.zeros((3, 4, 4, 4), np.uint8)}, "got uint8 (3, 4, 4, 4), expected uint8"),
        ({"train_labels": None}, "train_labels: got float64 (0,), expected whole numbers (3,) or (3, K)"),
        ({"train_labels": np.zeros((2, 1), int)}, "train_labels: got int64 (2, 1), expected whole numbers (3,)"),
        ({"train_labels": np.full((3, 2), 2)}, "got 2, expected 0 or 1 for each of several classes"),
        ({"train_labels": np.array([0, -1, 0])}, "got the class number -1"),
        ({"train_labels": np.array([{}, {}, {}], dtype=object)}, "not a readable .npz file of arrays"),
        ({"valid_images": GREY[3:4]}, "the arrays of val and valid are both taken as val; remove one"),
        ({"extra_images": GREY[3:4]}, "got the array extra_images, expected train_images, val_images, test_images"),
        ({"extra_labels": GREY[3:4]}, "got the array extra_labels, expected train_labels, val_labels, test_labels"),
        ({"test_images": np.zeros((2, 5, 3), np.uint8)}, "got images of train 4x3x1, val 4x3x1, test 5x3x1"),
    ],
)
def test_bad_medmnist_files(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in refused(medmnist, tmp_path, npz(tmp_path / "x.npz", **changes))


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nothing")
    assert "not a readable .npz file of arrays" in refused(medmnist, tmp_path, tmp_path / "x.npz")
    file = io.BytesIO()
    np.save(file, GREY)
    (tmp_path / "x.npz").write_bytes(file.getvalue())
    assert "got one array, expected an .npz file" in refused(medmnist, tmp_path, tmp_path / "x.npz")
    npz(tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-30])
    assert "not a readable .npz file of arrays" in refused(medmnist, tmp_path, tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        header = file.getvalue().replace(b"(6, 4, 3)", b"(9999999,")[:100]
        archive.writestr("train_images.npy", header)
    assert "not a readable .npz file of arrays" in refused(medmnist, tmp_path, tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes(b"")
    assert "got 2 .npz files, expected one; set source.path to it" in refused(medmnist, tmp_path, tmp_path)
