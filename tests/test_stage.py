import errno
import json
import sys
from pathlib import Path

import pytest

from touchstone import errors, stage
from touchstone.errors import TouchstoneError, nearest


def test_a_stage_notes_its_cost_beside_the_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/train.py", "lenet", "real"])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    stage.run(lambda: {"images_per_second": [7]})
    note = json.loads((tmp_path / "metrics/runtime/train@lenet-real.json").read_text())
    assert note["stage"] == "train@lenet-real"
    assert note["images_per_second"] == [7]
    assert note["seconds"] >= 0
    assert note["peak_memory_mib"] > 10
    assert {"torch", "dvc", "python"} <= set(note["versions"])


@pytest.mark.parametrize(
    ("given", "arguments", "name"),
    [
        ("finetune@graph-real", ["graph", "real"], "finetune@graph-real"),
        ("finetune@graph-real", ["graph", "real", "--seed=1"], "finetune@graph-real~1"),
        ("sub/dvc.yaml:train", [], "train"),
        ("", ["graph", "real", "--seed=1"], "train@graph-real~1"),
    ],
)
def test_a_note_has_the_name_that_dvc_gives_to_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, arguments: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/train.py", *arguments])
    monkeypatch.setenv("DVC_STAGE", given)
    stage.run(dict)
    assert [file.name for file in (tmp_path / "metrics/runtime").iterdir()] == [f"{name}.json"]


def test_bad_input_is_one_line_and_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    def fail() -> None:
        raise TouchstoneError("got x, expected y; do z")

    with pytest.raises(SystemExit) as caught:
        stage.run(fail)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: got x, expected y; do z\n"
    assert not list(tmp_path.iterdir())


def test_a_name_is_suggested_only_where_it_is_similar() -> None:
    assert nearest("lenett", ["lenet", "simple"]) == "; did you mean lenet?"
    assert nearest("zzz", ["lenet", "simple"]) == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "out/p.csv"), "error: out/p.csv: Permission denied\n"),
        (FileExistsError(errno.EEXIST, "File exists", "out"), "error: out: File exists\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device\n"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: OSError, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(SystemExit):
        errors.run(fails)
    assert capsys.readouterr().err == said


def test_what_a_gpu_cannot_compute_deterministically_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise RuntimeError(
            "adaptive_max_pool2d_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation"
        )

    with pytest.raises(SystemExit):
        errors.run(fails)
    said = "adaptive_max_pool2d_backward_cuda gives other bytes each time on a GPU; in train, set deterministic: false"
    assert capsys.readouterr().err == f"error: {said}\n"


def test_a_file_that_the_program_should_have_is_a_fault_of_it() -> None:
    with pytest.raises(FileNotFoundError):
        errors.run(lambda: print(Path("nowhere").read_text()))
