"""params.yaml -> frozen, typed sections. A mistake is one line that names the key, the value and what is allowed.

What `models.<name>` does not say, `train` says.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from touchstone.errors import TouchstoneError, nearest
from touchstone.yaml12 import parse

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A mapping of params.yaml: unknown keys are errors, types are strict, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def _fold(text: str) -> str:
    found = re.fullmatch(r"(\d+) of (\d+)", text)
    if text and not (found and 1 <= int(found[1]) <= int(found[2]) and int(found[2]) >= 2):
        raise ValueError("expected '' or 'k of n' with 1 <= k <= n and n >= 2, such as '1 of 5'")
    return text


class Data(Section):
    """Which images, how they are resized and split. Every key must stand in the file: stages track them one by one."""

    source: str
    path: str  # folder: where the images lie
    mirror: str  # a directory or URL looked at instead of the official address
    image_size: Annotated[int, Field(ge=4, le=2048)]  # px
    channels: Literal[1, 3]
    resize: Literal["squash", "crop", "pad", "shortest_edge"]
    bad_images: Literal["fail", "skip"]
    max_pixels: Annotated[int, Field(gt=0)]  # of one source image
    near_duplicates: Literal["report", "drop"]
    train_size: Annotated[int, Field(ge=0)]  # at most so many training images; 0: all
    test_fraction: Fraction  # where the source has no official test split
    val_fraction: Fraction  # of the images that are not test; 0: no selection
    fold: Annotated[str, AfterValidator(_fold)]  # 'k of n': cross-validation instead of val_fraction; '': none
    split_seed: Annotated[int, Field(ge=0)]


class Transform(Section):
    """One fixed geometric and photometric transform; `{}` is the identity, a plain copy."""

    rotate_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0  # counter-clockwise
    shift_x: Annotated[float, Field(gt=-1, lt=1)] = 0.0  # fraction of the width, to the right
    shift_y: Annotated[float, Field(gt=-1, lt=1)] = 0.0  # fraction of the height, down
    zoom: Annotated[float, Field(gt=0, le=10)] = 1.0  # 0.9 shows 90 % of the side
    hflip: bool = False
    brightness: Annotated[float, Field(ge=0, le=10)] = 1.0  # factor
    fill: Literal["edge"] = "edge"


class Arm(Section):
    """A training set: the real training images (or none) and additions made from them."""

    add: tuple[str, ...] = ()
    real: bool = True
    ratio: Annotated[float, Field(ge=0)] = 0.0  # additions per real image; 0: all there are
    per_class: Annotated[int, Field(ge=0)] = 0  # at most so many additions of a class; 0: all


class Train(Section):
    """How a model is trained. Equal `num_steps` give every arm the same budget; `epochs` gives passes instead."""

    num_steps: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=1)] = 64
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Positive = 0.001  # the highest of the schedule
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # sgd; one_cycle runs its own, .95 to .85 and back
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "one_cycle", "cosine"] = "constant"
    eval_steps: Annotated[int, Field(ge=0)] = 0  # validate every so many steps; 0: every epoch
    select: Literal["val_loss", "val_accuracy", "last"] = "val_accuracy"
    crop_padding: Annotated[int, Field(ge=0)] = 0  # px; online random crop after padding
    hflip: bool = False  # online, with probability 1/2
    num_threads: Annotated[int, Field(ge=1)] = 2  # other numbers of threads give other last bits
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)

    @model_validator(mode="after")
    def _one_budget(self) -> "Train":
        if (self.num_steps > 0) == (self.epochs > 0):
            raise ValueError("set exactly one of num_steps and epochs above 0")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed is listed twice")
        return self


class Ensemble(Section):
    """Several runs that decide together."""

    rule: Literal["majority", "mean"]
    members: Annotated[tuple[str, ...], Field(min_length=2)]
    prefer: str = ""  # majority: decides where the vote is tied

    @model_validator(mode="after")
    def _each_once(self) -> "Ensemble":
        if len(set(self.members)) != len(self.members):
            raise ValueError("a member is listed twice")
        return self


class Compare(Section):
    """The paired comparison with the declared baseline arm."""

    baseline: str = "real"
    num_resamples: Annotated[int, Field(ge=100)] = 10_000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Report(Section):
    """What the report shows."""

    worst: Annotated[int, Field(ge=0)] = 24  # worst predictions of a run
    sheet: Annotated[int, Field(ge=1)] = 64  # images of a contact sheet


class Machine(Section):
    """Where and with how many hands. No stage depends on it: what ran on one device is not run again on another."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    num_workers: Annotated[int, Field(ge=0)] = 0  # that load batches; the results are the same
    save_seconds: Annotated[float, Field(ge=0)] = 20.0  # between resume states of training


class Model(Train):
    """A net with its settings: `train`, overridden by the model's own entry."""

    net: str
    input_size: Annotated[int, Field(ge=4, le=2048)]  # px; default: data.image_size
    options: dict[str, int | float | bool | str] = {}  # keyword arguments of the net's build()


class Params(Section):
    """The whole file. Every section must stand in it, since DVC looks them up there."""

    data: Data
    seed: Annotated[int, Field(ge=0)]
    transforms: Annotated[dict[Name, Transform], Field(min_length=1)]  # {repeat: {}} where none is wanted
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    models: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    train: Train
    ensembles: dict[Name, Ensemble]
    compare: Compare
    report: Report
    machine: Machine

    @property
    def runs(self) -> list[str]:
        """The declared runs, `<model>-<arm>`, in the file's order."""
        return [f"{model}-{arm}" for model in self.models for arm in self.arms]

    def model(self, name: str) -> Model:
        """The model's entry over the defaults of `train`."""
        entry = self.models[name]
        settings = self.train.model_dump() | {"net": name, "input_size": self.data.image_size}
        if "epochs" in entry or "num_steps" in entry:  # an own budget replaces the default one
            settings |= {"epochs": 0, "num_steps": 0}
        return Model.model_validate(settings | entry)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml, the names that one section takes from another included."""
    if not path.is_file():
        raise TouchstoneError(f"{path}: no such file; run from the folder that holds params.yaml")
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    try:
        params = Params.model_validate(_tuples(values))
    except ValidationError as error:
        raise TouchstoneError(f"params.yaml: {_explain(error, Params, '')}") from None
    for name, entry in params.models.items():
        try:
            params.model(name)
        except ValidationError as error:
            raise TouchstoneError(f"params.yaml: {_explain(error, Model, f'models.{name}.')}") from None
        if "seeds" in entry:
            raise TouchstoneError(
                f"params.yaml: models.{name}.seeds: seeds are the same for all models; set train.seeds"
            )
    _check_names(params)
    return params


def _tuples(value: Any) -> Any:
    """Lists become tuples, which strict and frozen sections want."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _check_names(params: Params) -> None:
    for arm, settings in params.arms.items():
        for name in settings.add:
            _one_of(f"arms.{arm}.add", name, params.transforms)
        if not settings.real and not settings.add:
            raise TouchstoneError(f"params.yaml: arms.{arm}: real is false and add is empty: nothing to train on")
    _one_of("compare.baseline", params.compare.baseline, params.arms)
    for name, ensemble in params.ensembles.items():
        for member in ensemble.members:
            _one_of(f"ensembles.{name}.members", member, params.runs)
        if ensemble.prefer:
            _one_of(f"ensembles.{name}.prefer", ensemble.prefer, ensemble.members)
        elif ensemble.rule == "majority":
            raise TouchstoneError(
                f"params.yaml: ensembles.{name}.prefer: a majority vote needs the member that decides ties, "
                f"one of {', '.join(ensemble.members)}"
            )


def _one_of(key: str, name: str, known: Any) -> None:
    if name not in known:
        raise TouchstoneError(
            f"params.yaml: {key}: got {name!r}, expected one of {', '.join(known)}{nearest(name, known)}"
        )


def _explain(error: ValidationError, section: type[Section], prefix: str) -> str:
    """The first mistake, in one line: key, value, what is allowed, the nearest known key."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    key = prefix + ".".join(path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    kind, got = first["type"], first["input"]
    if kind == "extra_forbidden":
        known = [name for name in _fields(section, path[:-1]) if not (prefix and name == "seeds")]
        return f"{key}: unknown key (value {got!r}); known keys: {', '.join(known)}{nearest(path[-1], known)}{more}"
    if kind == "missing":
        return f"{key}: this key is missing{more}"
    what = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if kind == "value_error" and isinstance(got, dict):
        return f"{key.rstrip('.')}: {what}{more}"
    return f"{key}: got {got!r}, {what}{more}"


def _fields(section: type[Section], path: list[str]) -> list[str]:
    """The keys known at `path` below `section`."""
    for part in path:
        field: FieldInfo | None = section.model_fields.get(part)
        if field is None:
            continue  # the name of an entry: its section is already here
        found = _section_of(field.annotation)
        if found is not None:
            section = found
    return list(section.model_fields)


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for item in get_args(annotation) if (found := _section_of(item))), None)
