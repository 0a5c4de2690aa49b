"""The same bytes on every x86-64 processor with AVX2: the tiny pipeline gives the committed hashes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kit.pipeline import TINY
from kit.portable import differences, emulated
from kit.project import ENVIRONMENT, project
from touchstone.arithmetic import is_portable

REMEDY = "if a change of numbers is intended, write them anew: PYTHONPATH=tests python -m kit.portable"
pytestmark = pytest.mark.skipif(not is_portable(), reason="this processor has no AVX2: it rounds in its own way")


def test_the_tiny_pipeline_gives_the_committed_hashes(tiny_space: Path) -> None:
    assert differences(tiny_space) == [], REMEDY


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64, in Debian's package qemu-user")
def test_an_emulated_intel_gives_them_too(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", *TINY)
    path = f"{emulated(tmp_path / 'bin')}:{ENVIRONMENT['PATH']}"
    done = subprocess.run(
        ["dvc", "repro"], cwd=folder, env=ENVIRONMENT | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert differences(folder) == [], REMEDY
