"""Fitting a generator on two devices, here processes on the CPU: the figures of one, and the same bytes each time."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kit.generators import run_fit
from kit.two_devices import equal, on_two
from touchstone.generators.dcgan.config import DcganFit
from touchstone.generators.ddpm.config import DdpmFit


@pytest.mark.parametrize("prediction", ["epsilon", pytest.param("edm", marks=pytest.mark.slow)])
def test_a_ddpm_on_two_devices_ends_where_one_does(tmp_path: Path, prediction: str) -> None:
    settings: dict[str, Any] = {"prediction": prediction, "dropout": 0.0, "min_snr_gamma": 0.0}
    first, second = on_two(partial(run_fit, "ddpm"), tmp_path / "two", **settings)
    assert equal(first, second), "both processes have one net, and know the losses of the whole batch"
    (tmp_path / "one").mkdir()
    one = run_fit("ddpm", tmp_path / "one", **settings)
    assert first["history"]["loss"] == pytest.approx(one.history["loss"].tolist(), rel=1e-4)
    apart = torch.cat([(first["weights"][name] - value).abs().flatten() for name, value in one.weights.items()])
    assert apart.mean() < 1e-5
    assert apart.max() < 1e-3, "Adam enlarges the rounding of gradients that are nearly 0"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddpm", "dcgan"])
def test_two_devices_give_the_same_bytes_each_time_also_after_a_kill(tmp_path: Path, kind: str) -> None:
    fit = partial(run_fit, kind)
    whole, other = on_two(fit, tmp_path / "whole")
    assert str(whole["history"]) == str(other["history"])
    assert equal(whole, on_two(fit, tmp_path / "again")[0])
    with pytest.raises(Exception, match=r"SIGKILL|terminated|Connection"):
        on_two(fit, tmp_path / "killed", killed_at=7)
    assert torch.load(tmp_path / "killed/state.pt", weights_only=True)["state"]["step"] in (6, 7)
    assert equal(on_two(fit, tmp_path / "killed")[0], whole)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (DdpmFit, {"num_steps": 1, "devices": 3, "batch_size": 64}, "devices: 3 do not divide batch_size 64"),
        (DcganFit, {"num_steps": 1, "devices": 4, "batch_size": 4}, "devices: 4 leave one image each"),
    ],
)
def test_parts_that_cannot_be_equal_are_refused(kind: type, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        kind(**settings)
