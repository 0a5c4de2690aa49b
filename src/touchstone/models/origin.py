"""What a model starts from: a note and, where there are weights, the tensors beside it, of everything but the head."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config.model import Model
from touchstone.errors import TouchstoneError

if TYPE_CHECKING:
    import torch
    from torch import nn

Tensors = dict[str, "torch.Tensor"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean, sd as torchvision's weights expect them, in [0, 1]


@dataclass(frozen=True)
class Origin:
    """What a model starts from, as its note says.

    weights: as params.yaml has it. source: torchvision's name of ImageNet's weights, "" of others. sha256: of the
    tensors' file. mean, std: of each channel in grey levels, or None where the training images' own are used.
    """

    weights: str
    source: str = ""
    sha256: str = ""
    mean: list[float] | None = None
    std: list[float] | None = None

    @classmethod
    def of(cls, model: Model, *, channels: int) -> "Origin":
        """The note of a model, its weights still to come.

        Raises TouchstoneError where ImageNet's normalisation is asked for one channel.
        """
        kind = model.normalisation
        if kind == "auto":
            kind = "imagenet" if model.pretrained else "data"
        if kind == "data":
            return cls(model.weights)
        if channels != 3:
            raise TouchstoneError(
                f"normalisation: imagenet is of 3 channels, got data.channels {channels}; set 3, or normalisation: data"
            )
        mean, std = ([round(255 * value, 4) for value in values] for values in IMAGENET)
        return cls(model.weights, mean=mean, std=std)

    def write(self, file: Path) -> None:
        """Write the note."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def check_file(weights: Path) -> None:
    """Raise TouchstoneError where there is no such file."""
    if not weights.is_file():
        raise TouchstoneError(f"{weights}: no such file; put the weights there, or set weights to none or imagenet")


def read_origin(note: Path) -> tuple[Origin, Tensors | None]:
    """A note and, where it names weights, the tensors beside it.

    Raises TouchstoneError where either is missing or the tensors are not those that the note names.
    """
    import safetensors.torch  # here: notes are written without torch

    file = note.with_suffix(".safetensors")
    try:
        origin = Origin(**json.loads(note.read_text(encoding="utf-8")))
        if not origin.sha256:
            return origin, None
        content = file.read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise TouchstoneError(f"{note}: no readable weights ({error}); run `dvc repro pretrained`") from error
    if hashlib.sha256(content).hexdigest() != origin.sha256:
        raise TouchstoneError(f"{file}: not the weights that {note} names; run `dvc repro pretrained`")
    return origin, safetensors.torch.load(content)


def start_from(net: "nn.Module", tensors: Tensors) -> None:
    """Put the tensors of an origin into a net; its head stays as it was drawn."""
    net.load_state_dict(net.state_dict() | tensors)
