"""Several labels an image, as users run it: a real `dvc repro` on small pictures in PASCAL VOC's layout."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kit.project import project, run

pytestmark = pytest.mark.slow
CLASSES = ("left", "right", "top")
COUNTS = {"train": 40, "val": 20, "test": 24}
TINY = (
    "data.source=voc",
    "source.path=pictures",
    "data.channels=1",
    "data.image_size=12",
    "data.resize=shortest_edge",
    "data.train_size=0",
    "data.val_fraction=0",
    "transforms={brighter: {brightness: 1.1}}",
    "generators={}",
    "arms={real: {add: []}, fixed: {add: [brighter], ratio: 0.5}}",
    "models={lenet: {input_size: 16, crops: five, crop_size: 10}}",
    "explain={images: 2, runs: [lenet-fixed], steps: 8, samples: 2, randomised: 2}",
    "ensembles={vote: {rule: majority, members: [lenet-real, lenet-fixed], prefer: lenet-real},"
    " mean: {rule: mean, members: [lenet-real, lenet-fixed]}}",
    "train={num_steps: 90, batch_size: 8, lr: 0.004, schedule: one_cycle, eval_steps: 30, select: val_map,"
    " num_threads: 1, replicates: 2}",
    "audit.encoder={net: lenet, input_size: 16}",
    "compare.num_resamples=200",
    "audit.num_draws=2",
)


def picture(labels: list[str], seed: int) -> np.ndarray:
    """12 x 15, dim noise; a class brightens its part."""
    pixels = np.random.default_rng(seed).integers(0, 90, (12, 15), np.uint8)
    parts = {"left": np.s_[6:, :5], "right": np.s_[6:, 10:], "top": np.s_[:4, :]}
    for name in labels:
        pixels[parts[name]] += 12
    return pixels


def lay(root: Path) -> Path:
    """Labels in turn, none among them; of some training images `top` is difficult to see."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / part).mkdir(parents=True)
    for number, (split, count) in enumerate(COUNTS.items()):
        names = [f"{split}{i:02}" for i in range(count)]
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")
        for i, name in enumerate(names):
            labels = [c for k, c in enumerate(CLASSES) if i >> k & 1]
            Image.fromarray(picture(labels, 1000 * number + i)).save(root / f"JPEGImages/{name}.png")
            marked = [("top", 1)] if split == "train" and i % 8 == 0 else []
            things = [
                f"<object><name>{c}</name><difficult>{d}</difficult></object>"
                for c, d in [(c, 0) for c in labels] + marked
            ]
            (root / f"Annotations/{name}.xml").write_text(f"<annotation>{''.join(things)}</annotation>")
    return root


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("several"), *TINY)
    lay(folder / "pictures")
    run("dvc", "repro", cwd=folder)
    return folder


def test_it_ends_in_scores_of_each_label_and_verdicts_on_mean_ap(space: Path) -> None:
    metrics = json.loads((space / "metrics/metrics.json").read_text())
    assert set(metrics) == {"lenet-real", "lenet-fixed", "vote", "mean"}
    real, fixed = metrics["lenet-real"], metrics["lenet-fixed"]
    assert real["map"] > real["map_constant"] + 0.1
    assert real["map_low"] < real["map"] <= real["map_voc"]
    wanted = {"accuracy", "micro_f1", "macro_f1", "tail_accuracy", "nll", "ece", "val_map", "map_sd", "n_test"}
    assert wanted <= set(real)
    assert fixed["gain"] == pytest.approx(fixed["map"] - real["map"], abs=2e-5)
    assert fixed["verdict"] == "too few replicates", "two, and a single arm"
    assert metrics["vote"]["baseline"] in ("lenet-real", "lenet-fixed")
    assert [row["n_test"] for row in metrics.values()] == [24] * 4


def test_arms_keep_all_labels_and_marks(space: Path) -> None:
    train, added = (
        pd.read_csv(space / f"data/{name}/table.csv", keep_default_na=False)
        for name in ("prepared/train", "augmented/brighter")
    )
    assert added["label"].tolist() == train["label"].tolist()
    assert added["difficult"].tolist() == train["difficult"].tolist()
    assert sorted(train["difficult"].unique()) == ["", "top"]
    assert {"", "left|right|top"} <= set(train["label"])
    report = (space / "metrics/report.md").read_text()
    assert "| fixed | brighter, ratio 0.5 | 40 | 20 | 60 |" in report


def test_the_report_shows_classes_galleries_and_what_comes_together(space: Path) -> None:
    page, twin = ((space / f"metrics/report.{kind}").read_text() for kind in ("html", "md"))
    for id_ in ("together", "classes", "galleries", "curves"):
        assert f'<section id="{id_}"' in page
    assert '<section id="confusion"' not in page
    assert page.count('role="group" aria-label="Highest scores of') == 4 * 3
    assert page.count('class="misplaced"') == _misplaced(page) > 0
    assert "percentage points of mean average precision on the test images" in twin
    assert "| all labels | 60 | 28 | 36 |" in twin
    assert re.search(r"\| images without a label \| 5 \| 3 \| 3 \|", twin)
    table = pd.read_csv(space / "data/plots/classes/lenet-real.csv")
    row = next(line for line in twin.split("<!-- ap:start -->")[1].splitlines() if line.startswith("| left"))
    assert row.split("|")[5].strip() == f"{100 * table.loc[0, 'ap']:.1f}"


def _misplaced(page: str) -> int:
    """Counted from what the figures say, not from their frames."""
    places = re.findall(r'aria-label="(Highest|Lowest) scores.*?</div>', page, re.S)
    blocks = re.split(r'aria-label="(?:Highest|Lowest) scores', page)[1:]
    wrong = 0
    for place, block in zip(places, blocks, strict=True):
        said = re.findall(r"</strong> (lacks it|has it)", block)
        wrong += sum((text == "has it") != (place == "Highest") for text in said)
    return wrong


def test_plots_are_for_dvc(space: Path) -> None:
    curves = pd.read_csv(space / "data/plots/precision_recall/vote.csv")
    assert set(curves["class"]) == set(CLASSES)
    assert curves[["recall", "precision"]].max().max() <= 1
    done = run("dvc", "plots", "show", "data/plots/precision_recall", "--json", cwd=space)
    drawn = [plot for file in json.loads(done.stdout)["data"].values() for plot in file]
    assert len(drawn) >= 4
    assert all('"field": "class"' in json.dumps(plot) for plot in drawn)


def test_predictions_of_a_folder_name_all_labels(space: Path, tmp_path: Path) -> None:
    for i, labels in enumerate(([], ["left", "top"])):
        Image.fromarray(picture(labels, 50 + i)).save(tmp_path / f"{i}.png")
    shutil.copy(space / "pictures/JPEGImages/test07.png", tmp_path)
    files = pd.read_csv(space / "data/prepared/files.csv")
    row = files.loc[(files["split"] == "test") & (files["file"] == "test07.png"), "row"].item()
    for name in ("lenet-fixed", "vote", "mean"):
        run("touchstone", "predict", tmp_path, "-o", tmp_path / "out.csv", "-m", name, cwd=space)
        table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
        assert table.columns.tolist() == ["file", "label", "p(left)", "p(right)", "p(top)", "error"]
        folder = "probs" if name == "lenet-fixed" else "ensembles"
        known = np.load(space / f"data/{folder}/{name}/test.npy").mean(0)[row]
        assert table.loc[2, ["p(left)", "p(right)", "p(top)"]].tolist() == pytest.approx(known.tolist(), abs=2e-4)
    assert "left" in table.loc[1, "label"]
