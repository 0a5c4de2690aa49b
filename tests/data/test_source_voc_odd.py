"""PASCAL VOC's layout by other hands: annotations and lists as other programs and systems write them."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from kit.pictures import both, lay, read
from touchstone.data.reading import Read
from touchstone.data.recognise import recognised
from touchstone.errors import TouchstoneError

IDS = [f"{i:03d}" for i in range(8)]
APPLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + b"\xb0\xee\xff" * 10


def xml(label: str) -> str:
    return f"<annotation><object><name>{label}</name><bndbox><xmin>1.5</xmin></bndbox></object></annotation>"


def voc(
    root: Path,
    *,
    ids: list[str] = IDS,
    annotation: Callable[[str], str] = xml,
    suffix: str = ".xml",
    line: Callable[[str], str] = str,
    eol: str = "\n",
    bom: bytes = b"",
    encoding: str = "utf-8",
) -> Path:
    lay(root, [*(f"JPEGImages/{i}.jpg" for i in ids), "Annotations/", "ImageSets/Main/"])
    for number, i in enumerate(ids):
        text = annotation("cat" if number % 2 else "dog")
        (root / f"Annotations/{i}{suffix}").write_bytes(text.encode(encoding))
    for split, part in {"train": ids[:4], "val": ids[4:6], "test": ids[6:]}.items():
        lines = "".join(line(i) + eol for i in part)
        (root / f"ImageSets/Main/{split}.txt").write_bytes(bom + lines.encode())
    return root


def expected(ids: list[str] = IDS, names: tuple[str, str] = ("dog", "cat")) -> dict[str, tuple[str, str]]:
    split = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    return {f"{i}.jpg": (names[k % 2], split[k]) for k, i in enumerate(ids)}


@pytest.mark.parametrize(
    "odd",
    {
        "no difficult, float boxes": {},
        "crlf and bom": {"eol": "\r\n", "bom": b"\xef\xbb\xbf"},
        "blank names": {
            "annotation": lambda label: xml(f"\n   {label}  \n").replace(
                "<bndbox>", "<difficult> 0 </difficult><bndbox>"
            )
        },
        "marks": {"line": "{}  1".format},
        "suffixes": {"line": "{}.jpg".format},
        "paths": {"line": "JPEGImages/{}.jpg".format},
        "windows paths": {"line": "C:\\voc\\JPEGImages\\{}.jpg".format},
        "upper xml": {"suffix": ".XML"},
        "comment": {
            "annotation": lambda label: f"<?xml version='1.0' encoding='utf-8'?>\n<!-- by hand -->{xml(label)}"
        },
        "gbk": {"annotation": lambda label: f"<?xml version='1.0' encoding='gbk'?>{xml(label)}", "encoding": "gbk"},
    }.values(),
    ids=lambda odd: "-".join(odd) or "plain",
)
def test_annotations_and_lists_by_other_hands(tmp_path: Path, odd: dict[str, object]) -> None:
    found, texts = both(voc(tmp_path / "in", **odd), tmp_path, "voc")  # type: ignore[arg-type]
    assert found == expected()
    assert texts == []


def test_ids_with_blanks(tmp_path: Path) -> None:
    ids = [f"IMG {i} (1)" for i in range(8)]
    assert both(voc(tmp_path / "in", ids=ids), tmp_path, "voc")[0] == expected(ids)


def test_ids_with_blanks_and_marks_in_lists_of_classes(tmp_path: Path) -> None:
    ids = [f"IMG {i}" for i in range(8)]
    root = voc(tmp_path / "in", ids=ids)
    for file in sorted((root / "Annotations").iterdir()):
        file.unlink()
    (root / "Annotations").rmdir()
    for k, label in enumerate(("dog", "cat")):
        lines = "".join(f"{i}  {1 if n % 2 == k else -1}\n" for n, i in enumerate(ids))
        (root / f"ImageSets/Main/{label}_trainval.txt").write_text(lines)
    assert both(root, tmp_path, "voc")[0] == expected(ids)


def test_names_in_another_alphabet_and_encoding(tmp_path: Path) -> None:
    names = {"cat": "\u732b", "dog": "\u72d7"}
    text = "<?xml version='1.0' encoding='gbk'?>{}".format
    root = voc(tmp_path / "in", annotation=lambda label: text(xml(names[label])), encoding="gbk")
    assert both(root, tmp_path, "voc")[0] == expected(names=("\u72d7", "\u732b"))


def test_what_a_mac_leaves_beside_each_file(tmp_path: Path) -> None:
    root = voc(tmp_path / "in/VOC2007")
    for file in [file for file in root.rglob("*.*") if file.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(APPLE)
    lay(tmp_path / "in/__MACOSX/VOC2007", ["JPEGImages/._000.jpg"])
    assert both(tmp_path / "in", tmp_path, "voc")[0] == expected()


def test_classes_that_differ_in_case_are_told(tmp_path: Path) -> None:
    _, texts = both(
        voc(tmp_path / "in", annotation=lambda label: xml(label) if label == "cat" else xml("Cat")), tmp_path, "voc"
    )
    assert texts == ["classes differ in case alone: Cat and cat; give them one name if they are one"]


def test_images_without_an_object_are_kept(tmp_path: Path) -> None:
    root = voc(tmp_path / "in", annotation=lambda label: "<annotation/>" if label == "dog" else xml(label))
    assert both(root, tmp_path, "voc")[0] == expected(names=("", "cat"))


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"annotation": lambda _: xml("cat")}, "every image is cat, so there is nothing to learn"),
        ({"line": "{}  -1".format}, "train.txt, line 1: got the mark -1 behind 000; a list of a split has no marks"),
        ({"line": lambda i: f"{i} gone" if i == "000" else i}, "the list train names gone, which is not in JPEGImages"),
    ],
)
def test_what_is_not_clear_is_one_line(tmp_path: Path, odd: dict[str, object], said: str) -> None:
    with pytest.raises(TouchstoneError) as raised:
        read(voc(tmp_path / "in", **odd), tmp_path / "raw", "voc")  # type: ignore[arg-type]
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_links_to_images_are_followed(tmp_path: Path) -> None:
    root = voc(tmp_path / "in")
    (root / "JPEGImages").rename(tmp_path / "elsewhere")
    (root / "JPEGImages").mkdir()
    for file in sorted((tmp_path / "elsewhere").iterdir()):
        (root / "JPEGImages" / file.name).symlink_to(file)
    assert read(root, tmp_path / "raw", "voc")[0] == expected()


def test_images_without_a_suffix_are_recognised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(files: Mapping[str, Read], folders: Iterable[str], *, anywhere: bool) -> list[str]:
        calls.append(len(files))
        return recognised(files, folders, anywhere=anywhere)

    monkeypatch.setattr("touchstone.data.sources._voc.recognised", counted)
    assert read(voc(tmp_path / "in"), tmp_path / "raw", "voc")[0] == expected()
    assert calls == [8]


def test_images_without_a_suffix_are_known_by_their_content(tmp_path: Path) -> None:
    root = voc(tmp_path / "in")
    for i in IDS:
        (root / f"JPEGImages/{i}.jpg").rename(root / f"JPEGImages/{i}")
    (root / "JPEGImages/notes").write_text("no image")
    found, _ = both(root, tmp_path, "voc")
    assert found == {name.removesuffix(".jpg"): values for name, values in expected().items()}


@pytest.mark.parametrize("word", ["valid", "validation", "dev", "Val"])
@pytest.mark.parametrize("by_lists", [False, True])
def test_a_list_of_another_name_for_validation(tmp_path: Path, word: str, by_lists: bool) -> None:
    root = voc(tmp_path / "in")
    lists = root / "ImageSets/Main"
    (lists / "val.txt").rename(lists / f"{word}.txt")
    if by_lists:
        for file in sorted((root / "Annotations").iterdir()):
            file.unlink()
        (root / "Annotations").rmdir()
        for k, label in enumerate(("dog", "cat")):
            for split, part in {"train": range(4), word.lower(): range(4, 6), "test": range(6, 8)}.items():
                lines = "".join(f"{IDS[n]} {1 if n % 2 == k else -1}\n" for n in part)
                (lists / f"{label}_{split}.txt").write_text(lines)
    found, texts = both(root, tmp_path, "voc")
    assert found == expected()
    assert texts == []


def test_two_lists_of_one_split_are_refused(tmp_path: Path) -> None:
    root = voc(tmp_path / "in")
    (root / "ImageSets/Main/valid.txt").write_text("000\n")
    with pytest.raises(TouchstoneError, match=r"val.txt and valid.txt are both taken as val; remove one of them"):
        read(root, tmp_path / "raw", "voc")


def test_a_missing_image_and_two_splits_are_told_by_the_names_of_the_lists(tmp_path: Path) -> None:
    for ids, said in (("gone", "the list valid names gone"), ("000", "000 is listed in train and in valid")):
        root = voc(tmp_path / ids)
        (root / "ImageSets/Main/val.txt").unlink()
        (root / "ImageSets/Main/valid.txt").write_text(f"{ids}\n")
        with pytest.raises(TouchstoneError, match=said):
            read(root, tmp_path / f"raw-{ids}", "voc")


def test_images_on_no_list_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = voc(tmp_path / "in")
    (root / "ImageSets/Main/val.txt").unlink()
    found, texts = both(root, tmp_path, "voc")
    assert len(found) == 6
    assert texts == ["left out 2 images that no list names: 004.jpg, 005.jpg"]
    assert capsys.readouterr().out.count("left out 2 images") == 2
