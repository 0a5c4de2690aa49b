"""What params.yaml says of training a model: its budget, its phases, its optimizer, its net and first weights."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from touchstone.config.sections import Fraction, NotNegative, Positive, Section, each_once

Option = int | float | bool | str
Seed = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _rate(value: float | str) -> float | str:
    if value == "auto" or (not isinstance(value, str) and 0 < value < math.inf):
        return value
    raise ValueError("expected a number above 0, or auto: what the learning-rate finder suggests")


def _by_epoch(value: int | dict[int, int]) -> int | dict[int, int]:
    numbers = value if isinstance(value, dict) else {0: value}
    if 0 not in numbers or min(numbers) < 0 or min(numbers.values()) < 1:
        raise ValueError(
            "expected a number of batches from 1 on, or such a number for each epoch from which on it holds, epoch 0 "
            "among them, such as {0: 1, 5: 4}"
        )
    return value


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
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta"] = "adam"
    lr: Annotated[float | str, AfterValidator(_rate)] = 0.001  # the highest of the schedule; auto: found
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # sgd, nesterov; one_cycle runs its own, .95 to .85 and back
    beta1: Fraction = 0.9  # adam, adamw, nadam: of the mean gradient; one_cycle runs its own ...
    beta2: Fraction = 0.999  # ... of the mean square
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "one_cycle", "cosine", "step", "plateau"] = "constant"
    warmup_epochs: NotNegative = 0.0  # the learning rate first rises in a line over so many passes
    decay_epochs: Positive = 7.0  # step: every so many passes ...
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1  # ... the learning rate is multiplied by this; plateau: so ...
    plateau_patience: Annotated[int, Field(ge=0)] = 3  # ... after more validations than this without a lower loss
    clip_norm: NotNegative = 0.0  # gradients are scaled to at most this norm, over all weights; 0: never
    clip_value: NotNegative = 0.0  # each gradient is cut at plus and minus this; 0: never
    accumulate: Annotated[int | dict[int, int], AfterValidator(_by_epoch)] = 1  # batches an update; or by epoch
    label_smoothing: Fraction = 0.0
    class_weights: Literal["none", "balanced"] = "none"  # of the loss; balanced: a class counts inversely to its images
    mixup: NotNegative = 0.0  # alpha of Beta(alpha, alpha), which mixes two images; 0: none
    cutmix: NotNegative = 0.0  # the same for patches put into one another; with mixup, either at random
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0  # online, between minus and plus this
    crop_padding: Annotated[int, Field(ge=0)] = 0  # px; online random crop after padding
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 1.0  # online resized crop: least share of the area; 1: none
    crop_ratio: Annotated[float, Field(ge=1, le=4)] = 4 / 3  # ... its sides differ by this factor at most
    hflip: bool = False  # online, with probability 1/2
    jitter_brightness: Fraction = 0.0  # online, a factor between 1 less and 1 more by this
    jitter_contrast: Fraction = 0.0  # online, the same
    jitter_saturation: Fraction = 0.0  # online, the same
    jitter_hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # online, a turn between minus and plus this; 1 is a circle

    @model_validator(mode="after")
    def _one_of_a_kind(self) -> "Phase":
        if self.crop_padding and self.crop_scale < 1:
            raise ValueError("set crop_padding or crop_scale, not both: either is a random crop")
        if self.clip_norm and self.clip_value:
            raise ValueError("set clip_norm or clip_value, not both: either clips gradients")
        if self.schedule == "plateau" and self.decay == 1:
            raise ValueError("decay: plateau multiplies the learning rate by it; set it below 1")
        if self.warmup_epochs and self.schedule == "one_cycle":
            raise ValueError("warmup_epochs: one_cycle warms up by itself; set 0, or another schedule")
        return self

    @property
    def rate(self) -> float:
        """The highest learning rate. Raises ValueError while it is still to be found."""
        return float(self.lr)

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed with one another."""
        return bool(self.mixup or self.cutmix)

    def batches_an_update(self, epoch: int) -> int:
        """How many batches an update is made from, in an epoch of the phase."""
        if isinstance(self.accumulate, int):
            return self.accumulate
        return self.accumulate[max(start for start in self.accumulate if start <= epoch)]


class Train(Phase):
    """How a model is trained. Equal `num_steps` give every arm the same budget; `epochs` gives passes instead."""

    engine: Literal["lightning", "torch"] = "lightning"  # who runs the loop; the results are the same
    batch_size: Count = 64
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: mixed, where the hardware has it
    deterministic: bool = True  # on a GPU: the same bytes again, more slowly
    ema_decay: Fraction = 0.0  # the weights that count follow those trained, at most so slowly; 0: they are those
    swa_share: Fraction = 0.0  # of the last phase, at its end: the mean of each epoch's weights counts; 0: none
    swa_lr: Positive = 0.01  # ... while the learning rate stays at this ...
    swa_anneal_epochs: NotNegative = 5.0  # ... which it reaches over so many passes
    eval_steps: Annotated[int, Field(ge=0)] = 0  # validate every so many steps; 0: every epoch
    select: Literal["val_loss", "val_accuracy", "val_map", "last"] = "val_accuracy"  # val_map: of several labels
    patience: Annotated[int, Field(ge=0)] = 0  # a phase ends after so many validations without a better one; 0: never
    collapse_epochs: Annotated[int, Field(ge=0)] = 2  # all predictions one class for so long is divergence; 0: is not
    on_divergence: Literal["report", "fail"] = "report"  # report: the other seeds and runs go on
    test_flips: bool = False  # predict the mean over each image and its mirror image
    num_threads: Count = 2  # other numbers of threads give other last bits
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(each_once)] = (0,)

    @model_validator(mode="after")
    def _one_choice_of_weights(self) -> "Train":
        if self.patience and self.select == "last":
            raise ValueError("patience: early stopping watches what is selected by; set select to val_loss or another")
        if self.swa_share and self.ema_decay:
            raise ValueError("set swa_share or ema_decay, not both: either averages weights")
        if self.swa_share and self.select != "last":
            raise ValueError("swa_share: the mean of the last epochs' weights is what counts; set select to last")
        return self


class Model(Train):
    """A net with its settings: `train`, overridden by the model's own entry."""

    net: str
    input_size: Annotated[int, Field(ge=4, le=2048)]  # px; default: data.image_size
    test_input_size: Annotated[int, Field(ge=0, le=2048)] = 0  # px of what is predicted; 0: input_size
    crops: Literal["centre", "five"] = "centre"  # five: corners and centre; the one that answers most strongly counts
    crop_size: Annotated[int, Field(ge=0, le=2048)] = 0  # px of the prepared image, of five crops; 0: input_size
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

    def with_lr(self, found: float | None) -> "Model":
        """The model with the learning rate that was found, where it asks for one."""
        return self if found is None else self.model_copy(update={"lr": found})

    @property
    def unfrozen(self) -> bool:
        """Whether every phase trains the whole net."""
        return all(phase.trainable == ("all",) and phase.batch_norm == "train" for phase in self.plan())

    @property
    def test_px(self) -> int:
        """The side of the images that are predicted."""
        return self.test_input_size or self.input_size

    @property
    def crop_px(self) -> int:
        """The side of the five crops in the prepared image's pixels; 0 where they are not asked for."""
        return (self.crop_size or self.input_size) if self.crops == "five" else 0

    @property
    def pretrained(self) -> bool:
        """Whether it starts from weights of a file."""
        return self.weights not in ("none", "random")


class Finetune(Model):
    """A model that starts from the weights of another run, seed by seed, and with its normalisation."""

    init_from: str  # a run, `<model>-<arm>`; what the net has beyond that run's net starts as it is drawn
