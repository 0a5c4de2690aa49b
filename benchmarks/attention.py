"""The two forms of attention: seconds and memory of a training step of one block, against nodes and batch.

    python benchmarks/attention.py

A map of 16 channels, a patch of 1, one head, width 32, one thread; forward and backward. Each measurement is a process
of its own, and the forms take turns, `--rounds` times. Time is the median step; memory is what the process's peak rose
by over the first step. Figures: docs/attention.md.
"""

import argparse
import resource
import statistics
import sys
import time

from _shared import own_process

FORMS = ("graph", "classic")
CASES = [(side, batch) for side in (16, 32, 48) for batch in (4, 8)]  # side² nodes
STEPS = 7


def step(form: str, side: int, batch: int) -> tuple[float, float]:
    """The median seconds of a step, and the MiB by which the first one raised the peak."""
    import torch

    import touchstone  # noqa: F401  # settings of threads
    from touchstone.models.nets._attention import PatchAttention

    torch.set_num_threads(1)
    block = PatchAttention(form, channels=16, side_px=side, patch=1, heads=1, width=32)
    x = torch.randn(batch, 16, side, side)
    small = PatchAttention(form, channels=16, side_px=2, patch=1, heads=1, width=32)
    small(x[:1, :, :2, :2]).sum().backward()  # what torch loads once
    before, seconds, mebibytes = _peak_mib(), [], 0.0
    for _ in range(STEPS):
        began = time.perf_counter()
        block(x).sum().backward()
        seconds.append(time.perf_counter() - began)
        mebibytes = mebibytes or _peak_mib() - before
    return statistics.median(seconds), mebibytes


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("FORM", "SIDE", "BATCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        form, side, batch = arguments.one
        print(*step(form, int(side), int(batch)))
        return
    print("| nodes | batch | graph: ms | MiB | classic: ms | MiB | graph / classic: ms | MiB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for side, batch in CASES:
        found: dict[str, list[list[float]]] = {form: [] for form in FORMS}
        for _ in range(arguments.rounds):
            for form, values in found.items():
                values.append(own_process("--one", form, side, batch))
        middle = {
            form: [statistics.median(each) for each in zip(*values, strict=True)] for form, values in found.items()
        }
        (graph_s, graph_mib), (classic_s, classic_mib) = middle["graph"], middle["classic"]
        cells = [side * side, batch, f"{1000 * graph_s:.1f}", f"{graph_mib:.0f}", f"{1000 * classic_s:.1f}"]
        cells += [f"{classic_mib:.0f}", f"{graph_s / classic_s:.2f}", f"{graph_mib / classic_mib:.2f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
