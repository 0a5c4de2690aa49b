"""Prediction by ONNX Runtime and OpenVINO, in 32 and in 8 bits, beside torch and this pipeline, in one run.

    python benchmarks/exported.py --project FOLDER --run mobilenet-real    # FOLDER: where `touchstone repro` has run

The run is exported first, which measures accuracy on all test images. Then every way predicts the same `--images` test
images in turns, `--rounds` times, each in a process of its own with `--threads` threads; ratios are medians over the
rounds. Processor time depends less on what else the machine does. Ways that take 256 images at a time need up to 6 GB:
only one of them is there at a time, and it predicts all images once before it is timed. Figures: docs/export.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAYS = (
    "torch NCHW, 256 at a time",
    "torch NCHW, 16 at a time",
    "touchstone, 256 at a time",
    "torchscript float32",
    "onnx float32",
    "openvino float32",
    "onnx int8",
    "openvino int8",
)
FORMATS = ("torchscript", "onnx", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--run", default="mobilenet-real")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exports", type=Path, help="keep the files here, and use those of an earlier run")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, metavar="WAY", help="; ".join(WAYS))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.exports = (arguments.exports or Path(folder)).resolve()
        arguments.project = arguments.project.resolve()
        write_files(arguments)
        compare(arguments)


def write_files(arguments: argparse.Namespace) -> None:
    """Export the run in every format, unless the files are there."""
    for form in FORMATS:
        if not (arguments.exports / form / "checks.json").is_file():
            command = ["export", arguments.run, "--to", form, "--images", "prepared", "-o", arguments.exports / form]
            command += [] if form == "torchscript" else ["--int8"]
            code = "from touchstone.cli import main; main()"
            subprocess.run([sys.executable, "-P", "-c", code, *command], cwd=arguments.project, check=True)


def compare(arguments: argparse.Namespace) -> None:
    """Let the ways take turns and print the table."""
    kept = {way: start(way, arguments) for way in arguments.ways if not is_large(way)}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in arguments.ways}
    agreement = {}
    for _ in range(arguments.rounds):
        for way in arguments.ways:
            worker = kept.get(way) or start(way, arguments)
            found[way].append(ask(worker, "time"))
            if is_large(way):
                agreement[way] = ask(worker, "end")[0]
                worker.wait()
    agreement |= {way: ask(worker, "end")[0] for way, worker in kept.items()}
    accuracy = {way: accuracy_of(way, arguments) for way in arguments.ways}
    print(f"{arguments.run}: {arguments.images} images, {arguments.rounds} rounds, {arguments.threads} threads\n")
    print("| way | images/s | times the first | processor ms an image | times less | agreement % | accuracy % |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for way, rounds in found.items():
        rate = statistics.median(arguments.images / wall for wall, _ in rounds)
        spent = statistics.median(1000 * used / arguments.images for _, used in rounds)
        pairs = list(zip(rounds, found[arguments.ways[0]], strict=True))
        faster = statistics.median(first[0] / own[0] for own, first in pairs)
        less = statistics.median(first[1] / own[1] for own, first in pairs)
        print(
            f"| {way} | {rate:.1f} | {faster:.2f} | {spent:.1f} | {less:.2f} | {100 * agreement[way]:.2f} "
            f"| {100 * accuracy[way]:.2f} |"
        )


def is_large(way: str) -> bool:
    return "256" in way


def accuracy_of(way: str, arguments: argparse.Namespace) -> float:
    """The accuracy on all test images, as the export measured it; for ways of torch, that of the stored predictions."""
    form, _, precision = way.partition(" ")
    if form in FORMATS:
        return json.loads((arguments.exports / form / "checks.json").read_text())[precision]["accuracy"]
    return json.loads((arguments.exports / "onnx/checks.json").read_text())["float32"]["accuracy_before"]


def start(way: str, arguments: argparse.Namespace) -> "subprocess.Popen[str]":
    options = ["--project", arguments.project, "--run", arguments.run, "--exports", arguments.exports]
    options += ["--images", arguments.images, "--threads", arguments.threads, "--worker", way]
    command = [sys.executable, sys.argv[0], *map(str, options)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    worker.stdout.readline()  # ready
    return worker


def ask(worker: "subprocess.Popen[str]", what: str) -> tuple[float, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{what}\n")
    worker.stdin.flush()
    first, second = map(float, worker.stdout.readline().split())
    return first, second


def work(arguments: argparse.Namespace) -> None:
    """Answer `time` with the seconds and processor seconds of one pass, and `end` with the agreement."""
    from touchstone import arithmetic  # before NumPy and torch, which it would tie to portable code

    arithmetic.hold("native")

    import numpy as np
    import torch

    from touchstone.data.imageset import load

    torch.set_num_threads(arguments.threads)
    test, stored = load(arguments.project / "data/prepared/test"), arguments.project / "data/probs" / arguments.run
    rows = np.unique(np.linspace(0, len(test) - 1, arguments.images).astype(int))
    pixels, expected = np.array(test.images[rows]), np.load(stored / "test.npy").mean(0)[rows]
    predict = way_of(arguments)
    predict(pixels if is_large(arguments.worker) else pixels[:64])
    print("ready", flush=True)
    out = expected[:0]
    for line in sys.stdin:
        if line.strip() == "end":
            print((out.argmax(1) == expected.argmax(1)).mean(), 0, flush=True)
            return
        began, used = time.perf_counter(), time.process_time()
        out = predict(pixels)
        print(time.perf_counter() - began, time.process_time() - used, flush=True)


def way_of(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    """A function from pixels, uint8 (N, S, S, C), to probabilities (N, K)."""
    import numpy as np
    import torch

    from touchstone.data.batches import to_float
    from touchstone.export.formats import format_of
    from touchstone.export.model import open_model
    from touchstone.models.predict import blocks, logits
    from touchstone.models.runs import load_first

    form, _, precision = arguments.worker.partition(" ")
    if form in FORMATS:
        file = format_of(form).file(arguments.exports / form, int8=precision == "int8")
        model = open_model(file, threads=arguments.threads)
        return lambda pixels: model.predict(list(pixels))[0]
    predictor = load_first(arguments.project / "data/runs" / arguments.run)
    if form == "touchstone,":
        return lambda pixels: logits(predictor, blocks(pixels, None, predictor.view)).softmax(1).numpy()
    net = predictor.net.to(memory_format=torch.contiguous_format).eval()
    batch = int(precision.split()[1])

    def eager(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            out = []
            for start in range(0, len(pixels), batch):
                seen = predictor.view.seen(pixels[start : start + batch], None)  # resized, as by all other ways
                x = to_float(seen, predictor.mean, predictor.std)
                out.append(net(x.contiguous()))
            return torch.cat(out).softmax(1).numpy()

    return eager


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
