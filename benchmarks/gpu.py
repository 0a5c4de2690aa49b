"""Training on a GPU: images a second, seconds a seed and peak memory, beside airbench's own script on the same card.

    python benchmarks/gpu.py --data FOLDER [--airbench airbench94.py]     # FOLDER holds cifar-10-batches-py

The net and the settings are those of recipes/cifar10_fast, on all 50,000 training images. Each way is a process of its
own; its rate is that of the steps after the first `--skipped`, and the seconds are those of all steps of a seed at this
rate. --airbench runs that file as it is and prints what it prints last, with its seconds: the published code is not
part of this project, and its kernels are the fastest ones, as ours are with --no-deterministic. Ways take turns,
`--rounds` times; medians count. Batches are made on the CPU (plain), or on the card (resident), where nets may be
compiled, too; the first steps, which are skipped, hold the time that this takes. Figures belong in docs/speed.md.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from _shared import new_run, own_process

ENGINES, PRECISIONS, EXTRAS = ("torch", "lightning"), ("fp32", "bf16"), ("plain", "resident", "resident+compiled")
RECIPE = Path(__file__).parents[1] / "recipes/cifar10_fast/params.yaml"


def one_way(arguments: argparse.Namespace) -> tuple[float, int, float]:
    """Images a second, the images of a whole seed, and the peak of the card's memory in MiB (0 on a CPU)."""
    from touchstone import arithmetic

    arithmetic.hold("native")  # as the recipe has it
    from touchstone.training.loop import train_seed  # before torch, whose threads touchstone sets

    # isort: split
    import torch
    import torchvision

    from touchstone.config import yaml

    engine, precision, extra = arguments.way.split("-")
    source = torchvision.datasets.CIFAR10(str(arguments.data), train=True)
    recipe = yaml.parse(RECIPE.read_text(encoding="utf-8"))
    [(net, own)] = recipe["models"].items()
    settings = recipe["train"] | own | {"net": net, "engine": engine, "precision": precision}
    settings["compile"] = "compiled" in extra
    settings["deterministic"] = arguments.deterministic
    whole = math.ceil(settings.pop("epochs") * len(source.data) / settings["batch_size"])
    del settings["replicates"]
    settings["num_steps"] = arguments.steps + 1  # after the last step the weights are copied, which does not count
    labels = [source.classes[k] for k in source.targets]
    machine: Any = {
        "accelerator": arguments.accelerator,
        "num_workers": arguments.workers,
        "resident": "resident" in extra,
    }
    run = new_run(source.data, labels, settings, **machine)
    moments: dict[int, float] = {}

    def on_step(step: int) -> None:
        if step in (arguments.skipped, arguments.steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            moments[step] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        train_seed(run, seed=0, state_file=Path(folder) / "state.pt", on_step=on_step)
    seconds = moments[arguments.steps] - moments[arguments.skipped]
    memory = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return (
        (arguments.steps - arguments.skipped) * settings["batch_size"] / seconds,
        whole * settings["batch_size"],
        memory,
    )


def airbench(script: Path) -> tuple[float, str]:
    """Seconds of the published script, as it is, and its last line."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, script.name], cwd=script.parent, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - began, done.stdout.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--airbench", type=Path, help="the published script")
    parser.add_argument("--accelerator", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--skipped", type=int, default=50)
    parser.add_argument("--deterministic", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--workers", type=int, default=0, help="processes that cut the batches")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--extras", nargs="+", default=EXTRAS, choices=EXTRAS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print("\n", *one_way(arguments))
        return
    common = [f"--{name}={getattr(arguments, name)}" for name in ("data", "accelerator", "steps", "skipped", "workers")]
    common.append("--deterministic" if arguments.deterministic else "--no-deterministic")
    ways = ["-".join(way) for way in product(arguments.engines, arguments.precisions, arguments.extras)]
    rounds: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way in ways:
            rounds[way].append(own_process(*common, "--way", way))
        if arguments.airbench:
            print("airbench: {:.1f} s in all; {}".format(*airbench(arguments.airbench)))
    print("| engine | precision | batches | images a second | seconds a seed | peak memory, MiB |")
    print("|---|---|---|---:|---:|---:|")
    for way, values in rounds.items():
        rate, images, memory = (statistics.median(each) for each in zip(*values, strict=True))
        print(f"| {way.replace('-', ' | ')} | {rate:,.0f} | {images / rate:.1f} | {memory:,.0f} |")


if __name__ == "__main__":
    main()
