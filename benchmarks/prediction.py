"""Prediction: channels_last, as this pipeline predicts, against NCHW, the same net and images side by side in one run.

    python benchmarks/prediction.py                    # mobilenet_v2 at 224 px; --net, --size for others

Both ways take uint8 images in the stored order and give logits (touchstone.predict); they differ in the memory format
of the net and its input. They take turns, `--rounds` times; the ratio is that of the medians. Figures: docs/speed.md.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch import nn

from touchstone.data.batches import View, to_float
from touchstone.models.nets import build
from touchstone.models.predict import blocks, logits


class Plain(nn.Module):
    """The net behind its normalisation, in NCHW or channels_last."""

    def __init__(self, net: nn.Module, *, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.net, self.memory_format = net.to(memory_format=memory_format), memory_format

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        grey = torch.full((3, 1, 1), 127.5)
        return self.net(to_float(pixels, grey, grey).contiguous(memory_format=self.memory_format))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = (arguments.images, arguments.size, arguments.size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    view = View(arguments.size, arguments.size)
    ways = {}
    for name, memory_format in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
        torch.manual_seed(0)
        net = build(arguments.net, num_classes=10, in_channels=3, input_size=arguments.size, options={})
        ways[name] = Plain(net, memory_format=memory_format)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        logits(way, blocks(pixels[:32], None, view))  # warm
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            logits(way, blocks(pixels, None, view))
            rates[name].append(len(pixels) / (time.perf_counter() - began))
    print(f"{arguments.net} at {arguments.size} px, {arguments.threads} threads\n")
    print("| memory format | images/s (median) | rounds |\n|---|---:|---|")
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):.1f} | {', '.join(f'{rate:.1f}' for rate in found)} |")
    print(f"\nratio {statistics.median(rates['channels_last']) / statistics.median(rates['NCHW']):.2f}")


if __name__ == "__main__":
    main()
