"""What the sections of every generator in params.yaml have in common: how it is fitted, how it is sampled.

`fit` and `sample` are apart so that asking for more images fits nothing anew.
"""

import importlib
from pathlib import Path
from typing import Annotated

from pydantic import Field

from touchstone.config.model import Budget
from touchstone.config.sections import Fraction, Positive, Section


class Fit(Budget):
    """How a generator is fitted, whatever its kind."""

    batch_size: Annotated[int, Field(ge=2)] = 64
    lr: Positive = 0.0002
    ema_decay: Fraction = 0.995  # of the weights that are sampled from; 0: the last weights
    hflip: bool = False  # online, with probability 1/2
    grid_steps: Annotated[int, Field(ge=0)] = 0  # a sheet of samples every so many steps; 0: at the end only
    min_diversity: Fraction = 0.2  # of samples, relative to real images; below: collapsed (docs/generators.md)
    max_diversity: Positive = 1.4  # above: noise
    num_threads: Annotated[int, Field(ge=1)] = 2  # other numbers of threads give other last bits
    seed: Annotated[int, Field(ge=0)] = 0


class Filter(Section):
    """Which samples are kept, judged by a classifier that saw the training split alone."""

    min_confidence: Fraction = 0.0  # of the class that was asked for; 0: every sample is kept
    max_tries: Annotated[int, Field(ge=1)] = 10  # samples for each one kept, at most


class Sample(Section):
    """How many images are sampled, and in which blocks."""

    per_class: Annotated[int, Field(ge=1)]
    block: Annotated[int, Field(ge=1, le=4096)] = 20  # images of one class at a time; another size, other last bits
    seed: Annotated[int, Field(ge=0)] = 0
    filter: Filter = Filter()


class Generator(Section):
    """An entry of `generators`. A kind has its own `fit` and `sample`."""

    kind: str
    fit: Fit
    sample: Sample

    def check_size(self, size_px: int) -> None:
        """Raise ValueError unless images of this side can be made."""
        raise NotImplementedError


KINDS = Path(__file__).parents[1] / "generators"  # a folder each: its sections in config.py, its nets in net.py


def kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(path.parent.name for path in KINDS.glob("*/config.py"))


def entry_of(kind: str) -> type[Generator]:
    """The section of an entry of that kind, which must be one of `kinds()`; named at run time, so that a new kind is no
    change to what others depend on."""
    return importlib.import_module(f"touchstone.generators.{kind}.config").Entry
