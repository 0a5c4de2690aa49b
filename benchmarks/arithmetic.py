"""Measures what portable arithmetic costs: milliseconds of a training step, native and portable, in turns.

    python benchmarks/arithmetic.py --rounds 5

LeNet (32 px, batch 32, Adam), MobileNetV2 (160 px, batch 16, Adam) and the default's DDPM (16 px, batch 64), with one
thread and with two. Each measurement is a process of its own. Figures: docs/reproducibility.md.
"""

import argparse
import statistics
import time

from _shared import own_process

CASES = ("lenet", "mobilenet_v2", "ddpm")
STEPS = {"lenet": 150, "mobilenet_v2": 6, "ddpm": 15}


def step_ms(case: str, arithmetic: str, threads: int) -> float:
    """The median milliseconds of a training step."""
    from touchstone.arithmetic import hold

    hold(arithmetic)  # before torch is imported
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    step = _step(case)
    step()
    seconds = []
    for _ in range(STEPS[case]):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def _step(case: str):  # type: ignore[no-untyped-def]
    import torch
    from torch.nn import functional

    if case == "ddpm":
        from touchstone.config.load import load
        from touchstone.generators.ddpm.net import Ddpm

        module = Ddpm(load().generators["ddpm"].fit, num_classes=10, channels=1, image_size=16)
        optimizer = torch.optim.Adam(module.net.parameters(), 1e-3, fused=True)
        pixels, labels = torch.randint(256, (64, 16, 16, 1), dtype=torch.uint8), torch.arange(64) % 10

        def loss() -> torch.Tensor:
            return module.training_step((pixels, labels), 0)["loss"]

    else:
        from touchstone.models import nets

        side, channels, batch = (32, 1, 32) if case == "lenet" else (160, 3, 16)
        net = nets.build(case, num_classes=10, in_channels=channels, input_size=side, options={})
        net = net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
        x = torch.randn(batch, channels, side, side).contiguous(memory_format=torch.channels_last)
        y = torch.arange(batch) % 10

        def loss() -> torch.Tensor:
            return functional.cross_entropy(net(x), y)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, metavar=("NET", "ARITHMETIC", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        case, arithmetic, threads = arguments.one
        print(step_ms(case, arithmetic, int(threads)))
        return
    print("| net | threads | native, ms | portable, ms | ratio, median | lowest to highest |")
    print("|---|---:|---:|---:|---:|---:|")
    for case in CASES:
        for threads in (1, 2):
            pairs = []
            for i in range(arguments.rounds):
                order = ("native", "portable") if i % 2 else ("portable", "native")
                ms = {choice: own_process("--one", case, choice, threads)[0] for choice in order}
                pairs.append((ms["native"], ms["portable"]))
            native, portable = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratios = sorted(b / a for a, b in pairs)
            middle = statistics.median(ratios)
            print(
                f"| {case} | {threads} | {native:.2f} | {portable:.2f} | {middle:.2f} |"
                f" {ratios[0]:.2f} to {ratios[-1]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
