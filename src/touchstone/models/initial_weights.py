"""The weights that training starts from: a note in JSON, the tensors that it names, and whether they fit a net.

The note stands between weights and the stages that start from them: where a run is trained again to the same bytes, its
note stays the same, and nothing that starts from the run is trained again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config.schema.model import Model
from touchstone.data.levels import WHITE
from touchstone.errors import TouchstoneError, nearest
from touchstone.models import nets

if TYPE_CHECKING:
    import torch
    from torch import nn

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel
Tensors = dict[str, "torch.Tensor"]  # name -> tensor, as in a state dict

EVERY_SEED = "all"  # stands for the seeds where one file serves them all
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean, sd that torchvision's weights expect, in [0, 1]
ADDED = ("licence", "file_sha256")  # facts that are written only where there are any
SHOWN = 3  # names in an error message


@dataclass(frozen=True)
class InitialWeights:
    """The weights that the seeds of a run start from. Without any in `sha256`, they are drawn at random."""

    name: str
    """The weights as params.yaml names them, or the run that a finetune starts from."""
    source: str = ""
    """The publisher's name of the weights; "" for a file of one's own."""
    licence: str = ""
    """Of the publisher's weights, as it names it, or ""."""
    file_sha256: str = ""
    """The hash of the file that the weights were read from."""
    mean: list[float] | None = None
    """Per channel, in grey levels, for the normalisation; None takes the training images' own."""
    std: list[float] | None = None
    """The same for the standard deviation."""
    normalisations: dict[str, list[list[float]]] = field(default_factory=dict)
    """Seed -> mean and std, where the replicates of a run have training images of their own."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Seed -> the hash of its file of tensors, or EVERY_SEED -> the hash of the one file."""
    diverged: dict[str, str] = field(default_factory=dict)
    """Seed -> why and when the training of its weights diverged."""
    tensors: dict[str, Tensors] = field(default_factory=dict)
    """The contents of the files, which are not part of the note."""

    @classmethod
    def of_model(cls, model: Model, *, channels: int, expected: Statistics | None = None) -> "InitialWeights":
        """Return the weights of a model, without the hash of their file.

        expected: the mean and standard deviation in [0, 1] that its weights expect; None for ImageNet's usual ones.
        Raises TouchstoneError where ImageNet's normalisation is asked for and images do not have three channels.
        """
        kind = model.normalisation
        if kind == "auto":
            kind = "imagenet" if model.pretrained else "data"
        if kind == "data":
            return cls(model.weights)
        if channels != 3:
            raise TouchstoneError(
                f"normalisation: imagenet has 3 channels, got data.channels {channels}; set 3, or normalisation: data"
            )
        used = expected if expected and model.normalisation == "auto" else IMAGENET
        mean, std = ([round(WHITE * value, 4) for value in values] for values in used)
        return cls(model.weights, mean=mean, std=std)

    @classmethod
    def of_run(cls, run: str, *, runs: Path) -> "InitialWeights":
        """Return the weights of a run in the folder `runs`, by seed. Raises TouchstoneError where it is missing."""
        file = runs / run / "model.json"
        try:
            metadata = json.loads(file.read_text(encoding="utf-8"))
            facts = {name: metadata[name] for name in ("mean", "std", "diverged")}
            facts["normalisations"] = metadata.get("normalisations", {})
            return cls(run, sha256=metadata["weights"], **facts)
        except (OSError, ValueError, KeyError) as error:
            raise TouchstoneError(f"{file}: no readable run ({error}); run `dvc repro`") from error

    @property
    def is_run(self) -> bool:
        """Whether each seed starts from the same seed of another run."""
        return bool(self.sha256) and EVERY_SEED not in self.sha256

    def of_seed(self, seed: int) -> "InitialWeights":
        """The weights, with the normalisation of a seed for all."""
        mean, std = self.normalisations.get(str(seed), (self.mean, self.std))
        return replace(self, mean=mean, std=std, normalisations={})

    def write(self, file: Path) -> None:
        """Write the note."""
        file.parent.mkdir(parents=True, exist_ok=True)
        note = {name: value for name, value in vars(self).items() if name != "tensors" and (value or name not in ADDED)}
        file.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")

    def load_into(self, net: "nn.Module", *, seed: int, net_name: str) -> None:
        """Put a seed's tensors into a net; other parts of the net, such as a new head, keep their values.

        Raises TouchstoneError where a tensor has no place in the net.
        """
        tensors = self.tensors.get(str(seed) if self.is_run else EVERY_SEED)
        if tensors is not None:
            own = net.state_dict()
            check_fit(tensors, own, source=f"init_from: {self.name}" if self.is_run else self.name, net_name=net_name)
            net.load_state_dict(own | tensors)


RANDOM = InitialWeights("random")


def load_initial_weights(note: Path, *, runs: Path | None = None) -> InitialWeights:
    """Read a note and the tensors that it names: in the file beside it or, for a run, in the folder `runs`.

    Raises TouchstoneError where either is missing or the tensors are not those that the note names.
    """
    import safetensors.torch  # here: notes are written without torch

    try:
        weights = InitialWeights(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TouchstoneError(f"{note}: no readable weights ({error}); run `dvc repro`") from error
    tensors = {}
    for seed, sha256 in weights.sha256.items():
        folder = note.parent if runs is None else runs / weights.name
        file = folder / f"{note.stem if seed == EVERY_SEED else f'seed-{seed}'}.safetensors"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise TouchstoneError(f"{file}: cannot be read ({error.strerror}); run `dvc repro`") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise TouchstoneError(f"{file}: not the weights that {note} names; run `dvc repro`")
        tensors[seed] = safetensors.torch.load(content)
    return replace(weights, tensors=tensors)


def check_fit(
    tensors: Tensors, expected: Mapping[str, "torch.Tensor"], *, source: str, net_name: str, complete: bool = False
) -> None:
    """Raise TouchstoneError, which opens with `source`, unless the net's `expected` tensors include each of `tensors`.

    complete: whether each expected tensor must be given, too.
    """
    unknown = sorted(name for name in tensors if name not in expected)
    misfits = {
        "missing": [name for name in expected if name not in tensors] if complete else [],
        "unknown": unknown,
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)}, not {tuple(value.shape)}"
            for name, value in expected.items()
            if name in tensors and tensors[name].shape != value.shape
        ],
    }
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for kind, names in misfits.items()
        if names
    ]
    if problems:
        hint = nearest(unknown[0], expected) if unknown else ""
        raise TouchstoneError(
            f"{source}: the weights do not fit {net_name} with its options: {'; '.join(problems)}{hint}"
        )


def outline(model: Model, *, channels: int) -> "nn.Module":
    """Build the model's net without values, only names and shapes, with a head of two classes."""
    return nets.outline(
        model.net, num_classes=2, in_channels=channels, input_size=model.input_size, options=model.options
    )
