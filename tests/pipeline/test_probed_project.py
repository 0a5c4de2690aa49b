"""A study of a probe and of a finetune that starts from it, from params.yaml to the report."""

import json
from pathlib import Path

import pandas as pd
import pytest

from kit.project import project, run

PROBED = (
    "data.train_size=40",
    "data.test_fraction=0.5",
    "data.val_fraction=0.25",
    "train.num_steps=4",
    "train.replicates=2",
    "train.hflip=true",
    "transforms={tilt: {rotate_deg: 10}}",
    "generators={}",
    "arms={real: {add: []}, fixed: {add: [tilt]}}",
    "models={probe: {net: lenet, input_size: 16, weights: random, probe: {folds: 3}}}",
    "finetunes={whole: {net: lenet, input_size: 16, init_from: probe-real}}",
    "explain={images: 1, runs: [probe-real], methods: [saliency], steps: 8, randomised: 1}",
    "ensembles={vote: {rule: mean, members: [probe-real, whole-real]}}",
    "compare.num_resamples=200",
    "report.worst=4",
)


@pytest.mark.slow
def test_a_probe_is_a_run_like_any_other(tmp_path: Path) -> None:
    root = tmp_path / "project"
    project(root, *PROBED)
    said = run("dvc", "repro", cwd=root).stdout
    assert "probe-fixed seed 1: C " in said
    assert "models.probe.weights: random: this probe is fitted on random features" in said
    assert "the same" not in said, "random weights differ from seed to seed"
    history = pd.read_csv(root / "data/runs/probe-real/history.csv")
    assert set(history["seed"]) == {0, 1}
    assert history.groupby("seed")["chosen"].sum().tolist() == [1.0, 1.0]
    metrics = json.loads((root / "metrics/metrics.json").read_text())
    assert {"probe-real", "probe-fixed", "whole-real", "vote"} <= set(metrics)
    assert "convergence" not in metrics["probe-real"]
    assert metrics["probe-real"]["accuracy"] > 0.3, "of ten classes, on random features"
    twin = (root / "metrics/report.md").read_text()
    assert "## The probe probe" in twin
    assert "in 3-fold cross-validation" in twin
    assert "Cross-validated log loss" in (root / "metrics/report.html").read_text()
    before = (root / "dvc.lock").read_text()
    run("dvc", "repro", "--force", "--single-item", "train@probe-real", cwd=root)
    assert (root / "dvc.lock").read_text() == before
