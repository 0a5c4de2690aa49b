"""After a change, DVC runs the stages that depend on it again and no others, in a real repository."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from kit.pipeline import reset, stages_run, would_run
from kit.project import run
from touchstone.config import yaml


def test_one_number_changed_reruns_what_depends_on_it(tiny_space: Path) -> None:
    """At the new rate training diverges: the rest of the pipeline runs on, and the report says so."""
    done = run("dvc", "exp", "run", "-S", "models.simple.lr=10", "--name", "high-lr", cwd=tiny_space)
    ran = stages_run(done.stdout)
    expected = {f"{stage}@simple-{arm}" for stage in ("tune", "train", "predict") for arm in ("real", "fixed")}
    after = {"settings", "pretrained", "find_lr@simple", "ensemble", "evaluate", "explain", "verdict", "report"}
    assert ran == expected | after
    diff = run("dvc", "metrics", "diff", "--md", "--no-path", cwd=tiny_space).stdout
    assert re.search(r"\| simple-real\.accuracy +\| [\d.]+ +\| [\d.]+ +\| -?[\d.]+ +\|", diff)
    assert "| lenet-real." not in diff
    assert re.search(r"simple-real seed 0: diverged after \d\.\d epochs, at step \d: the training loss is", done.stdout)
    metrics = json.loads((tiny_space / "metrics/metrics.json").read_text())
    assert metrics["simple-real"]["diverged"] == metrics["simple-fixed"]["diverged"] == "2 of 2 seeds"
    assert metrics["simple-fixed"]["verdict"] == "diverged"
    assert metrics["vote"]["left_out"] == "simple-real, simple-fixed"
    assert metrics["vote"]["diverged"] == "every member but lenet-real"
    assert metrics["vote"]["accuracy"] == metrics["lenet-real"]["accuracy"]
    for name in ("report.html", "report.md"):
        text = (tiny_space / "metrics" / name).read_text()
        assert "simple-fixed, seed 0: diverged after" in text
        assert "; so did seed 1." in text
        assert "vote leaves out simple-real, simple-fixed, whose training diverged." in text


def test_going_back_runs_nothing(tiny_space: Path) -> None:
    run("dvc", "exp", "run", "-S", "models.simple.lr=10", cwd=tiny_space)  # from the run cache, by now
    reset(tiny_space)
    assert stages_run(run("dvc", "repro", cwd=tiny_space).stdout) == set()


def test_a_new_model_file_runs_only_its_own(tiny_space: Path) -> None:
    net = (tiny_space / "src/touchstone/models/nets/lenet.py").read_text().replace("120", "60")
    (tiny_space / "src/touchstone/models/nets/mine.py").write_text(net)
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(yaml.changed(text, ["models.mine={input_size: 16}"]))
    ran = would_run(tiny_space)
    runs = [f"mine-{arm}" for arm in ("real", "fixed")]
    own = {f"{stage}@{run}" for stage in ("tune", "train", "predict") for run in runs} | {"find_lr@mine"}
    assert ran == own | {"pretrained", "evaluate", "explain", "verdict", "report"}


@pytest.mark.slow
def test_training_depends_on_the_hash_of_its_own_weights(tiny_space: Path) -> None:
    """A model that starts from a run's weights, in two phases; other weights train it anew and no other model."""
    weights = tiny_space / "data/weights/mine.safetensors"
    shutil.copy(tiny_space / "data/runs/simple-real/seed-0.safetensors", weights)
    phases = "[{num_steps: 4, trainable: [head]}, {num_steps: 3, lr: 0.001}]"
    model = f"{{input_size: 16, weights: {weights.relative_to(tiny_space)}, normalisation: data, phases: {phases}}}"
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(yaml.changed(text, [f"models.simple={model}"]))
    own = {f"train@simple-{arm}" for arm in ("real", "fixed")}
    for split in ("real", "fixed"):
        ran = stages_run(run("dvc", "repro", f"train@simple-{split}", cwd=tiny_space).stdout)
        assert "pretrained" in ran or split == "fixed"
        assert f"train@simple-{split}" in ran
    history = pd.read_csv(tiny_space / "data/runs/simple-real/history.csv")
    assert history["step"].tolist() == [4, 7] * 2
    assert list((tiny_space / ".touchstone/features").glob("*.npy"))
    tensors = safetensors.numpy.load_file(weights)
    safetensors.numpy.save_file({name: value + 1 for name, value in tensors.items()}, weights)
    ran = stages_run(run("dvc", "repro", *sorted(own), "train@lenet-real", cwd=tiny_space).stdout)
    assert ran == own | {"pretrained", "find_lr@simple", "tune@simple-real", "tune@simple-fixed"}
    weights.unlink()


def test_one_more_replicate_trains_only_itself(tiny_space: Path) -> None:
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(yaml.changed(text, ["train.replicates=3"]))
    before = (tiny_space / "data/runs/lenet-real/seed-1.safetensors").read_bytes()
    run("dvc", "repro", "settings", cwd=tiny_space)
    done = run("dvc", "repro", "--single-item", "train@lenet-real", cwd=tiny_space)
    assert "lenet-real seed 0: trained before" in done.stdout
    assert "lenet-real seed 1: trained before" in done.stdout
    assert (tiny_space / "data/runs/lenet-real/seed-1.safetensors").read_bytes() == before
    assert (tiny_space / "data/runs/lenet-real/seed-2.safetensors").exists()


@pytest.mark.slow
def test_more_images_of_a_class_extend_the_set_and_fit_nothing(tiny_space: Path) -> None:
    before = np.load(tiny_space / "data/augmented/ddpm/images/0000.npy")
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(yaml.changed(text, ["generators.ddpm.sample.per_class=7"]))
    ran = stages_run(run("dvc", "repro", "augment", cwd=tiny_space).stdout)
    assert ran == {"settings", "filters", "synthesize@ddpm", "augment"}
    later = would_run(tiny_space)
    assert {"train@lenet-fixed", "train@simple-fixed", "audit"} <= later
    assert not {"fit@ddpm", "fit@gan", "synthesize@gan", "train@lenet-real"} & later
    after = np.load(tiny_space / "data/augmented/ddpm/images/0000.npy")
    assert len(after) == 70
    assert np.array_equal(after[: len(before)], before)


def test_words_run_nothing_that_trains_fits_samples_or_predicts(tiny_space: Path) -> None:
    for file, old, new in (
        ("data/training_set.py", "run `dvc repro augment`", "then `dvc repro augment`"),
        ("training/loggers.py", "purge_step=start + 1", "purge_step=start + 1, max_queue=5"),
        ("config/checks.py", "Raise TouchstoneError at the first contradiction", "Raise an error at a contradiction"),
        ("report/pages.py", "WORST = 5", "COLUMN = 1\nWORST = 5"),
    ):
        path = tiny_space / "src/touchstone" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    assert "settings" in run("dvc", "status", cwd=tiny_space).stdout, "the one stage that reads the code"
    assert would_run(tiny_space) == {"verdict", "report"}, "for the last change"


def test_a_transform_that_is_dropped_leaves_nothing_behind(tiny_space: Path) -> None:
    file = tiny_space / "params.yaml"
    file.write_text(yaml.changed(file.read_text(), ["transforms={tilt: {rotate_deg: 10}}"]))
    said = run("dvc", "repro", "augment", cwd=tiny_space).stdout
    assert "removed: data/augmented/repeat" in said
    assert not (tiny_space / "data/augmented/repeat").exists()
    run("dvc", "repro", "audit", cwd=tiny_space)
    assert set(json.loads((tiny_space / "data/audit/audit.json").read_text())["sets"]) == {"tilt", "gan", "ddpm"}
    said = run("touchstone", "verify", cwd=tiny_space, check=False).stdout.splitlines()
    assert {line.partition(":")[0] for line in said[:-1]} == {"stale"}, "no fault and no leftover"
    assert "stale: metrics/report.md (output of report)" in said
    assert "stale: metrics/audit_summary.json (output of audit)" not in said
    run("git", "restore", ".", cwd=tiny_space)
    run("dvc", "checkout", cwd=tiny_space)
    assert run("dvc", "status", cwd=tiny_space).stdout == "Data and pipelines are up to date.\n"


def test_with_equal_epochs_an_arm_takes_as_many_more_steps_as_it_has_more_images(tiny_space: Path) -> None:
    text = (tiny_space / "params.yaml").read_text()
    (tiny_space / "params.yaml").write_text(yaml.changed(text, ["models.simple.budget=equal_epochs"]))
    run("dvc", "repro", "settings", cwd=tiny_space)
    num_images = 2 * 40 + len(np.load(tiny_space / "data/augmented/ddpm/images/0000.npy"))
    for arm, num_steps in (("real", 20), ("fixed", round(20 * num_images / 40))):
        run("dvc", "repro", "--single-item", f"train@simple-{arm}", cwd=tiny_space)
        history = pd.read_csv(tiny_space / f"data/runs/simple-{arm}/history.csv")
        assert history["step"].max() == num_steps
        assert len(history) == 2 * 2, "validated as often, with two seeds"
    assert "equal_epochs" not in (tiny_space / "data/settings/models/lenet.json").read_text()
