"""The benchmarks run: each in a small form, whose figures say nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.project import ROOT

# Others need images of their own or the results of a study.
SMALL = {
    "arithmetic": "--rounds 1",
    "attention": "--rounds 1",
    "audit_verdicts": "--draws 2 --planted 1 --jobs 1",
    "bootstrap": "--resamples 500 --items 50 --arms 2",
    "convergence": "--curves 5",
    "feature_cache": "--images 16 --epochs 1 --rounds 1 --threads 1",
    "growth": "--numbers 300 600",
    "intake": "--small 50 --large 5 --rounds 1",
    "loops": "--steps 80 --rounds 1 --threads 1",
    "overhead": "--stages 2 --seconds 1",
    "prediction": "--net simple --size 32 --images 8 --rounds 1 --threads 1",
    "probe": "--nets resnet --images 16 --rounds 1",
    "verdicts": "--studies 4 --jobs 1",
}


def run(name: str, arguments: str, cwd: Path) -> str:
    """Run a benchmark in the folder `cwd` and return what it prints."""
    command = [sys.executable, str(ROOT / f"benchmarks/{name}.py"), *arguments.split()]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(tmp_path: Path, name: str) -> None:
    shutil.copy(ROOT / "recipes/digits/params.yaml", tmp_path)
    assert run(name, SMALL[name], tmp_path).strip()


def test_hidden_labels_score_the_predictions_for_their_images(tmp_path: Path) -> None:
    for place in range(12):
        file = tmp_path / f"images/test/{'ab'[place % 2]}/{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([place]))
    run("unlabelled", "hide images hidden --number 5", tmp_path)
    assert len(list((tmp_path / "hidden/test").glob("*/*"))) == 7
    truth = dict(line.split(",") for line in (tmp_path / "hidden.csv").read_text().splitlines()[1:])
    for name, label in truth.items():
        place = (tmp_path / "hidden/unlabelled" / name).read_bytes()[0]
        assert label == "ab"[place % 2]
    wrong, *_ = truth
    found = {name: "ab".replace(label, "") if name == wrong else label for name, label in truth.items()}
    rows = [f"unlabelled/{name},{label},0.9" for name, label in sorted(found.items(), reverse=True)]
    (tmp_path / "vote").mkdir()
    (tmp_path / "vote/predictions.csv").write_text("\n".join(["file,label,probability", *rows]))
    # By Clopper and Pearson, for 4 of 5: scipy.stats.beta.ppf(.025, 4, 2) and (.975, 5, 1).
    assert run("unlabelled", "score hidden vote/predictions.csv", tmp_path).splitlines()[1].split() == (
        ["vote", "4", "of", "5", "80.00", "28.36", "to", "99.49", "90.00"]
    )
