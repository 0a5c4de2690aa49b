"""Images made elsewhere as arms of a whole study: the control that reviewers ask for, several labels, and groups."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kit.project import project, run

pytestmark = pytest.mark.slow

SMALL = (
    "data.source=folder",
    "data.channels=1",
    "data.image_size=8",
    "data.train_size=0",
    "data.test_fraction=0.3",
    "data.val_fraction=0.25",
    "train.num_steps=20",
    "train.eval_steps=10",
    "train.replicates=2",
    "transforms={repeat: {}}",
    "models={lenet: {input_size: 16}}",
    "explain={images: 1, runs: [lenet-real], methods: [saliency], randomised: 1}",
    "ensembles={}",
    "compare.num_resamples=200",
    "audit.num_draws=2",
    "audit.num_splits=20",
    "audit.encoder={net: lenet, input_size: 16}",
    "report.worst=4",
)
GAN = (
    "gan: {kind: dcgan, fit: {num_steps: 12, channels: 4, min_diversity: 0, max_diversity: 99},"
    " sample: {per_class: 12, block: 4}}"
)


def digits(folder: Path, rows: range) -> Path:
    """Class folders of three digits, the images number `rows` of each, 8 px."""
    images, labels = load_digits().images, load_digits().target
    for label in range(3):
        (folder / f"{label}").mkdir(parents=True)
        for number, pixels in enumerate(images[labels == label][rows.start : rows.stop]):
            Image.fromarray(np.uint8(pixels * 15)).save(folder / f"{label}/{number:03d}.png")
    return folder


def metrics(root: Path) -> dict[str, dict[str, object]]:
    return json.loads((root / "metrics/metrics.json").read_text())


def audited(root: Path) -> dict[str, dict[str, object]]:
    return json.loads((root / "metrics/audit.json").read_text())["sets"]


def test_generated_images_against_retrieved_ones_at_equal_numbers(tmp_path: Path) -> None:
    """Both sets are archives or generated anew for each replicate, as `vary: all` draws its training images."""
    root = project(
        tmp_path / "p",
        *SMALL,
        "source.path=data/external/digits.zip",
        f"generators={{{GAN}, retrieved: {{kind: folder, path: data/added/retrieved.zip}}}}",
        "arms={real: {add: []}, generated: {add: [gan], per_class: 10}, retrieved: {add: [retrieved], per_class: 10}}",
        "compare.control=retrieved",
        "data.train_size=60",
        "train.vary=all",
    )
    (root / "data/added").mkdir(exist_ok=True)
    shutil.make_archive(str(root / "data/external/digits"), "zip", digits(tmp_path / "real", range(100)))
    shutil.make_archive(str(root / "data/added/retrieved"), "zip", digits(tmp_path / "held-out", range(100, 115)))
    run("touchstone", "repro", cwd=root)
    rows = metrics(root)
    found = rows["lenet-generated"]
    assert found["control"] == "lenet-retrieved"
    assert found["control_gain"] == pytest.approx(found["accuracy"] - rows["lenet-retrieved"]["accuracy"], abs=2e-5)
    assert found["control_gain_low"] <= found["control_gain"] <= found["control_gain_high"]
    assert "control_gain" not in rows["lenet-retrieved"]
    report = (root / "metrics/report.md").read_text()
    assert "| generated | gan, at most 10 a class | 60 | 30 | 90 |" in report
    assert "| retrieved | retrieved, at most 10 a class | 60 | 30 | 90 |" in report, "equal numbers"
    assert "**lenet-generated** over lenet-retrieved: " in report
    assert "over retrieved" in report, "a column of the table of gains"
    assert set(audited(root)) == {"gan", "repeat", "retrieved"}
    assert audited(root)["retrieved"]["verdict"] != "leak"
    files = pd.read_csv(root / "data/augmented/retrieved/files.csv", dtype=str)
    assert len(files) == 45


def test_several_labels_and_patients_that_are_in_the_test_split(tmp_path: Path) -> None:
    root = project(
        tmp_path / "p",
        *SMALL,
        "source.path=data/external/scans",
        "data.group=patient",
        "generators={mine: {kind: folder}, other: {kind: folder}}",
        "arms={real: {add: []}, more: {add: [mine]}, clean: {add: [other]}}",
    )
    scans(root / "data/external/scans", 120, 0, [f"p{i:02d}" for i in range(40)])
    scans(root / "data/added/other", 20, 1, ["q1", "q2"])
    scans(root / "data/added/mine", 12, 2, ["unknown"])
    run("dvc", "repro", "prepare", cwd=root)
    shutil.rmtree(root / "data/added/mine")  # the set is made anew, of patients in each split
    of = {
        split: sorted(set(pd.read_csv(root / f"data/prepared/{split}/table.csv", dtype=str)["group"]))
        for split in ("train", "val", "test")
    }
    scans(root / "data/added/mine", 12, 2, [of["test"][0], of["test"][1], of["val"][0], of["train"][0]])
    run("touchstone", "repro", cwd=root)
    sets = audited(root)
    assert sets["mine"]["verdict"] == "leak"
    assert (sets["mine"]["shared_group_test"], sets["mine"]["shared_group_val"]) == (6, 3)
    assert (
        f"6 of 12 images belong to groups of test images: {of['test'][0]} (3), {of['test'][1]} (3)."
        in (sets["mine"]["reasons"])
    )
    assert f"3 of 12 images belong to a group of validation images: {of['val'][0]} (3)." in sets["mine"]["reasons"]
    assert (sets["other"]["shared_group_test"], sets["other"]["shared_group_val"]) == (0, 0)
    assert "No image belongs to a group of test or validation images." in sets["other"]["reasons"]
    headline = (root / "metrics/report.md").read_text().split("\n\n")[1]
    assert "But mine holds images of groups that test and validation images belong to" in headline
    table = pd.read_csv(root / "data/augmented/mine/table.csv", dtype=str, keep_default_na=False)
    assert any("|" in label for label in table["label"])


def scans(folder: Path, count: int, seed: int, patients: list[str]) -> None:
    """Pictures with a bright left half (a), a bright right half (b), both or neither, and a table with patients."""
    rng, lines = np.random.default_rng(seed), ["file,label,patient"]
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 60, (8, 8), np.uint8)
        label = ["", "a", "b", "a|b"][number % 4]
        for name, half in (("a", np.s_[:, :4]), ("b", np.s_[:, 4:])):
            pixels[half] += np.uint8(120 * (name in label))
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        lines.append(f"{number:03d}.png,{label},{patients[number % len(patients)]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
