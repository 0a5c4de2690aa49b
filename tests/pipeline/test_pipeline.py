"""The pipeline as its users run it: a real `dvc repro` on a tiny setting of the default."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from kit.pipeline import stages_run
from kit.project import run


def test_it_ends_in_metrics_and_a_report(tiny_space: Path) -> None:
    metrics = json.loads((tiny_space / "metrics/metrics.json").read_text())
    runs = {f"{model}-{arm}" for model in ("lenet", "simple") for arm in ("real", "fixed")}
    assert set(metrics) == runs | {"vote"}
    assert {"accuracy", "accuracy_sd", "macro_f1", "nll", "ece", "n_test"} <= set(metrics["lenet-real"])
    assert {"gain", "gain_low", "gain_high", "verdict", "baseline"} <= set(metrics["simple-fixed"])
    assert metrics["simple-fixed"]["baseline"] == "simple-real"
    assert metrics["vote"]["baseline"] in {"lenet-real", "simple-real", "simple-fixed"}
    hashes = json.loads((tiny_space / "data/encoder/model.json").read_text())["weights"]
    filters = {name: json.loads((tiny_space / f"data/filters/{name}.json").read_text()) for name in ("gan", "ddpm")}
    assert filters == {"gan": {"classifiers": [hashes["1001"]]}, "ddpm": {"classifiers": [None]}}
    audit = json.loads((tiny_space / "metrics/audit.json").read_text())
    assert audit["encoder"]["sha256"] == hashes["1000"]
    assert set(audit["sets"]) == {"repeat", "tilt", "gan", "ddpm"}
    assert audit["sets"]["repeat"]["verdict"] == "no leak found", "copies of training images are its design"
    assert not any("training" in key for key in audit["sets"]["repeat"])
    assert audit["sets"]["gan"]["verdict"] in ("copies", "nearer", "no copying found")
    assert 0 <= audit["sets"]["gan"]["nearness_p"] <= audit["sets"]["gan"]["nearness_p_holm"] <= 1
    assert audit["search"]["recall_mirrored"] == 1
    for name in ("report.html", "report.md"):
        text = (tiny_space / "metrics" / name).read_text()
        assert all(word in text for word in ("lenet", "gan", "C_T", "copies"))


def test_nothing_of_one_run_is_in_git_but_small_text(tiny_space: Path) -> None:
    files = run("git", "ls-files", "data", "metrics", cwd=tiny_space).stdout.split()
    assert files == [
        "data/added/README.md",
        "data/external/README.md",
        "data/external/none/README.md",
        "data/external/own/README.md",
        "data/weights/README.md",
        "metrics/audit.json",
        "metrics/audit_summary.json",
        "metrics/metrics.json",
        "metrics/report.md",
        "metrics/summary.json",
    ]
    assert run("git", "status", "--porcelain", cwd=tiny_space).stdout == ""


def test_seconds_dates_and_versions_stay_beside(tiny_space: Path) -> None:
    notes = [json.loads(path.read_text()) for path in (tiny_space / "metrics/runtime").glob("*.json")]
    assert {"train@lenet-real", "prepare", "evaluate"} <= {note["stage"] for note in notes}
    assert all({"seconds", "started", "versions", "hardware"} <= set(note) for note in notes)


def test_again_no_stage_runs(tiny_space: Path) -> None:
    assert stages_run(run("dvc", "repro", cwd=tiny_space).stdout) == set()


def test_plots_and_metrics_commands_work(tiny_space: Path) -> None:
    run("dvc", "plots", "show", "-o", "plots_out", cwd=tiny_space)
    html = (tiny_space / "plots_out/index.html").read_text()
    titles = ("Gain over the baseline in points", "Validation loss, mean over the replicates", "Loss of ddpm")
    assert all(title in html for title in titles)
    assert html.count("vegaEmbed(") <= 6, "few plots"
    gains = pd.read_csv(tiny_space / "data/plots/gains.csv").set_index("run")
    metrics = json.loads((tiny_space / "metrics/metrics.json").read_text())
    assert gains.loc["lenet-fixed", "gain"] == pytest.approx(100 * metrics["lenet-fixed"]["gain"], abs=0.01)
    shutil.rmtree(tiny_space / "plots_out")
    table = run("dvc", "metrics", "show", "--md", cwd=tiny_space).stdout
    assert "lenet-real.accuracy" in table


def test_a_learning_rate_is_found_once_for_all_arms(tiny_space: Path) -> None:
    found = json.loads((tiny_space / "data/lr/lenet.json").read_text())["lr"]
    assert 1e-5 < found < 1
    curve = pd.read_csv(tiny_space / "data/lr_curves/lenet.csv")
    assert list(curve) == ["lr", "loss", "smoothed"]
    assert f"auto: {found:g}" in (tiny_space / "metrics/report.md").read_text()
    assert json.loads((tiny_space / "data/lr/simple.json").read_text()) == {"lr": None}
    assert pd.read_csv(tiny_space / "data/lr_curves/simple.csv").empty
    curves = [pd.read_csv(tiny_space / f"data/curves/lenet-{arm}.csv")[["step", "lr"]] for arm in ("real", "fixed")]
    assert curves[0].equals(curves[1])


def test_predict_a_folder_with_a_run_and_with_the_ensemble(tiny_space: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "new images"
    folder.mkdir()
    for i, name in enumerate(("b.png", "ä.png", "a.JPG")):
        Image.new("L", (20 + i, 30), 40 * i).save(folder / name)
    (folder / "not.png").write_text("text")
    for model in ("vote", "simple-fixed"):
        arguments = (folder, "-o", tmp_path / "out.csv", "--model", model, "--top", "2")
        done = run("touchstone", "predict", *arguments, cwd=tiny_space, check=False)
        table = pd.read_csv(tmp_path / "out.csv")
        assert table["file"].tolist() == ["a.JPG", "b.png", "not.png", "ä.png"]
        failed, read = table[table["error"].notna()], table[table["error"].isna()]
        assert failed["file"].tolist() == ["not.png"]
        assert failed["label"].isna().all()
        assert read["label"].isin(range(10)).all()
        assert (read["label"] != read["label_2"]).all()
        assert read["probability"].between(0.05, 1).all()
        assert (read["probability"] >= read["probability_2"]).all()
        assert "not readable: not.png" in done.stderr
        assert done.returncode == 3
    (folder / "not.png").unlink()
    default = run("touchstone", "predict", folder, "-o", tmp_path / "default.csv", cwd=tiny_space)
    metrics = json.loads((tiny_space / "metrics/metrics.json").read_text())
    best = max(metrics, key=lambda name: metrics[name]["val_accuracy"])
    assert f"by {best}, the best on validation; 0 not readable" in default.stdout
