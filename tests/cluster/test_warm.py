"""Stages that are forked from a process with their imports run as by a shell: same output, status and arithmetic."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kit.project import run
from touchstone.arithmetic import MARK
from touchstone.cluster.warm import WarmProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux only")

SAY = """
import atexit, json, os, sys

found = "wave" in sys.modules
if __name__ == "__main__":
    import wave  # in a function, for all that the process can see

    mark = os.environ.get("TOUCHSTONE_ARITHMETIC", "native")
    seen = {"arguments": sys.argv, "input": sys.stdin.read(), "here": os.getcwd(), "stage": os.environ["DVC_STAGE"]}
    open("seen.json", "w").write(json.dumps(seen | {"mark": mark, "found": found}))
    atexit.register(lambda: open("end", "w").write("x"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src/touchstone").symlink_to(Path(__file__).parents[2] / "src/touchstone")
    return tmp_path


@pytest.fixture
def warm(folder: Path) -> Iterator[WarmProcess]:
    process = WarmProcess(folder, "portable")
    yield process
    process.close()


def script(folder: Path, text: str, name: str = "say") -> str:
    (folder / f"stages/{name}.py").write_text(text)
    return f"stages/{name}.py"


def seen(folder: Path) -> dict[str, object]:
    return json.loads((folder / "seen.json").read_text())


def test_a_script_sees_what_it_would_see_from_a_shell(folder: Path, warm: WarmProcess) -> None:
    say = script(folder, SAY)
    assert warm.run(say, ["a", "1"], os.environ | {"DVC_STAGE": "say@a-1"}) == 0
    expected = {"arguments": [say, "a", "1"], "input": "", "here": str(folder.resolve()), "stage": "say@a-1"}
    assert seen(folder) == expected | {"mark": "portable", "found": False}
    assert (folder / "end").read_text() == "x", "what it asked for at its end was not done"


def test_the_next_script_finds_what_the_last_one_imported(folder: Path, warm: WarmProcess) -> None:
    say = script(folder, SAY)
    for found in (False, True):
        assert warm.run(say, [], os.environ | {"DVC_STAGE": "say"}) == 0
        assert seen(folder)["found"] is found


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('no')", 1),
        ("raise ValueError('no')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import a_module_that_is_not_there", 1),
        ("a syntax error", 1),
    ],
)
def test_after_a_script_that_fails_the_next_one_runs(folder: Path, warm: WarmProcess, text: str, status: int) -> None:
    assert warm.run(script(folder, text), [], os.environ) == status
    assert warm.run(script(folder, "pass", "other"), [], os.environ) == 0


def test_native_arithmetic_is_left_to_the_libraries(folder: Path) -> None:
    process = WarmProcess(folder, "native")
    assert process.run(script(folder, SAY), [], os.environ | {MARK: "portable", "DVC_STAGE": "say"}) == 0
    assert seen(folder)["mark"] == "native"
    process.close()


def test_a_process_with_threads_does_not_fork(folder: Path, warm: WarmProcess) -> None:
    busy = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    (folder / "src/busy.py").write_text(busy)
    assert warm.run(script(folder, "import busy\n"), [], os.environ) is None


def test_it_ends_with_the_process_that_started_it(folder: Path) -> None:
    text = (
        "import os, sys\nfrom pathlib import Path\nfrom touchstone.cluster.warm import WarmProcess\n"
        "warm = WarmProcess(Path('.'), 'portable')\nwarm.run('stages/say.py', [], os.environ)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    script(folder, "import os; print(os.getppid(), flush=True)")
    warm = int(run(sys.executable, "-c", text, cwd=folder, check=False).stdout)
    if psutil.pid_exists(warm):
        psutil.wait_procs([psutil.Process(warm)])
    assert not psutil.pid_exists(warm)
