"""A worker: runs one stage after another with DVC, in its private copy of the project.

Requests come as lines of JSON on standard input, answers go as lines of JSON to the file descriptor in the arguments.
What stages print goes to the worker's standard output.
"""

import fcntl
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dvc.stage.run
import yaml
from dvc.dvcfile import load_file
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.exceptions import StageCmdFailedError
from dvc.stage.serialize import to_single_stage_lockfile

from touchstone import arithmetic
from touchstone.cluster import transfer
from touchstone.cluster.parts import parted, run_part
from touchstone.cluster.warm import SOURCE, WarmProcess
from touchstone.errors import one_line

LOCK, GRAPH = Path("dvc.lock"), "dvc.yaml"
TURNS = Path(".touchstone/repro/turns")  # in the project itself, whatever copy this is
COMMAND = re.compile(rf"PYTHONPATH={SOURCE} python (stages/\w+\.py)((?: [\w.=-]+)*)")

_by_shell = dvc.stage.run._run
_warm: dict[str, WarmProcess] = {}


def main() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm sends it to a whole job near its time limit; see slurm.py
    if sys.platform == "linux":  # elsewhere a fork of a process with such libraries may hang
        dvc.stage.run._run = run_command
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a stage that reads standard input finds it empty
    present: dict[str, Any] = {}
    for line in requests:
        answers.write(json.dumps(_answer(json.loads(line), present)) + "\n")
        answers.flush()


def _answer(request: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    began, entry, error = time.monotonic(), {}, ""
    try:
        inputs, before = request["inputs"], request["before"]
        entry = run_stage(request["stage"], inputs, before, present, over_remote=request["over_remote"])
    except Exception as problem:  # whatever it is, the others go on, and the user reads it in one line
        error = one_line(problem)
    return {"stage": request["stage"], "entry": entry, "error": error, "seconds": time.monotonic() - began}


def run_stage(
    name: str, inputs: dict[str, Any], before: dict[str, Any], present: dict[str, Any], *, over_remote: bool = False
) -> dict[str, Any]:
    """Take the inputs' outputs from the cache, run the stage as `dvc repro` would, and return its entry for dvc.lock.

    DVC takes the outputs from the run-cache where it has them, and leaves a stage alone that is up to date. The job of
    a seed (see parts.py) has an empty entry.

    inputs: stages -> their entries in dvc.lock. before: the stage's own from an earlier run, or {}.
    present: stages whose outputs lie in this copy already -> their entries; it is updated.
    over_remote: whether inputs come from DVC's default remote, and outputs go there.
    """
    job, (name, seed) = name, parted(name)
    stages = inputs | ({name: before} if before else {})
    LOCK.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")
    with _turn(job), Repo() as repo, repo.lock:  # a new one, which reads dvc.lock
        graph = load_file(repo, GRAPH).stages  # read once: in a graph of 3,000 stages it takes .6 s
        missing = [needed for needed in inputs if inputs[needed] != present.get(needed)]
        if over_remote:
            transfer.fetch(repo, (graph[needed] for needed in missing))
        for needed in missing:
            graph[needed].checkout()
            present[needed] = inputs[needed]
        stage = graph[name]
        if seed is not None:
            run_part(repo, stage, seed, before=bool(before))
            return {}
        if before and before != present.get(name) and not stage.changed_stage() and not stage.changed_deps():
            _take_outputs(stage)
        if over_remote:
            transfer.take_result(repo, stage)
        stage.reproduce()
        present[name] = json.loads(json.dumps(to_single_stage_lockfile(stage)))
        if over_remote:
            repo.stage_cache.save(stage)  # also where it was up to date
            transfer.send_result(repo, present[name])
        return present[name]


@contextmanager
def _turn(name: str) -> Iterator[None]:
    """Hold the lock of a stage: of two jobs of one stage, wherever they run, the second waits and finds it done."""
    TURNS.mkdir(parents=True, exist_ok=True)
    with open(TURNS / name, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another job of this stage is running: waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_command(executable: str, command: str, **options: Any) -> None:
    """Run a stage's command: in a fork of a process that has imported what it needs, where it is one of our scripts.

    It takes the place of DVC's own function, which starts a shell, and starts one for all other commands.
    """
    script = COMMAND.fullmatch(command)
    status = None
    if script:
        kind = arithmetic.declared(script[1])
        process = _warm.pop(kind, None) or WarmProcess(Path(options["cwd"]), kind)
        status = process.run(script[1], script[2].split(), options["env"])
        _warm[kind] = process  # but for one that has died
    if status is None:
        _by_shell(executable, command, **options)
    elif status:
        raise StageCmdFailedError(command, status)


def _take_outputs(stage: PipelineStage) -> None:
    """Take the outputs of a stage that is up to date from the cache, if all of them are there."""
    if not any(out.use_cache and out.changed_cache() for out in stage.outs):
        stage.checkout()


if __name__ == "__main__":
    main()
