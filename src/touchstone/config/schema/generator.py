"""The settings that all generators share: how one is fitted, and how it is sampled; and those of images made elsewhere.

Asking for more images changes `sample` alone, so nothing is fitted again. A kind of generator is a folder
`generators/<kind>`, whose `config.py` names its subclass of `GeneratorConfig` as CONFIG.
"""

import importlib
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from touchstone.config.schema.data import Data, Group
from touchstone.config.schema.model import Budget
from touchstone.config.schema.section import Count, Fraction, Positive, Section, Seed

FOLDER = Path(__file__).parents[2] / "generators"
ADDED = Path("data/added")  # the dependency of the stage that reads images made elsewhere


class Fit(Budget):
    """Settings for fitting a generator that all kinds have."""

    batch_size: Annotated[int, Field(ge=2)] = 64
    lr: Positive = 0.0002
    ema_decay: Fraction = 0.995
    """Decay of the averaged weights that are sampled from; 0 takes the last weights."""
    hflip: bool = False
    """Mirror training images with probability 1/2."""
    grid_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two sheets of samples; 0 draws one at the end."""
    min_diversity: Fraction = 0.2
    """Least diversity of samples, relative to real images; below it, fitting has collapsed (docs/generators.md)."""
    max_diversity: Positive = 1.4
    """Greatest diversity; above it, samples are noise."""
    num_threads: Count = 1
    """Threads of the fitting process; another number gives other last bits."""
    devices: Count = 1
    """Devices, each with a process of its own, that share every batch; another number gives other last bits."""
    sync_batch_norm: bool = False
    """Normalise batches by the statistics of all devices instead of one's own part; on GPUs only."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _equal_parts(self) -> "Fit":
        if self.batch_size % self.devices:
            raise ValueError(f"devices: {self.devices} do not divide batch_size {self.batch_size}; set a multiple")
        if self.batch_size == self.devices > 1:
            raise ValueError(f"devices: {self.devices} leave one image each; raise batch_size")
        return self


class Filter(Section):
    """Settings for keeping some samples, by a classifier that was trained on the training split alone."""

    min_confidence: Fraction = 0.0
    """Least probability of the requested class; 0 keeps every sample."""
    max_tries: Count = 10
    """Largest number of samples drawn for each one kept."""


class Sample(Section):
    """The number of images to sample, and the blocks in which they are sampled."""

    per_class: Count
    block: Annotated[int, Field(ge=1, le=4096)] = 20
    """Images of one class that are sampled together; another size gives other last bits."""
    seed: Seed = 0
    filter: Filter = Filter()


class GeneratorConfig(Section):
    """An entry of `generators`. A kind narrows the types of `kind` and `sample`."""

    CODE: ClassVar[str] = "net.py"
    """The file in the kind's folder that makes its images."""
    kind: str
    sample: Section

    @classmethod
    def completed(cls, entry: dict[str, Any], *, name: str, data: Data) -> dict[str, Any]:
        """Return the entry `name` with the defaults that depend on its name or on `data`."""
        return entry

    def check_size(self, size_px: int) -> None:
        """Raise ValueError unless images with this side, in px, can be made."""


class FittedConfig(GeneratorConfig):
    """An entry whose images are sampled from a generator that is fitted. A kind narrows the type of `fit`, too."""

    fit: Fit
    sample: Sample


class PipelineConfig(FittedConfig):
    """An entry whose images are sampled from a pretrained pipeline, adapted to the training images or as it is."""

    pipeline: str
    """A folder, or owner/name@revision on the hub of diffusers' pipelines."""

    @property
    def has_labels(self) -> bool:
        """Whether something but the pipeline itself gives each image its class."""
        return False


class FolderFilter(Section):
    """Settings for keeping some images of a folder, by a classifier that was trained on the training split alone."""

    min_confidence: Fraction = 0.0
    """Least probability of an image's class, or of each of its classes; 0 keeps every image."""


class FolderSample(Section):
    """Settings for taking images of a folder as the added set."""

    per_class: Annotated[int, Field(ge=0)] = 0
    """Images of a class, at most, in the order of their files' sha256; 0 takes all."""
    bad_images: Literal["fail", "skip"] = "fail"
    """Says whether unreadable images stop the stage or are left out; by default as `data.bad_images` says."""
    group: Group = ""
    """Names the groups that the audit compares with those of test and validation images: a column of the set's table
    or a pattern on its paths; by default as `data.group` says."""
    filter: FolderFilter = FolderFilter()


class FolderConfig(GeneratorConfig):
    """An entry whose images were made elsewhere and lie in a folder or an archive: nothing is fitted."""

    CODE: ClassVar[str] = "images.py"
    kind: Literal["folder"]
    path: str
    """The folder or the archive; by default that with the entry's name in data/added."""
    sample: FolderSample = FolderSample()

    @classmethod
    def completed(cls, entry: dict[str, Any], *, name: str, data: Data) -> dict[str, Any]:
        """Return the entry with its path, and with the rules of `data` for unreadable images and for groups."""
        sample = entry.get("sample", {})
        if isinstance(sample, dict):
            sample = {"bad_images": data.bad_images, "group": data.group} | sample
        return {"path": (ADDED / name).as_posix()} | entry | {"sample": sample}


def kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.py"))


def config_of(kind: str) -> type[GeneratorConfig]:
    """The settings class of a kind, imported by name, so that no kind depends on the code of another."""
    return importlib.import_module(f"touchstone.generators.{kind}.config").CONFIG


def part_of(kind: str, part: str, values: dict[str, Any]) -> Any:
    """The section `fit` or `sample` of a kind, from plain values of JSON."""
    section: Any = config_of(kind).model_fields[part].annotation
    return section.model_validate_json(json.dumps(values))


def _of_its_kind(value: Any) -> Any:
    if isinstance(value, dict):
        return config_of(value["kind"]).model_validate_json(json.dumps(value))
    return value


AnyGenerator = Annotated[SerializeAsAny[GeneratorConfig], BeforeValidator(_of_its_kind)]
