"""The sections of params.yaml: frozen, typed, unknown keys are errors."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
Method = Literal["saliency", "integrated_gradients", "noise_tunnel", "deep_lift", "gradient_shap", "occlusion"]
Rule = Literal["f1", "half"]  # of thresholds: best F1 on validation images; half: .5
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


# What the encoder of the audit takes neither from its own entry nor from `train`.
ENCODER_HAS_ITS_OWN = (
    "seeds",
    "select",
    "weights",
    "normalisation",
    "phases",
    "trainable",
    "batch_norm",
    "swa_share",
    "patience",
    "on_divergence",
    "test_flips",
    "test_input_size",
    "crops",
    "crop_size",
)

# What it takes from its own entry alone: these decide how well images are told apart, and so what filters let through.
ENCODER_BY_ITSELF = (
    "accumulate",
    "class_weights",
    "clip_norm",
    "clip_value",
    "cutmix",
    "ema_decay",
    "label_smoothing",
    "mixup",
    "precision",
    "warmup_epochs",
)


class Section(BaseModel):
    """A mapping of params.yaml: unknown keys are errors, types are strict, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Raise ValueError where a value is listed twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is listed twice")
    return values


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


class MultiLabel(Section):
    """What is done with images of several labels, or none. Of data that have one an image nothing here counts."""

    difficult: Literal["ignore", "count", "mark"] = "mark"  # objects marked so: as if not there, as others, or apart
    without_label: Literal["keep", "drop"] = "keep"  # images of which no class is there


class Transform(Section):
    """One fixed geometric and photometric transform; `{}` is the identity, a plain copy."""

    rotate_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0  # counter-clockwise
    shift_x: Annotated[float, Field(gt=-1, lt=1)] = 0.0  # fraction of the width, to the right
    shift_y: Annotated[float, Field(gt=-1, lt=1)] = 0.0  # fraction of the height, down
    zoom: Annotated[float, Field(gt=0, le=10)] = 1.0  # 0.9 shows 90 % of the side
    hflip: bool = False
    brightness: Annotated[float, Field(ge=0, le=10)] = 1.0  # factor
    contrast: Annotated[float, Field(ge=0, le=10)] = 1.0  # factor of the distances from the image's mean
    saturation: Annotated[float, Field(ge=0, le=10)] = 1.0  # factor of the distances from grey
    hue: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0  # a turn of the colours; 1 is a circle
    fill: Literal["edge"] = "edge"


class Arm(Section):
    """A training set: the real training images (or none) and additions made from them."""

    add: tuple[str, ...] = ()
    real: bool = True
    ratio: Annotated[float, Field(ge=0)] = 0.0  # additions per real image; 0: all there are
    per_class: Annotated[int, Field(ge=0)] = 0  # at most so many additions of a class; 0: all
    schedule: Literal["mixed", "pretrain"] = "mixed"  # pretrain: first the additions alone, then the real images
    pretrain_share: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the steps; pretrain


class Ensemble(Section):
    """Several runs that decide together."""

    rule: Literal["majority", "mean", "weighted", "greedy"]  # weighted, greedy: means by weights found on validation
    members: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(each_once)]
    prefer: str = ""  # majority: decides where the vote is tied
    thresholds: Rule = "f1"  # several labels an image: those that members vote for, or that the mean is held to

    @property
    def finds_weights(self) -> bool:
        return self.rule in ("weighted", "greedy")


class Compare(Section):
    """How runs are scored, and compared with the declared baseline arm."""

    baseline: str = "real"
    against: dict[str, str] = Field(default={})  # a model: the run that its own on the baseline arm is compared with
    num_resamples: Annotated[int, Field(ge=100)] = 10_000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    thresholds: Rule = "f1"  # several labels an image: from which probability on a run predicts each
    tail_thresholds: Annotated[int, Field(ge=2)] = 20  # several labels an image: of tail accuracy ...
    tail_from: Fraction = 0.5  # ... from here to a class's highest score


class Explain(Section):
    """What is shown of how nets come to their answers."""

    images: Annotated[int, Field(ge=0, le=32)] = 8  # test images of each run; 0: none
    runs: Annotated[tuple[str, ...], AfterValidator(each_once)] = ()  # whose answers are attributed to pixels
    choose: Literal["worst", "confident"] = "worst"  # which images: the surest errors, or the surest answers ...
    files: Annotated[tuple[str, ...], AfterValidator(each_once)] = ()  # ... or these, by their names
    methods: Annotated[tuple[Method, ...], Field(min_length=1), AfterValidator(each_once)] = get_args(Method)
    steps: Annotated[int, Field(ge=8)] = 200  # of integrated gradients; more ...
    tolerance: Annotated[float, Field(gt=0)] = 0.01  # ... where their sum misses the difference of the logits by more
    samples: Annotated[int, Field(ge=1)] = 10  # of the noise tunnel and of GradientShap
    noise: Fraction = 0.15  # its standard deviation in these, as a share of the range of the pixels
    window: Annotated[int, Field(ge=0)] = 0  # px of the net's input that occlusion covers; 0: an eighth of the side
    randomised: Annotated[int, Field(ge=0)] = 5  # stages in which weights are drawn anew, as a check; 0: none


class Report(Section):
    """What the report shows."""

    worst: Annotated[int, Field(ge=0)] = 24  # worst predictions of a run
    sheet: Annotated[int, Field(ge=1)] = 64  # images of a contact sheet


class Audit(Section):
    """How addition sets are measured against real images."""

    encoder: dict[str, Any]  # net and settings of the classifier whose features are used, over `train`
    seed: Annotated[int, Field(ge=0)]  # of the encoder and of what is drawn
    num_draws: Annotated[int, Field(ge=2)] = 10  # matched subsamples
    neighbours: Annotated[int, Field(ge=1)] = 5  # of precision, recall, density, coverage
    pairs: Annotated[int, Field(ge=1)] = 32  # closest ones that are shown

    @field_validator("encoder")
    @classmethod
    def _its_own(cls, entry: dict[str, Any]) -> dict[str, Any]:
        if "net" not in entry:
            raise ValueError("expected a net, such as net: lenet")
        for key in ENCODER_HAS_ITS_OWN:
            if key in entry:
                raise ValueError(
                    f"{key} is not for the encoder: it is trained from scratch, with audit.seed, to the end"
                )
        return entry


class Machine(Section):
    """Where and with how many hands. No stage depends on it: what ran on one device is not run again on another."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    num_workers: Annotated[int, Field(ge=0)] = 0  # that load batches; the results are the same
    devices: Annotated[int, Field(ge=1)] = 1  # or processes, that samples are made on; the results are the same
    save_seconds: NotNegative = 20.0  # between resume states of training
    loggers: Annotated[tuple[Literal["tensorboard", "wandb"], ...], AfterValidator(each_once)] = ()  # each an extra
