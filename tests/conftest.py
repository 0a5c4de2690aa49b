"""Small real things to test with: image sets, a project copy, a command that runs as a user would run it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from touchstone import yaml12
from touchstone.imageset import ImageSet

# Nets of tests are tiny: a second thread only waits for the first, and for whatever else the machine does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "PASSIVE",
    "DVC_GLOBAL_CONFIG_DIR": "/nonexistent",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would; on failure show what it printed."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def image_set(
    labels: list[str], *, side: int = 8, channels: int = 3, seed: int = 0, origin: str = "real", prefix: str = "id"
) -> ImageSet:
    """Random images, one a label; ids are id00, id01, ..."""
    rng = np.random.default_rng(seed)
    ids = [f"{prefix}{i:02d}" for i in range(len(labels))]
    table = pd.DataFrame({"id": ids, "label": labels, "source_id": ids, "origin": origin})
    return ImageSet(rng.integers(0, 256, (len(labels), side, side, channels), np.uint8), table)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images that TOUCHSTONE_TEST_DATA names; skips where it is unset."""
    folder = os.environ.get("TOUCHSTONE_TEST_DATA")
    if not folder:
        pytest.skip("TOUCHSTONE_TEST_DATA is not set: it names the folder of real images to test with")
    return Path(folder)


def project(to: Path, *changes: str) -> Path:
    """A copy of the project as git knows it, in a git repository of its own, with `changes` to params.yaml."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    (to / "params.yaml").write_text(yaml12.changed((ROOT / "recipes/digits/params.yaml").read_text(), list(changes)))
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "start")):
        run("git", *command, cwd=to)
    return to
