"""The pipeline as its users run it: real `dvc repro` on a tiny setting of the default."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from kit.project import ENVIRONMENT, project, run
from touchstone.config import yaml12

TINY = (
    "data.train_size=40",
    "train.num_steps=20",
    "train.eval_steps=10",
    "train.seeds=[0, 1]",
    "transforms={repeat: {}, tilt: {rotate_deg: 10}}",
    "generators={gan: {kind: dcgan,"
    " fit: {num_steps: 12, channels: 4, min_diversity: 0, max_diversity: 99, num_threads: 1},"
    " sample: {per_class: 4, block: 2, filter: {min_confidence: 0.02}}},"
    " ddpm: {fit: {num_steps: 30, channels: 8, multipliers: [1, 2],"
    " num_res_blocks: 1, min_diversity: 0, max_diversity: 99, num_threads: 1},"
    " sample: {per_class: 4, block: 2, num_inference_steps: 10}}}",
    "arms={real: {add: []}, fixed: {add: [tilt, ddpm]}}",
    "models={lenet: {input_size: 16, lr: auto}, simple: {input_size: 16, lr: 0.002, engine: torch}}",
    "explain={images: 2, runs: [lenet-real, simple-fixed], steps: 8, samples: 2, randomised: 2}",
    "ensembles={vote: {rule: majority, members: [lenet-real, simple-real, simple-fixed], prefer: lenet-real}}",
    "compare.num_resamples=200",
    "audit.num_draws=2",
    "train.num_threads=1",
    "report.worst=4",
)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the tiny pipeline ran once and was committed."""
    folder = project(tmp_path_factory.mktemp("pipeline"), *TINY)
    run("dvc", "repro", cwd=folder)
    commit(folder)
    return folder


@pytest.fixture(autouse=True)
def clean(space: Path) -> Iterator[None]:
    """Each test starts and ends with the committed state."""
    yield
    reset(space)


def reset(folder: Path) -> None:
    run("git", "reset", "-q", "--hard", cwd=folder)
    run("dvc", "checkout", cwd=folder)


def commit(folder: Path) -> None:
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-q", "-m", "ran", cwd=folder)


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"^Running stage '([^']+)'", output, re.M))


def test_it_ends_in_metrics_and_a_report(space: Path) -> None:
    metrics = json.loads((space / "metrics/metrics.json").read_text())
    runs = {f"{model}-{arm}" for model in ("lenet", "simple") for arm in ("real", "fixed")}
    assert set(metrics) == runs | {"vote"}
    assert {"accuracy", "accuracy_sd", "macro_f1", "nll", "ece", "n_test"} <= set(metrics["lenet-real"])
    assert {"gain", "gain_low", "gain_high", "verdict", "baseline"} <= set(metrics["simple-fixed"])
    assert metrics["simple-fixed"]["baseline"] == "simple-real"
    assert metrics["vote"]["baseline"] in {"lenet-real", "simple-real", "simple-fixed"}
    hashes = json.loads((space / "data/encoder/model.json").read_text())["weights"]
    filters = {name: json.loads((space / f"data/filters/{name}.json").read_text()) for name in ("gan", "ddpm")}
    assert filters == {"gan": {"classifier": hashes["1001"]}, "ddpm": {"classifier": None}}
    audit = json.loads((space / "metrics/audit.json").read_text())
    assert audit["encoder"]["sha256"] == hashes["1000"]
    assert set(audit["sets"]) == {"repeat", "tilt", "gan", "ddpm"}
    assert audit["sets"]["repeat"]["verdict"] == "copies"
    assert audit["sets"]["repeat"]["exact_training"] == 40
    for name in ("report.html", "report.md"):
        text = (space / "metrics" / name).read_text()
        assert all(word in text for word in ("lenet", "gan", "C_T", "copies"))


def test_nothing_of_one_run_is_in_git_but_small_text(space: Path) -> None:
    files = run("git", "ls-files", "data", "metrics", cwd=space).stdout.split()
    assert files == [
        "data/external/README.md",
        "data/external/none/README.md",
        "data/weights/README.md",
        "metrics/audit.json",
        "metrics/metrics.json",
        "metrics/report.md",
    ]
    assert run("git", "status", "--porcelain", cwd=space).stdout == ""


def test_seconds_dates_and_versions_stay_beside(space: Path) -> None:
    notes = [json.loads(path.read_text()) for path in (space / "metrics/runtime").glob("*.json")]
    assert {"train@lenet-real", "prepare", "evaluate"} <= {note["stage"] for note in notes}
    assert all({"seconds", "started", "versions", "hardware"} <= set(note) for note in notes)


def test_again_no_stage_runs(space: Path) -> None:
    assert stages_run(run("dvc", "repro", cwd=space).stdout) == set()


def test_plots_and_metrics_commands_work(space: Path) -> None:
    run("dvc", "plots", "show", "-o", "plots_out", cwd=space)
    html = (space / "plots_out/index.html").read_text()
    assert all(name in html for name in ("Training loss of lenet on real", "confusion/vote.csv", "classes/vote.csv"))
    shutil.rmtree(space / "plots_out")
    table = run("dvc", "metrics", "show", "--md", cwd=space).stdout
    assert "lenet-real.accuracy" in table


def test_one_number_changed_reruns_what_depends_on_it(space: Path) -> None:
    """Here to one at which training diverges: the rest of the pipeline goes on, to a report that says so."""
    done = run("dvc", "exp", "run", "-S", "models.simple.lr=10", "--name", "high-lr", cwd=space)
    ran = stages_run(done.stdout)
    expected = {f"{stage}@simple-{arm}" for stage in ("train", "predict") for arm in ("real", "fixed")}
    assert ran == expected | {
        "check",
        "nets",
        "pretrained",
        "find_lr@simple",
        "ensemble",
        "evaluate",
        "explain",
        "report",
    }
    diff = run("dvc", "metrics", "diff", "--md", "--no-path", cwd=space).stdout
    assert re.search(r"\| simple-real\.accuracy +\| [\d.]+ +\| [\d.]+ +\| -?[\d.]+ +\|", diff)
    assert "| lenet-real." not in diff
    assert re.search(r"simple-real seed 0: diverged after \d\.\d epochs, at step \d: the training loss is", done.stdout)
    metrics = json.loads((space / "metrics/metrics.json").read_text())
    assert metrics["simple-real"]["diverged"] == metrics["simple-fixed"]["diverged"] == "2 of 2 seeds"
    assert metrics["simple-fixed"]["verdict"] == "diverged"
    assert metrics["vote"]["left_out"] == "simple-real, simple-fixed"
    assert metrics["vote"]["diverged"] == "every member but lenet-real"
    assert metrics["vote"]["accuracy"] == metrics["lenet-real"]["accuracy"]
    for name in ("report.html", "report.md"):
        text = (space / "metrics" / name).read_text()
        assert "simple-fixed, seed 0: diverged after" in text
        assert "; so did seed 1." in text
        assert "vote leaves out simple-real, simple-fixed, whose training diverged." in text


def test_a_learning_rate_is_found_once_for_all_arms(space: Path) -> None:
    found = json.loads((space / "data/lr/lenet.json").read_text())["lr"]
    assert 1e-5 < found < 1
    curve = pd.read_csv(space / "data/lr_curves/lenet.csv")
    assert list(curve) == ["lr", "loss", "smoothed"]
    assert f"auto: {found:g}" in (space / "metrics/report.md").read_text()
    assert json.loads((space / "data/lr/simple.json").read_text()) == {"lr": None}
    assert pd.read_csv(space / "data/lr_curves/simple.csv").empty
    rates = [pd.read_csv(space / f"data/rates/lenet-{arm}.csv") for arm in ("real", "fixed")]
    assert rates[0].equals(rates[1])


def test_going_back_runs_nothing(space: Path) -> None:
    run("dvc", "exp", "run", "-S", "models.simple.lr=10", cwd=space)  # from the run cache, by now
    reset(space)
    assert stages_run(run("dvc", "repro", cwd=space).stdout) == set()


def test_a_new_model_file_runs_only_its_own(space: Path) -> None:
    net = (space / "src/touchstone/models/nets/lenet.py").read_text().replace("120", "60")
    (space / "src/touchstone/models/nets/mine.py").write_text(net)
    run("git", "add", "src", cwd=space)  # experiments take along what git knows
    ran = stages_run(run("dvc", "exp", "run", "-S", "+models.mine={input_size: 16}", cwd=space).stdout)
    own = {f"{stage}@mine-{arm}" for stage in ("train", "predict") for arm in ("real", "fixed")} | {"find_lr@mine"}
    assert ran == own | {"code", "check", "nets", "pretrained", "ensemble", "evaluate", "explain", "report"}


def test_training_hangs_on_the_hash_of_its_own_weights(space: Path) -> None:
    """A model that starts from a run's weights, in two phases; other weights train it anew and no other model."""
    weights = space / "data/weights/mine.safetensors"
    shutil.copy(space / "data/runs/simple-real/seed-0.safetensors", weights)
    phases = "[{num_steps: 4, trainable: [head]}, {num_steps: 3, lr: 0.001}]"
    model = f"{{input_size: 16, weights: {weights.relative_to(space)}, normalisation: data, phases: {phases}}}"
    text = (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(yaml12.changed(text, [f"models.simple={model}"]))
    own = {f"train@simple-{arm}" for arm in ("real", "fixed")}
    for split in ("real", "fixed"):
        ran = stages_run(run("dvc", "repro", f"train@simple-{split}", cwd=space).stdout)
        assert "pretrained" in ran or split == "fixed"
        assert f"train@simple-{split}" in ran
    history = pd.read_csv(space / "data/runs/simple-real/history.csv")
    assert history["step"].tolist() == [4, 7] * 2
    assert list((space / ".touchstone/features").glob("*.npy"))
    tensors = safetensors.numpy.load_file(weights)
    safetensors.numpy.save_file({name: value + 1 for name, value in tensors.items()}, weights)
    ran = stages_run(run("dvc", "repro", *sorted(own), "train@lenet-real", cwd=space).stdout)
    assert ran == own | {"pretrained", "find_lr@simple"}
    weights.unlink()


def test_one_more_seed_trains_only_itself(space: Path) -> None:
    text = (space / "params.yaml").read_text()
    seeds = "  seeds:\n  - 0\n  - 1\n"
    assert seeds in text
    (space / "params.yaml").write_text(text.replace(seeds, f"{seeds}  - 2\n"))
    before = (space / "data/runs/lenet-real/seed-1.safetensors").read_bytes()
    done = run("dvc", "repro", "--single-item", "train@lenet-real", cwd=space)
    assert "lenet-real seed 0: trained before" in done.stdout
    assert "lenet-real seed 1: trained before" in done.stdout
    assert (space / "data/runs/lenet-real/seed-1.safetensors").read_bytes() == before
    assert (space / "data/runs/lenet-real/seed-2.safetensors").exists()


def test_killed_in_training_and_run_again_gives_the_same_lock(space: Path) -> None:
    lock = (space / "dvc.lock").read_bytes()
    text = (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(text.replace("save_seconds: 20", "save_seconds: 0"))
    command = ["dvc", "repro", "--force", "--single-item", "train@lenet-fixed"]
    process = subprocess.Popen(command, cwd=space, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL)
    state = wait_for(space / ".touchstone/train/lenet-fixed", "*/seed-1/state.pt")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    (space / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    again = run(*command, cwd=space)  # forced again, for DVC would restore what it has cached
    assert re.search(r"lenet-fixed seed 1: resumed at step [1-9]\d* of 20", again.stdout), again.stdout
    assert "lenet-fixed seed 0: trained before" in again.stdout
    assert (space / "dvc.lock").read_bytes() == lock


@pytest.mark.parametrize(
    ("stage", "pattern", "said"),
    [("fit@ddpm", "*/state.pt", r"ddpm: resumed at step [1-9]\d* of 30"), ("synthesize@ddpm", "*/*.npy", "sampled")],
)
def test_killed_in_a_generator_and_run_again_gives_the_same_lock(
    space: Path, stage: str, pattern: str, said: str
) -> None:
    lock = (space / "dvc.lock").read_bytes()
    text = (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(text.replace("save_seconds: 20", "save_seconds: 0"))
    command = ["dvc", "repro", "--force", "--single-item", stage]
    process = subprocess.Popen(command, cwd=space, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL)
    left = wait_for(space / ".touchstone" / stage.replace("@", "/"), pattern)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert left.exists()
    (space / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    again = run(*command, cwd=space)
    assert re.search(said, again.stdout), again.stdout
    assert (space / "dvc.lock").read_bytes() == lock


def test_more_images_of_a_class_extend_the_set_and_fit_nothing(space: Path) -> None:
    before = np.load(space / "data/pools/ddpm/images.npy")
    done = run("dvc", "exp", "run", "-S", "generators.ddpm.sample.per_class=7", cwd=space)
    ran = stages_run(done.stdout)
    assert "synthesize@ddpm" in ran
    assert {"train@lenet-fixed", "audit"} <= ran
    assert not {"fit@ddpm", "fit@gan", "synthesize@gan", "train@lenet-real"} & ran
    after = np.load(space / "data/pools/ddpm/images.npy")
    assert len(after) == 70
    assert np.array_equal(after[: len(before)], before)


def wait_for(folder: Path, pattern: str) -> Path:
    for _ in range(3000):
        found = sorted(folder.glob(pattern)) if folder.exists() else []
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"{folder}/{pattern} did not appear")


def test_predict_a_folder_with_a_run_and_with_the_ensemble(space: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "new images"
    folder.mkdir()
    for i, name in enumerate(("b.png", "ä.png", "a.JPG")):
        Image.new("L", (20 + i, 30), 40 * i).save(folder / name)
    (folder / "not.png").write_text("text")
    for model in ("vote", "simple-fixed"):
        done = run("touchstone", "predict", folder, "-o", tmp_path / "out.csv", "--model", model, cwd=space)
        table = pd.read_csv(tmp_path / "out.csv")
        assert table["file"].tolist() == ["a.JPG", "b.png", "ä.png"]
        assert table["label"].isin(range(10)).all()
        assert table["probability"].between(0.05, 1).all()
        assert "not readable: not.png" in done.stderr
    default = run("touchstone", "predict", folder, "-o", tmp_path / "default.csv", cwd=space)
    assert "by vote" in default.stdout


def test_train_side_by_side(space: Path) -> None:
    text = (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(text.replace("lr: 0.002", "lr: 0.003"))
    done = run("touchstone", "train", "--jobs", "3", cwd=space)
    lines = done.stdout.splitlines()
    ran = {line.split(":")[0] for line in lines if "Running stage 'train@" in line}
    assert {"simple-real", "simple-fixed"} <= ran
    assert run("dvc", "status", "train@simple-real", "train@lenet-fixed", cwd=space).stdout.count("changed") == 0


@pytest.mark.slow
def test_forced_it_gives_the_same_lock_with_0_and_2_loader_workers(space: Path) -> None:
    lock = (space / "dvc.lock").read_bytes()
    text = (space / "params.yaml").read_text()
    for workers in ("0", "2"):
        (space / "params.yaml").write_text(text.replace("num_workers: 0", f"num_workers: {workers}"))
        ran = stages_run(run("dvc", "repro", "--force", cwd=space).stdout)
        assert "train@simple-fixed" in ran
        assert (space / "dvc.lock").read_bytes() == lock
