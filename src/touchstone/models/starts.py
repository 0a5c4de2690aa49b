"""What a finetune starts from: a note of another run, and that run's tensors, seed by seed.

The note stands between the run and what starts from it: where a run is made anew with the same bytes, nothing that
starts from it is trained again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.config.model import Model
from touchstone.config.params import Params
from touchstone.errors import TouchstoneError, nearest
from touchstone.models.origin import Tensors, read_origin

if TYPE_CHECKING:
    from torch import nn

SHOWN = 3  # names of a mismatch


@dataclass(frozen=True)
class Start:
    """What the note says of a run.

    net: of its weights. mean, std: of each channel in grey levels, as its net was trained with. weights: seed ->
    sha256 of the file. diverged: seed -> how its training ended before its time.
    """

    run: str
    net: str
    mean: list[float]
    std: list[float]
    weights: dict[str, str]
    diverged: dict[str, str]

    @classmethod
    def of(cls, run: str, *, runs: Path) -> "Start":
        """The note of a run in the folder `runs`. Raises TouchstoneError where that is missing."""
        file = runs / run / "model.json"
        try:
            card = json.loads(file.read_text(encoding="utf-8"))
            return cls(run=run, **{field.name: card[field.name] for field in fields(cls) if field.name != "run"})
        except (OSError, ValueError, KeyError) as error:
            raise TouchstoneError(f"{file}: no readable run ({error}); run `dvc repro`") from error

    def text(self) -> str:
        """The note."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def write(self, file: Path) -> None:
        """Write the note."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.text(), encoding="utf-8")


def begin(params: Params, name: str, data: Path) -> tuple[Model, dict[str, Any], list[str]]:
    """A model's or finetune's settings, its learning rate found; what `training.task.task` lets it start from; the
    texts below `data` that both hang on in every seed.
    """
    settings = params.model(name)
    if name in params.finetunes:
        note = data / f"starts/{name}.json"
        start, tensors = read_start(note, runs=data / "runs")
        return settings, {"start": (start, tensors)}, [replace(start, weights={}, diverged={}).text()]
    note, rate = data / f"pretrained/{name}.json", data / f"lr/{name}.json"
    settings = settings.with_lr(json.loads(rate.read_text())["lr"])
    return settings, {"origin": read_origin(note)}, [note.read_text(), rate.read_text()]


def read_start(note: Path, *, runs: Path) -> tuple[Start, dict[int, Tensors]]:
    """A note, and the tensors of its run by seed.

    Raises TouchstoneError where either is missing or the tensors are not those that the note names.
    """
    import safetensors.torch  # here: notes are written without torch

    try:
        start = Start(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TouchstoneError(f"{note}: not readable ({error}); run `dvc repro`") from error
    tensors = {}
    for seed, sha256 in start.weights.items():
        file = runs / start.run / f"seed-{seed}.safetensors"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise TouchstoneError(f"{file}: cannot be read ({error.strerror}); run `dvc repro`") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise TouchstoneError(f"{file}: not the weights that {note} names; run `dvc repro`")
        tensors[int(seed)] = safetensors.torch.load(content)
    return start, tensors


def check_fit(tensors: Tensors, net: "nn.Module", *, run: str, net_name: str) -> None:
    """Raise TouchstoneError unless every tensor of the run `run` has a place in the net."""
    own = net.state_dict()
    unknown = [name for name in tensors if name not in own]
    other = [
        f"{name} {tuple(value.shape)}, not {tuple(own[name].shape)}"
        for name, value in tensors.items()
        if name in own and own[name].shape != value.shape
    ]
    found = [
        f"{len(names)} {kind} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for kind, names in (("have no place in it", unknown), ("have another shape", other))
        if names
    ]
    if found:
        hint = nearest(unknown[0], own) if unknown else ""
        raise TouchstoneError(f"init_from: of the weights of {run}, {' and '.join(found)}, the net {net_name}{hint}")


def take_over(net: "nn.Module", tensors: Tensors) -> None:
    """Put a run's tensors into a net; what it has beyond them stays as it was drawn."""
    net.load_state_dict(net.state_dict() | tensors)
