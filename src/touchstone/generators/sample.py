"""Sampling an added set from a fitted generator, block by block.

Image k of class c depends on (seed, c, k) and on its block, k // block: kernels of other sizes give other last bits.
All blocks have the same size, so more images extend a set, and blocks may be sampled in any order and process.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from touchstone.config.schema.generator import Sample
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet
from touchstone.data.lazy_images import LazyImages, as_array, equal_sizes
from touchstone.errors import TouchstoneError
from touchstone.generators.base import Generative
from touchstone.generators.sources import Sources
from touchstone.models.predict import probabilities
from touchstone.models.runs import Predictor, load_nets, load_run_metadata
from touchstone.seeds import generator
from touchstone.training.lightning import trainer_for

Block = tuple[int, int]  # class c and number b: the images b * block .. (b + 1) * block - 1 of the class


def load_judge(run: Path, sha256: str, *, device: str) -> Predictor:
    """Load the classifier of a run whose weights have this hash. Raises TouchstoneError if none has it."""
    metadata = load_run_metadata(run)
    hashes = list(metadata.weights.values())
    if sha256 not in hashes:
        raise TouchstoneError(f"{run}: none of its classifiers has the hash {sha256[:8]}...; run `dvc repro filters`")
    return load_nets(run, metadata, device=device)[hashes.index(sha256)]


@dataclass(frozen=True)
class Synthesized:
    """An added set."""

    images: ImageSet
    """The samples that were kept."""
    counts: pd.DataFrame
    """class, sampled, kept: the number of images per class."""
    rows: np.ndarray | None = None
    """The rows of `images` that were kept, in their order, int64; None for all."""
    files: pd.DataFrame | None = None
    """row, file, perhaps group: the file that each row of the set was read from; None for samples."""

    def __len__(self) -> int:
        return len(self.images) if self.rows is None else len(self.rows)


def synthesize(
    module: Generative,
    *,
    settings: Sample,
    classes: list[str],
    name: str,
    num_threads: int,
    machine: Machine,
    scratch: Path,
    judge: Predictor | None,
    sources: Sources | None = None,
) -> Synthesized:
    """Sample `settings.per_class` images of each class: the first of each class, then the second, and so on.

    sources: the training images that they are made from, each of which the table names in `source_id`, or None.

    Blocks are files in `scratch`; those of an earlier process are reused. The result reads its pixels from them when
    they are used, so memory holds one block at a time. Raises TouchstoneError where the filter keeps too few images of
    a class.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    sampler = Sampler(module, settings, scratch=scratch, num_threads=num_threads, title=name, sources=sources)
    kept: list[list[int]] = [[] for _ in classes]  # for each class, the k of its kept images
    sampled = [0] * len(classes)
    while todo := _blocks(kept, sampled, settings, classes, name):
        _sample(sampler, [block for block in todo if not block_file(scratch, block).exists()], machine)
        for block in todo:
            sampled[block[0]] += settings.block
            kept[block[0]] += _accepted(scratch, block, settings, judge, len(classes))
    rows = [(c, kept[c][rank]) for rank in range(settings.per_class) for c in range(len(classes))]
    table = pd.DataFrame(
        {
            "id": [f"{name}-{classes[c]}-{k}" for c, k in rows],
            "label": [classes[c] for c, _ in rows],
            "source_id": [sources.ids(c, [k])[0] for c, k in rows] if sources else "",
            "origin": name,
        }
    )
    places = [(block_file(scratch, (c, k // settings.block)), k % settings.block) for c, k in rows]
    images = as_array(Sampled(places))
    counts = pd.DataFrame({"class": classes, "sampled": sampled, "kept": [len(k) for k in kept]})
    return Synthesized(ImageSet(images, table), counts)


def _blocks(kept: list[list[int]], sampled: list[int], settings: Sample, classes: list[str], name: str) -> list[Block]:
    """Return the next blocks of the classes that lack images, enough of them if all their images are kept."""
    todo = []
    for c, class_name in enumerate(classes):
        lacking = settings.per_class - len(kept[c])
        if lacking <= 0:
            continue
        if sampled[c] >= settings.filter.max_tries * settings.per_class:
            raise TouchstoneError(
                f"generators.{name}.sample.filter: of {sampled[c]} samples of class {class_name} {len(kept[c])} "
                f"reach a confidence of {settings.filter.min_confidence}, but {settings.per_class} are needed; lower "
                "min_confidence, raise max_tries, or fit longer"
            )
        first = sampled[c] // settings.block
        todo += [(c, first + i) for i in range(math.ceil(lacking / settings.block))]
    return todo


def _sample(sampler: "Sampler", blocks: list[Block], machine: Machine) -> None:
    """Sample blocks, which Lightning spreads over `machine.devices` processes or devices."""
    if not blocks:
        return
    devices = min(machine.devices, len(blocks))
    strategy = "ddp_spawn" if devices > 1 else "auto"
    sampler.num_blocks = math.ceil(len(blocks) / devices)
    trainer = trainer_for(machine, devices=devices, strategy=strategy)
    loader: DataLoader[Block] = DataLoader(cast(Any, blocks), batch_size=None)
    trainer.predict(sampler, loader, return_predictions=False)


class Sampler(pl.LightningModule):
    """Samples one block per step and writes it to a file, completely or not at all."""

    def __init__(
        self,
        module: Generative,
        settings: Sample,
        *,
        scratch: Path,
        num_threads: int,
        title: str,
        sources: Sources | None = None,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.module, self.settings, self.scratch = module.eval(), settings, scratch
        self.num_threads, self.title = num_threads, title
        self.num_blocks = 0

    def on_predict_start(self) -> None:
        torch.set_num_threads(self.num_threads)  # also in a spawned process
        self.bar = tqdm(
            total=self.num_blocks * self.settings.block,
            desc=self.title,
            unit="img",
            disable=None if self.global_rank == 0 else True,
            mininterval=0.5,
        )

    def predict_step(self, block: Block, batch_idx: int) -> None:
        c, b = (int(part) for part in block)
        size = self.settings.block
        numbers, labels = range(b * size, (b + 1) * size), torch.full((size,), c)
        streams = [generator(self.settings.seed, "noise", c, k) for k in numbers]
        if self.sources is None:
            pixels = self.module.sample(labels, streams, self.settings).numpy()
        else:
            pixels = self.module.sample_from(self.sources.pixels(c, numbers), labels, streams, self.settings).numpy()
        file = block_file(self.scratch, (c, b))
        new = file.with_suffix(f".{os.getpid()}.new")
        with open(new, "wb") as opened:
            np.save(opened, pixels)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
        self.bar.update(size)

    def on_predict_end(self) -> None:
        self.bar.close()
        del self.bar  # it holds the terminal, which cannot be passed to another process


def block_file(scratch: Path, block: Block) -> Path:
    """Return the file of a block, pixels (block, H, W, C)."""
    return scratch / f"{block[0]}-{block[1]}.npy"


def _accepted(scratch: Path, block: Block, settings: Sample, judge: Predictor | None, num_classes: int) -> list[int]:
    """Return the numbers k of the block's images that the filter keeps."""
    c, b = block
    numbers = np.arange(b * settings.block, (b + 1) * settings.block)
    if judge is None:
        return numbers.tolist()
    pixels = np.load(block_file(scratch, block), mmap_mode="r")
    images = ImageSet(pixels, pd.DataFrame({"id": numbers.astype(str)}))
    confidence = probabilities(judge, images, view=judge.view, num_classes=num_classes)[:, c]
    return numbers[confidence >= settings.filter.min_confidence].tolist()


class Sampled(LazyImages):
    """Samples, which are read from the blocks' files.

    places: for each, its block's file and the row there.
    """

    def __init__(self, places: list[tuple[Path, int]]) -> None:
        first = np.load(places[0][0], mmap_mode="r")
        super().__init__(equal_sizes(len(places), first.shape[1:]), first.shape[3], first.dtype)
        self.places = places

    def _image(self, row: int) -> np.ndarray:
        file, place = self.places[row]
        return np.load(file, mmap_mode="r")[place]
