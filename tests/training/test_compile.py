"""Nets that torch.compile translates: the figures of plain ones, and the same bytes each time."""

import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.training import Killed, interrupt, new_run, same
from touchstone.errors import TouchstoneError
from touchstone.models import device
from touchstone.models.device import check_compiler
from touchstone.training import checks
from touchstone.training.loop import train_seed


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "held", lambda: "native")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("engine", ["torch", "lightning"])
def test_a_compiled_net_learns_what_a_plain_one_does(tmp_path: Path, engine: str) -> None:
    plain = train_seed(new_run(engine=engine), seed=0, state_file=tmp_path / "plain.pt")
    first, second = (
        train_seed(new_run(engine=engine, compile=True), seed=0, state_file=tmp_path / f"{name}.pt")
        for name in ("one", "two")
    )
    assert plain.weights.keys() == first.weights.keys()
    for name, value in plain.weights.items():
        torch.testing.assert_close(first.weights[name], value, rtol=1e-3, atol=1e-5)
    assert same(first.weights, second.weights)
    assert first.history == second.history
    assert [row["val_loss"] for row in first.history] == pytest.approx([r["val_loss"] for r in plain.history], rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("at", [7, 23])
def test_killed_and_resumed_in_any_phase_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    phases = {"num_steps": 15, "trainable": ("head",)}, {"num_steps": 15, "lr": 0.001}
    settings: dict[str, Any] = {"net": "lenet_bn", "engine": "torch", "compile": True, "phases": phases}
    settings |= {"test_flips": True, "test_shift": 1}
    whole = train_seed(new_run(**settings), seed=0, state_file=tmp_path / "whole.pt")
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(Killed):
            train_seed(new_run(**settings, save_seconds=0.0), seed=0, state_file=tmp_path / "killed.pt")
    resumed = train_seed(new_run(**settings), seed=0, state_file=tmp_path / "killed.pt")
    assert same(whole.weights, resumed.weights)
    assert whole.history == resumed.history


def test_where_a_net_cannot_be_compiled_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "is_portable", lambda: True)
    with pytest.raises(TouchstoneError, match=r"compile: true on cpu: .*; set arithmetic: native, or compile: false"):
        check_compiler("cpu", arithmetic="portable")
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(TouchstoneError, match=r"needs a C\+\+ compiler, and there is no no-such-compiler; install it"):
        check_compiler("cpu", arithmetic="native")


@pytest.mark.parametrize(
    ("there", "headers", "said"),
    [
        (["gcc"], True, ""),
        (["clang"], True, ""),
        ([], True, "compile: true on cuda needs a C compiler, which is not there; install clang or gcc and "),
        (["gcc"], False, "Python.h, which is not there; install"),
    ],
)
def test_for_a_gpu_triton_needs_a_compiler_and_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], headers: bool, said: str
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in there else None)
    monkeypatch.setattr(sysconfig, "get_paths", lambda _: {"include": str(tmp_path)})
    if headers:
        (tmp_path / "Python.h").touch()
    if not said:
        check_compiler("cuda", arithmetic="portable")
        return
    with pytest.raises(TouchstoneError) as caught:
        check_compiler("cuda", arithmetic="native")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
