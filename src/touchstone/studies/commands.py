"""DVC and git as child processes. Nothing else in the project starts either of them.

DVC is the one that is installed beside this interpreter, whatever PATH holds; git is the one on PATH.
"""

import os
import subprocess
import sys
from pathlib import Path

from touchstone.errors import TouchstoneError

DVC = (sys.executable, "-P", "-m", "dvc")  # -P: a file of the working folder, such as yaml.py, is not imported


def dvc(root: Path, *arguments: str, **variables: str) -> bool:
    """Run DVC in `root` and let it write to the terminal; return whether it succeeded.

    variables: environment variables to set for it.
    """
    return subprocess.run([*DVC, *arguments], cwd=root, env=_environment(variables)).returncode == 0


def dvc_output(root: Path, *arguments: str, **variables: str) -> str:
    """Run DVC in `root` and return what it writes to stdout. Raise TouchstoneError where it fails."""
    return _output("dvc", [*DVC, *arguments], root, variables)


def start_dvc(root: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """Start DVC in `root` and return the process; its stdout also carries what it writes to stderr."""
    return subprocess.Popen(
        [*DVC, *arguments],
        cwd=root,
        env=_environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def git(root: Path, *arguments: str, **variables: str) -> str:
    """Run git in `root` and return what it writes to stdout. Raise TouchstoneError where it fails or is missing."""
    try:
        return _output("git", ["git", *arguments], root, variables)
    except FileNotFoundError as error:
        raise TouchstoneError("git: no such command on PATH; install git and run the same command again") from error


def _output(name: str, command: list[str], root: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=root, env=_environment(variables), capture_output=True, text=True)
    if done.returncode:
        arguments = command[len(DVC) if name == "dvc" else 1 :]
        raise TouchstoneError(f"{' '.join([name, *arguments])}: {' '.join(done.stderr.split())}")
    return done.stdout


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """This process's environment, with the interpreter's folder first on PATH: dvc.yaml says `python stages/...`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return os.environ | {"PATH": path} | variables
