"""Measures the time of `touchstone repro` beside the stages themselves.

    python benchmarks/overhead.py                                # 60 stages that wait 10 s, two at a time
    python benchmarks/overhead.py --stages 20 --seconds 2 --jobs 4

A project of independent stages, made for this, each of which waits and writes a line; the script imports what a stage
that trains imports. Ideal are stages / jobs * seconds. Figures: docs/speed.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARAMS = Path(__file__).parents[1] / "recipes/digits/params.yaml"
SCRIPT = """import sys
import time
from pathlib import Path

import pytorch_lightning
import torch

time.sleep(float(sys.argv[2]))
Path("out").mkdir(exist_ok=True)
Path("out", sys.argv[1]).write_text("ended\\n")
"""
GRAPH = """stages:
  wait:
    matrix: {{number: {numbers}}}
    cmd: PYTHONPATH=src python stages/wait.py ${{item.number}} {seconds}
    deps: [stages/wait.py]
    outs: ["out/${{item.number}}"]
"""


def make(root: Path, stages: int, seconds: float) -> None:
    (root / "stages").mkdir()
    (root / "stages/wait.py").write_text(SCRIPT)
    shutil.copy(PARAMS, root)  # no stage reads it, but it must be a valid one
    (root / "dvc.yaml").write_text(GRAPH.format(numbers=[f"n{i}" for i in range(stages)], seconds=seconds))
    (root / ".gitignore").write_text("/out/.gitignore\n/.touchstone\n/metrics\n")
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "-m", "stages"], cwd=root, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, arguments.stages, arguments.seconds)
        began = time.perf_counter()
        subprocess.run(["touchstone", "repro", "--jobs", str(arguments.jobs)], cwd=root, check=True)
        took = time.perf_counter() - began
        ended = len(list((root / "out").glob("n*")))
    if ended != arguments.stages:
        sys.exit(f"{ended} of {arguments.stages} stages have ended")
    ideal = arguments.stages / arguments.jobs * arguments.seconds
    beside = (took - ideal) * arguments.jobs / arguments.stages
    print(f"{took:.1f} s, {took / ideal:.3f} times the ideal {ideal:.1f} s; {beside:.2f} s beside each stage")


if __name__ == "__main__":
    main()
