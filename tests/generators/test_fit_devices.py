"""Fitting a generator on two devices, here processes on the CPU: the figures of one, and the same bytes each time."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import multiprocessing

from kit.generators import run_fit
from touchstone.generators.dcgan.config import DcganFit
from touchstone.generators.ddpm.config import DdpmFit
from touchstone.generators.fit import FitCallback
from touchstone.training.shard import NUMBER, RANK


def fit_part(rank: int, port: int, kind: str, folder: str, settings: dict[str, Any], killed_at: int) -> None:
    """Fit as the process `rank`; the second one dies before step `killed_at`, if that is not 0."""
    os.environ |= {RANK: str(rank), NUMBER: "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    start = FitCallback.before_step

    def dying(self: FitCallback) -> None:
        if rank == 1 and self.state.step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        start(self)

    if killed_at:
        FitCallback.before_step = dying  # type: ignore[method-assign]
    done = run_fit(kind, Path(folder), save_seconds=0.0 if killed_at else 60.0, devices=2, **settings)
    torch.save({"weights": done.weights, "history": done.history.to_dict("list")}, Path(folder) / f"{rank}.pt")


def on_two(kind: str, folder: Path, killed_at: int = 0, **settings: Any) -> list[dict[str, Any]]:
    """Fit in two processes and return what each has in the end."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(fit_part, args=(port, kind, str(folder), settings, killed_at), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = all(torch.equal(value, other["weights"][name]) for name, value in one["weights"].items())
    return same and str(one["history"]) == str(other["history"])  # as text, since NaN is not NaN


@pytest.mark.parametrize("prediction", ["epsilon", pytest.param("edm", marks=pytest.mark.slow)])
def test_a_ddpm_on_two_devices_ends_where_one_does(tmp_path: Path, prediction: str) -> None:
    settings: dict[str, Any] = {"prediction": prediction, "dropout": 0.0, "min_snr_gamma": 0.0}
    first, second = on_two("ddpm", tmp_path / "two", **settings)
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
    whole, other = on_two(kind, tmp_path / "whole")
    assert str(whole["history"]) == str(other["history"])
    assert equal(whole, on_two(kind, tmp_path / "again")[0])
    with pytest.raises(Exception, match=r"SIGKILL|terminated|Connection"):
        on_two(kind, tmp_path / "killed", killed_at=7)
    assert torch.load(tmp_path / "killed/state.pt", weights_only=True)["state"]["step"] in (6, 7)
    assert equal(on_two(kind, tmp_path / "killed")[0], whole)


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
