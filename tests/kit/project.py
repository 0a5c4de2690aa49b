"""A copy of the project in which a test runs commands as a user would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from touchstone.config import yaml

ROOT = Path(__file__).parents[2]


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


def project(to: Path, *changes: str) -> Path:
    """A copy of the project as git knows it, in a git repository of its own, with `changes` to params.yaml."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    default = (ROOT / "recipes/digits/params.yaml").read_text()
    (to / "params.yaml").write_text(yaml.changed(default, ["train.vary=seed", *changes]))  # the others cost more
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "start")):
        run("git", *command, cwd=to)
    return to
