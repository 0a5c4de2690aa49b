"""Images that were made elsewhere: packed, prepared like real ones, limited, and refused in one line."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kit.params import load, message
from kit.report import facts_of, workspace
from touchstone.cluster import repro
from touchstone.config.schema.machine import Machine
from touchstone.data.added import pack_added
from touchstone.errors import TouchstoneError
from touchstone.generators import read_folder
from touchstone.generators.sample import Synthesized
from touchstone.report.pages import markdown

META = {"classes": ["cat", "dog"], "channels": 1, "image_size": 4, "resize": "squash", "max_pixels": 100}


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 6), hashlib.sha256(name.encode()).digest()[0]).save(root / name)
    return root


def made(tmp_path: Path, path: Path, meta: dict[str, Any] = META, **sample: Any) -> Synthesized:
    packed = tmp_path / "packed"
    packed.mkdir()
    pack_added("mine", path, to=packed)
    return read_folder(
        "mine",
        [None, None],
        values={"kind": "folder", "sample": sample},
        packed=packed,
        meta=meta,
        encoder=tmp_path,
        machine=Machine(accelerator="cpu"),
        scratch=tmp_path,
    )


def refused(tmp_path: Path, path: Path, meta: dict[str, Any] = META, **sample: Any) -> str:
    with pytest.raises(TouchstoneError) as caught:
        made(tmp_path, path, meta, **sample)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_class_and_one_image_are_enough_and_rows_are_sorted_by_the_files_bytes(tmp_path: Path) -> None:
    found = made(tmp_path, lay(tmp_path / "in", "cat/a.png", "cat/b.png", "cat/c.png"))
    assert found.rows is not None
    assert found.files is not None
    table = found.images.table.iloc[found.rows]
    bytes_of = [(tmp_path / "in" / file).read_bytes() for file in found.files["file"]]
    assert table["id"].tolist() == [hashlib.sha256(content).hexdigest() for content in bytes_of]
    assert table["id"].is_monotonic_increasing
    assert set(table["label"]) == {"cat"}
    assert set(table["origin"]) == {"mine"}
    assert "replicates" not in table, "replicates share the images"
    assert found.images.images.shape == (3, 4, 4, 1)
    greys = [hashlib.sha256(file.encode()).digest()[0] for file in found.files["file"]]
    assert found.images.images[found.rows].mean((1, 2, 3)).tolist() == greys, "each row shows its own file"
    assert found.counts.to_dict("list") == {"class": ["cat", "dog"], "sampled": [3, 0], "kept": [3, 0]}


def test_folders_around_the_images_of_a_table_give_no_split(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", "out/train/1.png", "out/2.png", "train/3.png")
    (path / "labels.csv").write_text("file,label\nout/train/1.png,cat\nout/2.png,dog\ntrain/3.png,cat\n")
    for each in (path, Path(shutil.make_archive(str(tmp_path / "packed-in"), "zip", path))):
        assert made(tmp_path, each).counts["kept"].tolist() == [2, 1]
        shutil.rmtree(tmp_path / "packed")
    (path / "labels.csv").write_text("file,label\nout/2.png,dog\nout/test/1.png,cat\n")
    lay(path, "out/test/1.png")
    assert (
        "labels.csv: out/test/1.png lies in a folder of test, but an added set has no splits and is trained on as a "
        "whole; rename the folder out/test, or remove its rows"
    ) in refused(tmp_path, path)


def test_a_limit_counts_each_class(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", *(f"{label}/{n}.png" for label in ("cat", "dog") for n in range(3)))
    found = made(tmp_path, path, per_class=2)
    assert found.counts["kept"].tolist() == [2, 2]
    assert len(found) == 4


def test_unreadable_images_stop_or_are_left_out(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", "cat/a.png", "dog/b.png")
    (path / "dog/bad.png").write_bytes(b"no image")
    text = refused(tmp_path, path)
    assert text.startswith("generators.mine.path: 1 of 3 images cannot be read: dog/bad.png: not an image")
    (tmp_path / "second").mkdir()
    found = made(tmp_path / "second", path, bad_images="skip")
    assert found.counts.to_dict("list") == {"class": ["cat", "dog"], "sampled": [1, 2], "kept": [1, 1]}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["cat/a.png", "dgo/a.png"], ["dgo/a.png: got the class dgo", "expected one of cat, dog; did you mean dog?"]),
        (["train/cat/a.png", "train/dog/a.png"], ["train/cat/a.png is of the split train", "has no splits"]),
        (["unlabelled/a.png", "cat/a.png"], ["unlabelled/a.png is of the split unlabelled"]),
        (["a.png"], ["the image a.png is not in a class folder"]),
    ],
)
def test_what_cannot_be_added_is_said(tmp_path: Path, names: list[str], parts: list[str]) -> None:
    text = refused(tmp_path, lay(tmp_path / "in", *names))
    assert text.startswith("generators.mine.path: ")
    assert all(part in text for part in parts), text


def test_what_is_found_in_a_set_is_told_by_the_report_and_by_repro(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lay(tmp_path / "in", "cat/a.png", "cat/b.png", ".22 rifle/c.png")
    (path / "cat/raw.nef").write_bytes(b"raw")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    (root := tmp_path / "root").mkdir()
    workspace(root)
    for name, of in (("mine", path), ("zipped", archive)):
        (root / "data/collected" / name).mkdir(parents=True)
        pack_added(name, of, to=root / "data/collected" / name)
    (root / "data/collected/sampled").mkdir()
    capsys.readouterr()
    repro._print_findings(root)
    said = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith(("images: mine", "images: zipped"))
    ]
    for name in ("mine", "zipped"):
        assert [line.partition(",")[0] for line in said if line.startswith(f"images: {name}: ")] == [
            f"images: {name}: left out 1 .nef file (cat 1)",
            f"images: {name}: left out hidden folders with images: .22 rifle (1); rename those that are classes",
        ]
    page = markdown(facts_of(root)).replace("\\", "")
    assert all(f"Found in the {line}" in page for line in said)


def test_a_table_gives_several_labels_only_where_the_study_has_them(tmp_path: Path) -> None:
    path = lay(tmp_path / "in", "a.png", "b.png", "c.png")
    (path / "labels.csv").write_text("file,label\na.png,cat|dog\nb.png,dog\nc.png,\n")
    assert "a.png: got the label 'cat|dog', expected one class" in refused(tmp_path, path)
    for name in ("several", "limited"):
        (tmp_path / name).mkdir()
    several = META | {"multi_label": True}
    found = made(tmp_path / "several", path, several)
    assert sorted(found.images.table["label"]) == ["", "cat|dog", "dog"]
    assert found.counts["kept"].tolist() == [1, 2]
    assert "limit the added ones by an arm's ratio" in refused(tmp_path / "limited", path, several, per_class=1)


def test_its_entry_takes_path_and_bad_images_from_elsewhere(tmp_path: Path) -> None:
    settings = load(tmp_path, "generators.mine={kind: folder}", "data.bad_images=skip")
    assert settings.folders == {"dcgan": "", "ddpm": "", "mine": "data/added/mine"}
    assert list(settings.fitted) == ["dcgan", "ddpm"]
    assert settings.generators["mine"].sample.model_dump()["bad_images"] == "skip"
    text = message(tmp_path, "generators.mine={kind: folder, path: /tmp/mine}")
    assert "generators.mine.path: got '/tmp/mine', expected a folder or an archive directly in data/added" in text
    assert "generators.mine.fit: unknown key" in message(
        tmp_path, "generators.mine={kind: folder, fit: {num_steps: 1}}"
    )


@pytest.mark.parametrize("group", ["patient", "(p[0-9])_"])
def test_groups_come_from_the_sets_own_table_or_paths(tmp_path: Path, group: str) -> None:
    path = lay(tmp_path / "in", "p1_a.png", "p2_b.png", "c.png")
    (path / "labels.csv").write_text("file,label,patient\np1_a.png,cat,p1\np2_b.png,dog,p2\nc.png,dog,\n")
    found = made(tmp_path, path, group=group)
    assert found.files is not None
    of = dict(zip(found.files["file"], found.files["group"], strict=True))
    assert of == {"p1_a.png": "p1", "p2_b.png": "p2", "c.png": ""}


def test_a_set_takes_its_groups_from_the_data_unless_it_has_its_own(tmp_path: Path) -> None:
    changes = ("data.group=patient", "generators={mine: {kind: folder}, other: {kind: folder, sample: {group: scan}}}")
    settings = load(tmp_path, *changes, "arms={real: {add: []}, fixed: {add: [tilt_left]}}", "ensembles={}")
    groups = {name: each.sample.model_dump()["group"] for name, each in settings.generators.items()}
    assert groups == {"mine": "patient", "other": "scan"}
    assert "generators.mine.sample.group" in message(
        tmp_path, "generators={mine: {kind: folder, sample: {group: '(a)(b)'}}}"
    )
