"""A process that stages are forked from: what they import is there already, so they start at once.

A stage that trains imports for some three seconds, and a graph has dozens of stages. Before each fork this process
imports what the stage's script imports, and after it what the stage imported while it ran, so the next stage of the
same kind finds everything. It runs no code of a stage itself. Python's own `multiprocessing.forkserver` works so too,
but its processes import the module that started them, here all of DVC.

Requests come as lines of JSON on standard input, answers go as lines of JSON to the file descriptor in the arguments.
"""

import ast
import atexit
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from touchstone import arithmetic

SOURCE = "src"  # beside the stages' scripts, as the commands in dvc.yaml say
THREADS = Path("/proc/self/task")


class WarmProcess:
    """A process of the given arithmetic in the folder of a project, which runs the stages of that project."""

    def __init__(self, folder: Path, kind: str) -> None:
        answers, to_parent = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "touchstone.cluster.warm", str(to_parent), kind],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": SOURCE},
            stdin=subprocess.PIPE,
            pass_fds=(to_parent,),
        )
        os.close(to_parent)
        self._answers: IO[str] = os.fdopen(answers, encoding="utf-8")

    def run(self, script: str, arguments: list[str], environment: Mapping[str, str]) -> int | None:
        """Run a script as `PYTHONPATH=src python script arguments` would, and return its exit status.

        It is negative where a signal ended the script, and None where the process cannot fork, as it has threads.
        """
        assert self._process.stdin is not None
        request = {"script": script, "arguments": arguments, "environment": dict(environment)}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answers.readline()
        if not answer:
            raise ChildProcessError(f"the process that stages are forked from ended with {self._process.wait()}")
        status: int | None = json.loads(answer)
        return status

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    arithmetic.hold(sys.argv[2])
    gc.disable()  # as in every stage while it imports
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a stage that reads standard input finds it empty
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the stage that Ctrl-C ends
    for line in requests:
        request = json.loads(line)
        _import(_imports(Path(request["script"])))
        status = None
        if len(list(THREADS.iterdir())) == 1:  # a fork takes no thread along, and their locks stay closed
            gc.freeze()  # a search for garbage in the fork would copy all pages of memory
            seen = set(sys.modules)
            report = os.memfd_create("modules")
            stage = multiprocessing.get_context("fork").Process(target=_run, args=(request, seen, report))
            stage.start()
            stage.join()
            status = stage.exitcode
            _import(os.pread(report, os.fstat(report).st_size, 0).decode().split())
            os.close(report)
        answers.write(json.dumps(status) + "\n")
        answers.flush()


def _run(request: dict[str, Any], seen: set[str], report: int) -> None:
    """Run a script in this fork, and note in the file `report` which modules it has imported."""
    os.close(int(sys.argv[1]))  # should this fork outlive its parent, nobody waits for an answer
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kind = arithmetic.held()
    os.environ.clear()
    os.environ.update(request["environment"] | {"PYTHONPATH": SOURCE})
    arithmetic.hold(kind)
    script = request["script"]
    sys.argv = [script, *request["arguments"]]
    sys.path.insert(0, str(Path(script).parent.resolve()))
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        os.write(report, "\n".join(name for name in sys.modules if name not in seen).encode())
        atexit._run_exitfuncs()  # for the rest `Process` ends a fork as Python does, and frees no object one by one


def _imports(script: Path) -> list[str]:
    """The modules that a script imports at its top; none of one that Python cannot read."""
    try:
        lines = ast.parse(script.read_text(encoding="utf-8")).body
    except SyntaxError:
        return []
    names = []
    for line in lines:
        names += [alias.name for alias in line.names] if isinstance(line, ast.Import) else []
        names += [line.module] if isinstance(line, ast.ImportFrom) and line.module and not line.level else []
    return names


def _import(names: Iterable[str]) -> None:
    for name in names:
        if name not in sys.modules:
            with suppress(Exception):  # the stage will import it again, and say what is wrong
                importlib.import_module(name)


if __name__ == "__main__":
    main()
