"""What params.yaml says of training a model: its budget, its phases, its optimizer, its net and first weights."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from touchstone.sections import Fraction, Positive, Section, each_once

Option = int | float | bool | str
Seed = Annotated[int, Field(ge=0)]


class Budget(Section):
    """How long: `num_steps` steps, or `epochs` passes over the training images."""

    num_steps: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_budget(self) -> "Budget":
        if (self.num_steps > 0) == (self.epochs > 0):
            raise ValueError("set exactly one of num_steps and epochs above 0")
        return self

    def steps(self, num_images: int, batch_size: int) -> int:
        """Steps of the budget: given, or as many as `epochs` passes take."""
        return self.num_steps or math.ceil(self.epochs * num_images / batch_size)


class Phase(Budget):
    """A stretch of training with its own optimizer and schedule, both of which start anew with it."""

    trainable: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(each_once)] = ("all",)  # modules; or head
    batch_norm: Literal["train", "frozen"] = "train"  # frozen: statistics, scale and shift of every batch norm stay
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Positive = 0.001  # the highest of the schedule
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # sgd; one_cycle runs its own, .95 to .85 and back
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "one_cycle", "cosine", "step"] = "constant"
    decay_epochs: Positive = 7.0  # step: every so many passes ...
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1  # ... the learning rate is multiplied by this
    crop_padding: Annotated[int, Field(ge=0)] = 0  # px; online random crop after padding
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 1.0  # online resized crop: least share of the area; 1: none
    crop_ratio: Annotated[float, Field(ge=1, le=4)] = 4 / 3  # ... its sides differ by this factor at most
    hflip: bool = False  # online, with probability 1/2
    jitter_brightness: Fraction = 0.0  # online, a factor between 1 less and 1 more by this
    jitter_contrast: Fraction = 0.0  # online, the same

    @model_validator(mode="after")
    def _one_crop(self) -> "Phase":
        if self.crop_padding and self.crop_scale < 1:
            raise ValueError("set crop_padding or crop_scale, not both: either is a random crop")
        return self


class Train(Phase):
    """How a model is trained. Equal `num_steps` give every arm the same budget; `epochs` gives passes instead."""

    batch_size: Annotated[int, Field(ge=1)] = 64
    ema_decay: Fraction = 0.0  # the weights that count follow those trained, at most so slowly; 0: they are those
    eval_steps: Annotated[int, Field(ge=0)] = 0  # validate every so many steps; 0: every epoch
    select: Literal["val_loss", "val_accuracy", "last"] = "val_accuracy"
    test_flips: bool = False  # predict the mean over each image and its mirror image
    num_threads: Annotated[int, Field(ge=1)] = 2  # other numbers of threads give other last bits
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(each_once)] = (0,)


class Model(Train):
    """A net with its settings: `train`, overridden by the model's own entry."""

    net: str
    input_size: Annotated[int, Field(ge=4, le=2048)]  # px; default: data.image_size
    test_input_size: Annotated[int, Field(ge=0, le=2048)] = 0  # px of what is predicted; 0: input_size
    options: dict[str, Option] = Field(default={})  # keyword arguments of the net's build()
    weights: str = "none"  # to start from: none, random, imagenet, or a file in data/weights
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""  # that the file must have; '': any
    normalisation: Literal["auto", "data", "imagenet"] = "auto"  # auto: imagenet with weights, else data
    phases: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)] | None = None  # each over the model's settings
    feature_cache: bool = True  # compute what a frozen backbone sees once; the results are those without it

    def phase(self, number: int) -> Phase:
        """The phase of that number: what its entry does not say, the model says. Raises ValidationError."""
        own = {name: getattr(self, name) for name in Phase.model_fields}
        entry = (self.phases or ({},))[number]
        if self.phases:  # each has its own budget
            own |= {"num_steps": 0, "epochs": 0}
        return Phase.model_validate(own | entry)

    def plan(self) -> tuple[Phase, ...]:
        """The phases in their order: those given, or one for the whole training."""
        return tuple(self.phase(number) for number in range(len(self.phases or ({},))))

    @property
    def test_px(self) -> int:
        """The side of the images that are predicted."""
        return self.test_input_size or self.input_size

    @property
    def pretrained(self) -> bool:
        """Whether it starts from weights of a file."""
        return self.weights not in ("none", "random")
