"""A run on two devices, here processes of the CPU, through the pipeline, on one machine and with seeds as jobs."""

import json
from pathlib import Path

import pytest
import safetensors.numpy

from kit.pipeline import reset
from kit.project import run
from touchstone.config.yaml import changed

pytestmark = pytest.mark.slow
STAGE, RUN = "train@lenet-real", "data/runs/lenet-real"


def trained(folder: Path, *changes: str) -> tuple[bytes, str]:
    """Train the run anew with changed parameters, and return dvc.lock and what the stage printed."""
    reset(folder)
    for name in (".dvc/cache/runs", ".touchstone/train"):
        run("rm", "-rf", name, cwd=folder)
    file = folder / "params.yaml"
    file.write_text(changed(file.read_text(), ["models.lenet.lr=0.01", *changes]))
    run("touchstone", "repro", STAGE, cwd=folder)
    return (folder / "dvc.lock").read_bytes(), (folder / f".touchstone/repro/logs/{STAGE}.log").read_text()


def weights(folder: Path) -> dict[str, object]:
    return {file.stem: safetensors.numpy.load_file(file) for file in sorted((folder / RUN).glob("*.safetensors"))}


def test_two_devices_give_the_same_lock_each_time_and_the_figures_of_one(tiny_space: Path) -> None:
    trained(tiny_space)
    one = weights(tiny_space)
    lock, said = trained(tiny_space, "+models.lenet.devices=2")
    assert said.count("20 steps") == 2, "the first process says how it ended, once for each seed"
    assert "trained before" not in said
    two = weights(tiny_space)
    assert one.keys() == two.keys()
    for seed, tensors in one.items():
        for name, value in tensors.items():
            assert abs(value - two[seed][name]).max() < 1e-3
    note = json.loads((tiny_space / f"metrics/runtime/{STAGE}.json").read_text())
    assert note["stage"] == STAGE
    apart, _ = trained(tiny_space, "+models.lenet.devices=2", "+cluster.seeds=apart")
    assert apart == lock


def test_a_mistake_is_said_once(tiny_space: Path) -> None:
    file = tiny_space / "params.yaml"
    file.write_text(changed(file.read_text(), ["models.lenet.lr=0.01", "+models.lenet.devices=3"]))
    done = run("touchstone", "repro", STAGE, cwd=tiny_space, check=False)
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line]
    assert "models.lenet: devices: 3 do not divide batch_size 32; set a multiple" in line


def fitted(folder: Path, *changes: str) -> bytes:
    """Fit the DDPM anew with changed parameters, and return dvc.lock."""
    reset(folder)
    for name in (".dvc/cache/runs", ".touchstone/fit"):
        run("rm", "-rf", name, cwd=folder)
    file = folder / "params.yaml"
    file.write_text(changed(file.read_text(), ["generators.ddpm.fit.lr=0.001", *changes]))
    run("touchstone", "repro", "fit@ddpm", cwd=folder)
    return (folder / "dvc.lock").read_bytes()


def test_a_generator_is_fitted_on_two_devices_with_the_same_lock_each_time(tiny_space: Path) -> None:
    generator = "data/generators/ddpm/0"
    fitted(tiny_space)
    [one] = [safetensors.numpy.load_file(file) for file in sorted((tiny_space / generator).glob("*.safetensors"))]
    lock = fitted(tiny_space, "+generators.ddpm.fit.devices=2")
    [two] = [safetensors.numpy.load_file(file) for file in sorted((tiny_space / generator).glob("*.safetensors"))]
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert abs(value - two[name]).mean() < 1e-3, "Adam enlarges the rounding of gradients that are nearly 0"
    assert any((value != two[name]).any() for name, value in one.items()), "two processes add up in another order"
    assert fitted(tiny_space, "+generators.ddpm.fit.devices=2") == lock
