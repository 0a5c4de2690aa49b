"""The engine `local`: workers on this machine, one for each slot, each with a GPU of its own where there are enough."""

import contextlib
import fcntl
import json
import os
import pty
import re
import selectors
import shutil
import struct
import subprocess
import sys
import termios
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

from touchstone.cluster.copies import copy_project, project_files
from touchstone.cluster.engine import Job, Outcome
from touchstone.studies.commands import end_all_in
from touchstone.training.resume import KEEP

ROWS_COLUMNS = 24, 80  # of the terminal that stages see: their progress bars are drawn for it
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f]")  # what moves the cursor, or colours what follows
EMPTY = ("", "!")  # lines that say nothing; DVC begins a progress bar with the second


class LocalEngine:
    """Runs jobs in workers of this machine.

    root: the project; one copy of it for each worker is made at once, so all jobs run the same files. folder: where
    the copies lie. slots: the number of workers. gpus: the CUDA devices that a worker sees, shared out among them, see
    `shared_out`. held: a file descriptor that workers inherit, so that its lock lasts as long as any of them.
    """

    def __init__(self, root: Path, folder: Path, *, cache: Path, slots: int, gpus: list[str], held: int) -> None:
        self.slots, self._free = slots, list(range(slots))
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, Worker] = {}
        self._folder, self._gpus, self._held = folder, gpus, held
        shutil.rmtree(folder, ignore_errors=True)
        names = project_files(root)
        for number in range(slots):
            copy_project(root, folder / str(number), names=names, cache=cache)

    def submit(self, job: Job) -> None:
        number = self._free.pop(0)
        if number not in self._workers:
            self._workers[number] = self._start(number)
        self._workers[number].begin(job)

    def _start(self, number: int) -> "Worker":
        variables = {KEEP: "1"}  # a job that was killed after its training, before DVC had its outputs
        if self._gpus:
            turns, group = divmod(number, len(self._gpus))
            names = self._gpus[group].split(",")
            first = turns % len(names)  # a stage of one device takes the first: another one for each worker
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(names[first:] + names[:first])
        worker = Worker(self._folder / str(number), variables, held=(self._held,))
        self._selector.register(worker.screen, selectors.EVENT_READ, number)
        self._selector.register(worker.answers, selectors.EVENT_READ, number)
        return worker

    def wait(self, seconds: float) -> list[Outcome]:
        ended = []
        for key, _ in self._selector.select(seconds):
            worker = self._workers.get(key.data)
            if worker is None:  # it died, as an event before this one says
                continue
            if key.fileobj is worker.screen:
                worker.read_screen()
                continue
            if worker.job is not None:
                ended.append(worker.end())
                self._free.append(key.data)
            else:  # it had nothing to say, so its end of the pipe is closed
                worker.is_dead = True
            if worker.is_dead:
                self._forget(key.data)
        return ended

    def _forget(self, number: int) -> None:
        worker = self._workers.pop(number)
        self._selector.unregister(worker.screen)
        self._selector.unregister(worker.answers)
        worker.close()

    def progress(self) -> dict[str, str]:
        lines = {w.job.stage: w.last_line for w in self._workers.values() if w.job is not None}
        return dict(sorted(lines.items()))

    def close(self) -> None:
        for number in list(self._workers):
            self._forget(number)
        shutil.rmtree(self._folder, ignore_errors=True)


class Worker:
    """A worker process, the terminal that its stages print to, and the job it is running."""

    def __init__(self, copy: Path, variables: dict[str, str], *, held: tuple[int, ...] = ()) -> None:
        self._copy = copy.resolve()
        self.job: Job | None = None
        self.last_line, self.is_dead = "", False
        self._text = b""
        self.screen, terminal = pty.openpty()
        os.set_blocking(self.screen, False)  # what it had to say may have been read already
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *ROWS_COLUMNS, 0, 0))
        answers, to_parent = os.pipe()
        self.answers: IO[str] = os.fdopen(answers, encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "touchstone.cluster.worker", str(to_parent)],
            cwd=copy,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=terminal,
            pass_fds=(to_parent, *held),
        )
        os.close(terminal)
        os.close(to_parent)

    def begin(self, job: Job, *, over_remote: bool = False) -> None:
        """Send the job to the worker. over_remote: whether inputs and outputs travel over DVC's default remote."""
        self.job, self.last_line, self._text = job, "", b""
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.write_bytes(b"")
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the worker has died: `end` says so
            request = {"stage": job.stage, "inputs": job.inputs, "before": job.before, "over_remote": over_remote}
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def read_screen(self) -> bool:
        """Take what the stage has printed: whole lines go to the log, the last of a progress bar is kept.

        Return whether there was anything.
        """
        try:
            text = os.read(self.screen, 2**16)
        except OSError:  # nothing is there, or the worker has closed its end
            return False
        *lines, last = (self._text + text).replace(b"\r\n", b"\n").split(b"\n")
        self._text = last[last.rfind(b"\r", 0, -1) + 1 :]  # but for a \r at the end, to which a \n may belong
        shown = [line.rsplit(b"\r", 1)[-1] for line in [*lines, self._text.rstrip(b"\r")]]
        self._append(shown[:-1])
        texts = (CONTROL.sub("", line.decode(errors="replace")).strip() for line in reversed(shown))
        self.last_line = next((text for text in texts if text not in EMPTY), self.last_line)
        return bool(text)

    def _append(self, lines: list[bytes]) -> None:
        if self.job is not None:
            with open(self.job.log, "ab") as file:
                file.writelines(line + b"\n" for line in lines)

    def end(self) -> Outcome:
        """Read the worker's answer, or find that it died."""
        assert self.job is not None
        answer = self.answers.readline()
        while self.read_screen():
            pass
        self._append([self._text] if self._text else [])
        job, self.job = self.job, None
        if not answer:
            self.is_dead = True
            return Outcome(job.stage, {}, f"its worker ended with {self._process.wait()}", 0.0)
        values: dict[str, Any] = json.loads(answer)
        if values["error"]:
            values["error"] = _own_words(job.log) or values["error"]
        return Outcome(**values)

    def close(self) -> None:
        """Kill the worker and all that runs in its copy, also a stage whose worker has died."""
        self._process.kill()
        self._process.wait()
        end_all_in(self._copy)
        os.close(self.screen)
        self.answers.close()


def _own_words(log: Path) -> str:
    """The line in which a stage says what is wrong; "" if it said nothing. DVC knows only that it exited with 1."""
    words = "error: "  # errors.py prints it, after a progress bar on the same line
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(words)[2] for line in reversed(lines) if words in line), "")


def num_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS


def shared_out(gpus: list[str], *, each: int) -> list[str]:
    """Return the values of CUDA_VISIBLE_DEVICES for workers that see `each` GPUs; one of all where there are fewer."""
    groups = [",".join(gpus[start : start + each]) for start in range(0, len(gpus) - each + 1, each)]
    return groups or ([",".join(gpus)] if gpus else [])


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them; none without an NVIDIA driver."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        names = (name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(","))
        return list(takewhile(lambda name: name not in ("", "-1"), names))  # as CUDA reads it
    if not shutil.which("nvidia-smi"):
        return []
    asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []
