"""The hashes that the tiny pipeline gives on every x86-64 processor with AVX2, and how they are written anew.

Run from the project's root: PYTHONPATH=tests python -m kit.portable
"""

import hashlib
import json
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from kit.pipeline import TINY
from kit.project import ROOT, project, run

FILE = ROOT / "tests/pipeline/portable.json"
COMPUTED = (
    "data/prepared/**/*.npy",
    "data/augmented/**/*.npy",
    "data/generators/**/*.safetensors",
    "data/encoder/*.safetensors",
    "data/lr/*.json",
    "data/runs/**/*.safetensors",
    "data/probs/**/*.npy",
    "data/explained/**/*.npy",
    "data/audit/*.csv",
    "metrics/metrics.json",
    "metrics/audit.json",
)


def hashes(folder: Path) -> dict[str, str]:
    """Path -> the first 16 digits of the sha256 of each file of numbers that the pipeline has written."""
    files = sorted({file for pattern in COMPUTED for file in folder.glob(pattern)})
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def differences(folder: Path) -> list[str]:
    """The files whose hashes are not the committed ones, in the order of the pipeline."""
    here, committed = hashes(folder), json.loads(FILE.read_text())
    return [path for path in {**committed, **here} if here.get(path) != committed.get(path)]


def emulated(folder: Path) -> Path:
    """Write a `python` that runs this interpreter on an emulated Intel processor; return its folder, for PATH."""
    emulator = shutil.which("qemu-x86_64")
    assert emulator is not None
    libraries = Path(json.__file__).parents[1]  # the interpreter's own, without the virtual environment
    packages = [path for path in sys.path if path.endswith("site-packages") and Path(path) != libraries]
    interpreter = Path(sys.executable).resolve()
    script = folder / "python"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH:{":".join(packages)}"\n'
        f'exec {emulator} -cpu Haswell {interpreter} "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run("dvc", "repro", cwd=project(Path(scratch), *TINY))
        FILE.write_text(json.dumps(hashes(Path(scratch)), indent=2) + "\n")


if __name__ == "__main__":
    main()
