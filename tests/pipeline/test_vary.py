"""Replicates with training images and generators of their own, in the tiny pipeline."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from kit.pipeline import TINY, commit
from kit.project import project, run
from touchstone.config import yaml


def change(folder: Path, *changes: str) -> None:
    file = folder / "params.yaml"
    file.write_text(yaml.changed(file.read_text(), list(changes)))


def tensors(folder: Path) -> dict[str, str]:
    """Path -> hash of every fitted and trained net."""
    return {
        path.relative_to(folder / "data").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "data").rglob("*.safetensors")
    }


def logs(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted((folder / ".touchstone/repro/logs").iterdir()))


@pytest.mark.slow
def test_each_has_its_own_images_and_generators_and_another_changes_none(tiny: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "project", *TINY, "train.vary=all")
    run("touchstone", "repro", "--jobs", "2", cwd=folder)
    commit(folder)
    two, plain = tensors(folder), tensors(tiny)
    assert all(
        two[name] == plain[name] for name in two if name.endswith(("seed-0.safetensors", "/0/weights.safetensors"))
    )
    assert two["runs/lenet-real/seed-1.safetensors"] != plain["runs/lenet-real/seed-1.safetensors"]

    train = pd.read_csv(folder / "data/prepared/train/table.csv", dtype=str)
    assert train["replicates"].value_counts().to_dict() == {"0": 40, "1": 40}
    for name in ("tilt", "gan", "ddpm"):
        added = pd.read_csv(folder / f"data/augmented/{name}/table.csv", dtype=str)
        assert added["replicates"].value_counts().nunique() == 1
        assert added["id"].is_unique
    tilted = pd.read_csv(folder / "data/augmented/tilt/table.csv", dtype=str).set_index("source_id")["replicates"]
    assert (tilted == train.set_index("id")["replicates"][tilted.index]).all()
    normalised = json.loads((folder / "data/runs/lenet-real/model.json").read_text())["normalisations"]
    assert normalised["0"] != normalised["1"]
    report = (folder / "metrics/report.md").read_text()
    assert "training sets like" in report
    assert "| fixed | tilt, ddpm | 40 | 80 | 120 |" in report, "the images of one replicate"

    change(folder, "train.replicates=3")
    run("touchstone", "repro", "--jobs", "2", cwd=folder)
    three = tensors(folder)
    assert {name: three[name] for name in two} == two
    assert {name.split("/")[0] for name in three.keys() - two.keys()} == {"runs", "generators", "encoder"}
    for seed in (0, 1):
        assert f"lenet-fixed seed {seed}: trained before" in logs(folder)
        assert f"ddpm, replicate {seed}: resumed at step 30 of 30" in logs(folder)
    assert "ddpm, replicate 2: resumed" not in logs(folder)


@pytest.mark.slow
def test_generators_alone_may_vary(tiny: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "project", *TINY, "train.vary=generator")
    run("touchstone", "repro", "--jobs", "2", "train", cwd=folder)
    own, plain = tensors(folder), tensors(tiny)
    real = [name for name in own if name.startswith(("runs/lenet-real/", "runs/simple-real/"))]
    assert len(real) == 4
    assert all(own[name] == plain[name] for name in real), "their training images are the same"
    assert own["generators/ddpm/0/weights.safetensors"] == plain["generators/ddpm/0/weights.safetensors"]
    assert own["generators/ddpm/1/weights.safetensors"] != own["generators/ddpm/0/weights.safetensors"]
    assert own["runs/lenet-fixed/seed-1.safetensors"] != plain["runs/lenet-fixed/seed-1.safetensors"]


def test_as_many_images_as_there_are_leave_nothing_to_draw(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", *TINY, "train.vary=all", "data.train_size=5000")
    done = run("dvc", "repro", "prepare", cwd=folder, check=False)
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "train.vary: all draws data.train_size 5000 training images for each replicate, and there are 676" in line
