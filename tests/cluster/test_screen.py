"""The output of a running stage becomes one line of the common screen."""

import os
import sys

import pytest

from touchstone.cluster.engine import Outcome
from touchstone.cluster.local import Worker
from touchstone.cluster.screen import Screen


def last_line(*printed: bytes) -> str:
    """The line that stands for a stage after it has printed these pieces."""
    worker = Worker.__new__(Worker)  # without a process of its own
    worker.job, worker._text, worker.last_line = None, b"", ""
    for piece in printed:
        worker.screen, end = os.pipe()
        os.write(end, piece)
        os.close(end)
        worker.read_screen()
        os.close(worker.screen)
    return worker.last_line


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ((b"one\r\ntwo\r\n",), "two"),
        ((b"fit: 10%\rfit: 20%\rfit: 3", b"0%"), "fit: 30%"),
        ((b"0/556 [00:00<?, ?B/s]\x1b[A\x1b[0m",), "0/556 [00:00<?, ?B/s]"),
        ((b"\x1b[32mgreen\x1b[0m\tword",), "greenword"),
        ((b"done\n!\r", b"\x1b[A\r"), "done"),
    ],
)
def test_the_last_line_is_text_alone(printed: tuple[bytes, ...], shown: str) -> None:
    assert last_line(*printed) == shown


def test_away_from_a_terminal_only_ends_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stdout.isatty()
    with Screen(2, slots=2) as screen:
        screen.show({"fit@ddpm": "10%", "encoder": "20%"})
        screen.ended(Outcome("encoder", {}, "", 1.25))
        screen.ended(Outcome("fit@ddpm", {}, "no space left", 3.0))
    assert capsys.readouterr().out == "[1/2] encoder: 1.2 s\n[2/2] fit@ddpm: failed: no space left\n"


def test_more_stages_than_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("LINES", "6")
    monkeypatch.setenv("COLUMNS", "80")
    with Screen(9, slots=9) as screen:
        screen.show({f"train@{letter}": "job 7 RUNNING node1 10%" for letter in "abcde"})
        texts = [bar.desc for bar in screen._lines]
        screen.show({"train@e": "100%"})
        assert [bar.desc for bar in screen._lines] == ["train@e 0 s: 100%", "", ""]
    assert texts == [*(f"train@{letter} 0 s: job 7 RUNNING node1 10%" for letter in "ab"), "and 3 more"]
