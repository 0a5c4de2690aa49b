"""The GPUs that workers of this machine see: as many as the stage that asks for most of them."""

from pathlib import Path

import pytest

from kit.project import ROOT
from touchstone.cluster import engines, local
from touchstone.cluster.local import LocalEngine, num_cores, shared_out, visible_gpus
from touchstone.config import yaml
from touchstone.config.load import load


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [("", []), ("-1", []), ("0,1", ["0", "1"]), ("0, GPU-a,-1,2", ["0", "GPU-a"]), ("1,,2", ["1"])],
)
def test_the_variable_is_read_as_cuda_reads_it(monkeypatch: pytest.MonkeyPatch, variable: str, gpus: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == gpus


@pytest.mark.parametrize(
    ("gpus", "each", "groups"),
    [
        ([], 1, []),
        (["0", "1", "2"], 1, ["0", "1", "2"]),
        (["0", "1", "2", "3", "4"], 2, ["0,1", "2,3"]),
        (["0", "1"], 3, ["0,1"]),  # too few, which the stage says
    ],
)
def test_gpus_are_shared_out(gpus: list[str], each: int, groups: list[str]) -> None:
    assert shared_out(gpus, each=each) == groups


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ([], ["0", "1", "2", "3"]),
        (["machine.accelerator=cpu"], []),
        (["+machine.devices=2"], ["0,1", "2,3"]),
        (["+models.lenet.devices=2", "+models.lenet.batch_size=8"], ["0,1", "2,3"]),
        (["+generators.dcgan.fit.devices=4"], ["0,1,2,3"]),
    ],
)
def test_a_worker_sees_what_its_stages_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: list[str], groups: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    text = (ROOT / "recipes/digits/params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(yaml.changed(text, changes))
    settings = load(tmp_path / "params.yaml")
    assert engines._gpus_of_workers(settings) == groups
    assert engines.default_slots(settings) == (len(groups) or num_cores())


def test_settings_with_a_mistake_take_a_gpu_for_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert engines._gpus_of_workers(None) == ["0", "1", "2", "3"]
    assert engines.default_slots(None) == 4


def test_workers_that_share_gpus_begin_with_another_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(local, "Worker", lambda _, variables, held: seen.append(variables["CUDA_VISIBLE_DEVICES"]))
    engine = object.__new__(LocalEngine)
    engine._gpus, engine._folder, engine._held = ["0,1", "2,3"], Path(), 0
    for number in range(6):
        with pytest.raises(AttributeError):  # the stand-in has no screen to watch
            engine._start(number)
    assert seen == ["0,1", "2,3", "1,0", "3,2", "0,1", "2,3"]
