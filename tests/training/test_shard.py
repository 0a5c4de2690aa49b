"""One net on two devices, here processes on the CPU: the figures of one process, and the same bytes each time."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from kit.training import META, labelled, new_run, same
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.models.nets import build
from touchstone.training.loop import train_seed
from touchstone.training.setup import set_up
from touchstone.training.shard import NUMBER, RANK, Shard, shard_of_process

TWO = {"devices": 2, "batch_size": 8}


def train_part(rank: int, port: int, folder: str, settings: dict[str, Any], killed_at: int) -> None:
    """Train as the process `rank`; the second one dies after `killed_at` steps, if that is not 0."""
    os.environ |= {RANK: str(rank), NUMBER: "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)

    def on_step(step: int) -> None:
        if rank == 1 and step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    run = new_run(**settings, save_seconds=0.0 if killed_at else 60.0)
    state = Path(folder) / "state.pt"
    trained = train_seed(run, seed=0, state_file=state, on_step=on_step, shard=shard_of_process())
    torch.save({"weights": trained.weights, "history": trained.history}, Path(folder) / f"{rank}.pt")


def on_two(folder: Path, killed_at: int = 0, **settings: Any) -> list[dict[str, Any]]:
    """Train in two processes and return what each has in the end."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(train_part, args=(port, str(folder), TWO | settings, killed_at), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def on_one(folder: Path, **settings: Any) -> dict[str, Any]:
    trained = train_seed(new_run(**TWO | {"devices": 1} | settings), seed=0, state_file=folder / "one.pt")
    return {"weights": trained.weights, "history": trained.history}


def assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in one["weights"].items():
        torch.testing.assert_close(other["weights"][name], value, rtol=1e-3, atol=1e-5)
    for row, others in zip(one["history"], other["history"], strict=True):
        assert others == pytest.approx(row, rel=1e-3, abs=1e-5)


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return same(one["weights"], other["weights"]) and one["history"] == other["history"]


def test_two_processes_end_where_one_does(tmp_path: Path) -> None:
    first, second = on_two(tmp_path)
    assert equal(first, second), "all processes have the same net"
    assert_close(on_one(tmp_path), first)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"class_weights": "balanced", "accumulate": 2, "clip_norm": 0.5},
        {"mixup": 0.4, "loss": "focal", "ema_decay": 0.9},
    ],
)
def test_so_they_do_for_other_losses_and_in_the_same_bytes_each_time(tmp_path: Path, settings: dict[str, Any]) -> None:
    first, second = on_two(tmp_path / "a", **settings)
    assert equal(first, second)
    assert equal(first, on_two(tmp_path / "b", **settings)[0])
    assert_close(on_one(tmp_path, **settings), first)


@pytest.mark.slow
def test_after_one_process_is_killed_both_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = on_two(tmp_path / "whole")[0]
    with pytest.raises(Exception, match=r"SIGKILL|terminated|Connection"):
        on_two(tmp_path / "killed", killed_at=13)
    state = torch.load(tmp_path / "killed/state.pt", weights_only=True)
    assert 0 < state["state"]["step"] < 30
    assert equal(on_two(tmp_path / "killed")[0], whole)


@pytest.mark.slow
def test_processes_have_different_rows_and_one_net_with_batch_norm(tmp_path: Path) -> None:
    first, second = on_two(tmp_path, net="lenet_bn")
    assert equal(first, second)


def test_the_rows_of_all_shards_are_the_batch() -> None:
    batch = list(range(12))
    assert [batch[Shard(rank, 3).rows(12)] for rank in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert shard_of_process() is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"engine": "torch"}, "devices: 2 need Lightning; set engine to lightning"),
        ({"batch_size": 9}, "devices: 2 do not divide batch_size 9"),
        ({"sync_batch_norm": True}, r"sync_batch_norm: it is for several GPUs, and this run has devices 2 \(cpu\)"),
    ],
)
def test_what_cannot_be_shared_is_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((TouchstoneError, ValueError), match=said):
        new_run(**TWO | settings)


def test_more_gpus_than_there_are_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    data = combine(Arm(), train=labelled(24, 0), name="real")
    with pytest.raises(TouchstoneError, match=r"t: devices: got 2, this machine has 1 \(cuda\); lower it"):
        set_up(
            "t", settings=new_run(**TWO).settings, data=data, val=labelled(4, 1), meta=META,
            machine=Machine(accelerator="gpu"),
        )  # fmt: skip


def test_batch_norms_of_a_nets_own_cannot_be_taken_over_all_devices() -> None:
    given = {"num_classes": 3, "in_channels": 3, "input_size": 32, "options": {}}
    Shard.check_norms(build("resnet_cifar", **given), title="t")
    with pytest.raises(
        TouchstoneError, match=r"t: sync_batch_norm: this net has batch norms of its own \(Norm\), .*set false"
    ):
        Shard.check_norms(build("airbench", **given), title="t")


def test_a_process_on_the_cpu_needs_no_gpu_of_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for rank in ("0", "1"):
        monkeypatch.setenv(RANK, rank)
        monkeypatch.setenv(NUMBER, "2")
        assert shard_of_process() == Shard(int(rank), 2)
    assert taken == [0]
