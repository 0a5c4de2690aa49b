"""Settings for training a model: its net and initial weights, its phases, its optimizer, its budget.

In params.yaml an entry of `models` may have any field of `Phase`, `Run` and `Net`; the others are taken from `train`.
An entry of its `phases` may have any field of `Phase`; the others are taken from the model. The stage `settings` merges
them once into a `Model`, whose phases are complete.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from touchstone.config.schema.augmentation import DETAILS, UNCHANGED, Augmentation
from touchstone.config.schema.imbalance import Imbalance
from touchstone.config.schema.probe import Probe
from touchstone.config.schema.section import Count, Fraction, NonNegative, Positive, Section, Seed, Shown, each_once
from touchstone.config.schema.teaching import Teaching
from touchstone.config.schema.tune import Tune, Tuned

Option = int | float | bool | str
Accumulation = int | dict[int, int]


def _learning_rate(value: float | str) -> float | str:
    if value == "auto" or (not isinstance(value, str) and 0 < value < math.inf):
        return value
    raise ValueError("expected a number above 0, or auto: what the learning-rate finder suggests")


def _accumulation(value: Accumulation) -> Accumulation:
    numbers = value if isinstance(value, dict) else {0: value}
    if 0 not in numbers or min(numbers) < 0 or min(numbers.values()) < 1:
        raise ValueError(
            "expected a number of batches from 1 on, or such a number for each epoch from which on it holds, epoch 0 "
            "among them, such as {0: 1, 5: 4}"
        )
    return value


class Budget(Section):
    """The length of a training: `num_steps` steps, or `epochs` passes over the training images."""

    num_steps: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_budget(self) -> "Budget":
        if (self.num_steps > 0) == (self.epochs > 0):
            raise ValueError("set exactly one of num_steps and epochs above 0")
        return self

    def steps(self, num_images: int, batch_size: int) -> int:
        """The number of steps: as given, or as many as `epochs` passes over `num_images` images take."""
        return self.num_steps or math.ceil(self.epochs * num_images / batch_size)

    def scaled(self, factor: float) -> dict[str, int]:
        """Return both lengths times a factor."""
        return {"num_steps": scaled(self.num_steps, factor), "epochs": scaled(self.epochs, factor)}


def scaled(number: int, factor: float) -> int:
    """Return a number of steps or epochs times a factor, at least 1; 0 stays 0, which stands for none."""
    return max(1, round(number * factor)) if number else 0


class Phase(Budget, Augmentation, Imbalance):
    """A stretch of training, with a new optimizer and a new schedule."""

    trainable: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(each_once)] = ("all",)
    """The modules that are trained: all, head, or names of modules."""
    batch_norm: Annotated[Literal["train", "frozen"], Shown("trained", "batch norm frozen")] = "train"
    """frozen keeps the statistics, scale and shift of every batch norm."""
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta"] = "adam"
    lr: Annotated[float | str, AfterValidator(_learning_rate)] = 0.001
    """Learning rate, the highest of the schedule; auto takes what the learning-rate finder suggests."""
    layer_decay: Annotated[float, Field(gt=0, le=1), Shown("optimizer", "layer-wise lr decay {:g}")] = 1.0
    """Learning rate of each block over that of the block after it; the head has lr. 1: one rate for all."""
    momentum: Annotated[float, Field(ge=0, lt=1), Shown("optimizer", "momentum {:g}")] = 0.9
    """For sgd and nesterov; one_cycle cycles its own, from .95 to .85 and back."""
    beta1: Annotated[Fraction, Shown("optimizer", "beta1 {:g}")] = 0.9
    """For adam, adamw and nadam: decay of the mean gradient; one_cycle cycles its own."""
    beta2: Annotated[Fraction, Shown("optimizer", "beta2 {:g}")] = 0.999
    """For the same: decay of the mean squared gradient."""
    weight_decay: Annotated[NonNegative, Shown("optimizer", "weight decay {:g}")] = 0.0
    schedule: Literal["constant", "one_cycle", "linear", "cosine", "step", "plateau"] = "constant"
    warmup_epochs: Annotated[NonNegative, Shown("schedule", "warm-up of {:g} epochs")] = 0.0
    """Epochs over which the learning rate first rises linearly."""
    decay_epochs: Annotated[Positive, Shown("schedule", "decays every {:g} epochs")] = 7.0
    """For step: epochs between two decays."""
    decay: Annotated[float, Field(gt=0, le=1), Shown("schedule", "decay factor {:g}")] = 0.1
    """For step and plateau: the factor of each decay."""
    plateau_patience: Annotated[int, Field(ge=0), Shown("schedule", "patience {}")] = 3
    """For plateau: validations without a lower loss before a decay."""
    clip_norm: Annotated[NonNegative, Shown("optimizer", "gradient norm clipped at {:g}")] = 0.0
    """Largest norm of the gradient over all weights; 0 does not clip."""
    clip_value: Annotated[NonNegative, Shown("optimizer", "gradient values clipped at {:g}")] = 0.0
    """Largest absolute value of each gradient; 0 does not clip."""
    accumulate: Annotated[Accumulation, AfterValidator(_accumulation), Shown("optimizer", "batches per update: {}")] = 1
    """Number of batches per update, or such a number for each epoch from which it applies."""
    label_smoothing: Annotated[Fraction, Shown("optimizer", "label smoothing {:g}")] = 0.0
    mixup: Annotated[NonNegative, Shown("online augmentation", "mixup alpha {:g}")] = 0.0
    """alpha of the Beta(alpha, alpha) by which two images are mixed; 0 mixes none."""
    cutmix: Annotated[NonNegative, Shown("online augmentation", "cutmix alpha {:g}")] = 0.0
    """The same for pasted patches; together with mixup, each batch takes either at random."""

    @model_validator(mode="after")
    def _one_of_a_kind(self) -> "Phase":
        if self.crop_padding and self.crop_scale < 1:
            raise ValueError("set crop_padding or crop_scale, not both: either is a random crop")
        if self.alternate_flips and not self.hflip:
            raise ValueError("alternate_flips: says how images are mirrored, and hflip is false; set hflip to true")
        if self.alternate_flips and self.balance:
            raise ValueError(
                "alternate_flips: needs each image once per epoch, and sampler: weighted draws some more often; take "
                "one of them out"
            )
        if self.clip_norm and self.clip_value:
            raise ValueError("set clip_norm or clip_value, not both: either clips gradients")
        if self.schedule == "plateau" and self.decay == 1:
            raise ValueError("decay: plateau multiplies the learning rate by it; set it below 1")
        if self.loss == "focal" and self.label_smoothing:
            raise ValueError(
                "label_smoothing: is not for loss: focal, which spares sure answers already; set it to 0, or loss to "
                "cross_entropy"
            )
        if self.warmup_epochs and self.schedule == "one_cycle":
            raise ValueError("warmup_epochs: one_cycle warms up by itself; set 0, or another schedule")
        return self

    @property
    def rate(self) -> float:
        """The highest learning rate. Raises ValueError while it is auto."""
        return float(self.lr)

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed with one another."""
        return bool(self.mixup or self.cutmix)

    @property
    def trains_all(self) -> bool:
        """Whether the whole net is trained, including its batch norms."""
        return self.trainable == ("all",) and self.batch_norm == "train"

    @property
    def scalable(self) -> dict[str, float]:
        """Field -> value, of the online augmentation that a strength can scale: all that is switched on but flips."""
        names = [name for name in Augmentation.model_fields if name not in (*DETAILS, "policy")] + ["mixup", "cutmix"]
        fields, values = type(self).model_fields, {name: getattr(self, name) for name in names}
        policy = {"policy_strength": self.policy_strength} if self.applies_policy else {}
        return policy | {
            name: value
            for name, value in values.items()
            if not isinstance(value, bool) and value != fields[name].default
        }

    def tuned(self, found: Tuned) -> "Phase":
        """Return the phase with the settings that a search found."""
        changes: dict[str, Any] = {"lr": self.rate * found.lr}
        if found.weight_decay is not None:
            changes["weight_decay"] = found.weight_decay
        for name, value in self.scalable.items() if found.strength < 1 else ():
            unchanged = UNCHANGED.get(name, type(self).model_fields[name].default)
            weaker = unchanged + found.strength * (value - unchanged)
            changes[name] = round(weaker) if isinstance(value, int) else weaker
        return self.model_copy(update=changes | self.scaled(found.steps))

    def batches_an_update(self, epoch: int) -> int:
        """The number of batches per update in an epoch of the phase."""
        if isinstance(self.accumulate, int):
            return self.accumulate
        return self.accumulate[max(start for start in self.accumulate if start <= epoch)]


class Run(Section):
    """Settings of a whole run, the same for all its phases."""

    engine: Literal["lightning", "torch"] = "lightning"
    """The library that runs the loop; the results are the same."""
    devices: Annotated[Count, Shown("optimizer", "on {} devices")] = 1
    """Devices, each with a process of its own, that share every batch; another number gives other last bits."""
    sync_batch_norm: Annotated[bool, Shown("optimizer", "batch norms over all devices")] = False
    """Normalise batches by the statistics of all devices instead of one's own part; on GPUs only."""
    budget: Annotated[
        Literal["equal_steps", "equal_epochs", "tuned"],
        Shown(
            "budget",
            lambda word: {
                "equal_epochs": "for the real images; as many passes on every arm",
                "tuned": "before the search for each run",
            }[word],
        ),
    ] = "equal_steps"
    """equal_epochs: num_steps are for the real images, and every arm makes as many passes over its own images. tuned:
    learning rate, weight decay, steps and online augmentation are searched for each run, see `Tune`."""
    batch_size: Count = 64
    precision: Annotated[Literal["fp32", "bf16"], Shown("optimizer", "{}")] = "fp32"
    """bf16 is mixed precision, where the hardware has it."""
    compile: Annotated[bool, Shown("optimizer", "compiled")] = False
    """Train the net as torch.compile translates it: faster steps, other last bits, and up to a minute before the first
    step of each phase and seed."""
    deterministic: bool = True
    """On a GPU: reproducible bytes, at the cost of speed."""
    ema_decay: Annotated[Fraction, Shown("selected by", "EMA of the weights, decay {:g}")] = 0.0
    """Decay of the exponential moving average of the weights, which is then what is evaluated; 0 averages nothing."""
    swa_share: Annotated[
        Fraction, Shown("selected by", lambda share: f"SWA over the last {100 * share:.0f} % of the phase")
    ] = 0.0
    """Share of the last phase over which stochastic weight averaging runs; 0 for none."""
    swa_lr: Positive = 0.01
    """The constant learning rate of stochastic weight averaging."""
    swa_anneal_epochs: NonNegative = 5.0
    """Epochs until that rate is reached."""
    eval_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two validations; 0 validates after every epoch."""
    select: Literal["val_loss", "val_accuracy", "val_map", "last"] = "val_accuracy"
    """The measure by which the best weights are chosen; val_map needs several labels per image."""
    patience: Annotated[int, Field(ge=0), Shown("selected by", "early stopping, patience {}")] = 0
    """Validations without improvement after which a phase ends; 0 never ends it early."""
    collapse_epochs: Annotated[int, Field(ge=0)] = 2
    """Epochs of predicting one class for all images that count as divergence; 0 for never."""
    on_divergence: Literal["report", "fail"] = "report"
    """report lets the other seeds and runs continue."""
    test_flips: Annotated[bool, Shown("selected by", "predictions averaged with those of mirror images")] = False
    """Average the predictions of each image and its mirror image."""
    test_shift: Annotated[int, Field(ge=0), Shown("selected by", "predictions averaged over moves by {} px")] = 0
    """Average the predictions of each image and of moves of it by so many px of the net's input, in both diagonals."""
    test_crops: Annotated[Literal[1, 5, 9], Shown("selected by", "predictions averaged over {} crops a scale")] = 1
    """Squares of each image over which predictions are averaged: the centre, also the corners, or 3 rows of 3."""
    test_scales: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...],
        Field(min_length=1),
        AfterValidator(each_once),
        Shown("selected by", lambda scales: f"crops of {', '.join(f'{scale:g}' for scale in scales)} of the side"),
    ] = (1.0,)
    """Sides of these squares, as shares of the image's."""
    num_threads: Count = 1
    """Threads of a training process; another number gives other last bits."""

    @model_validator(mode="after")
    def _one_choice_of_weights(self) -> "Run":
        if self.patience and self.select == "last":
            raise ValueError("patience: early stopping watches what is selected by; set select to val_loss or another")
        if self.swa_share and self.ema_decay:
            raise ValueError("set swa_share or ema_decay, not both: either averages weights")
        if self.devices > 1 and self.engine != "lightning":
            raise ValueError(f"devices: {self.devices} need Lightning; set engine to lightning, or devices to 1")
        if self.batch_size % self.devices:
            raise ValueError(f"devices: {self.devices} do not divide batch_size {self.batch_size}; set a multiple")
        if self.swa_share and self.select != "last":
            raise ValueError("swa_share: the mean of the last epochs' weights is what counts; set select to last")
        return self


class Seeded(Section):
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(each_once)] = (0,)
    """The seed of each replicate."""


class Net(Section):
    """The net of a model, its input, and its initial weights."""

    net: str
    """The name of a file in models/nets, or torchvision/NAME, timm/NAME.TAG, hf-hub:ORG/NAME@COMMIT or
    local-dir:FOLDER; default: the model's own name."""
    input_size: Annotated[int, Field(ge=4, le=2048)]
    """Side of the net's input in training, in px; default: that of a library's pretrained weights, or else
    data.image_size."""
    test_input_size: Annotated[int, Field(ge=0, le=2048)] = 0
    """Side of the images that are predicted, in px; 0 takes input_size."""
    crops: Literal["centre", "five"] = "centre"
    """five takes the four corners and the centre; for each label, the crop with the highest output counts."""
    crop_size: Annotated[int, Field(ge=0, le=2048)] = 0
    """Side of the five crops, in px of the prepared image; 0 takes input_size."""
    crop_share: Annotated[float, Field(gt=0, le=1), Shown("input px", "central {:g} of the side")] = 1.0
    """Share of the square's side that the net sees, at its centre; default: that of a library's pretrained weights."""
    interpolation: Annotated[Literal["area", "bilinear", "bicubic", "lanczos"], Shown("input px", "{}")] = "area"
    """The filter that scales the square to the input: area averages and linear enlargement (area), or one of Pillow's;
    default: that of a library's pretrained weights."""
    options: dict[str, Option] = Field(default={})
    """Keyword arguments of the net's build()."""
    weights: str = "none"
    """Weights to start from: none, random, pretrained (the publisher's usual ones; imagenet is the same), a version
    such as IMAGENET1K_V2, or a file in data/weights."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """The hash that this file must have; '' accepts any."""
    normalisation: Literal["auto", "data", "imagenet"] = "auto"
    """auto takes ImageNet's with pretrained weights, and otherwise that of the training images."""
    feature_cache: bool = True
    """Compute the features of a frozen backbone once; the results are the same."""
    probe: Probe | None = None
    """Fit a linear head by logistic regression on the frozen features, in place of training by steps."""

    @property
    def test_px(self) -> int:
        """Side of the images that are predicted, in px."""
        return self.test_input_size or self.input_size

    @property
    def crop_px(self) -> int:
        """Side of the five crops, in px of the prepared image; 0 without them."""
        return (self.crop_size or self.input_size) if self.crops == "five" else 0

    @property
    def pretrained(self) -> bool:
        """Whether the net starts from the weights in a file."""
        return self.weights not in ("none", "random")


class Train(Phase, Run):
    """The section `train`: the defaults of all models. With `num_steps`, all arms have the same budget."""

    replicates: Count = 1
    """Number of times each model is trained on each arm. Replicate k has seed k."""
    vary: Literal["seed", "generator", "all"] = "seed"
    """Says what is new in a replicate: initial weights and batches (seed); also generators, and so generated images
    (generator); also training images, `data.train_size` of those that are not held out (all)."""
    tune: Tune = Tune()

    @property
    def num_draws(self) -> int:
        """Number of sets of training images that are drawn."""
        return self.replicates if self.vary == "all" else 1

    @property
    def num_fits(self) -> int:
        """Number of times each generator is fitted."""
        return 1 if self.vary == "seed" else self.replicates


class ModelEntry(Phase, Run, Net, Seeded):
    """An entry of `models`, merged with `train`."""

    phases: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)] | None = None
    """Phases in order, each with its own budget; without them, the model itself is the only one."""


class FinetuneEntry(ModelEntry):
    """An entry of `finetunes`, merged with `train`."""

    init_from: str


class StudentEntry(ModelEntry, Teaching):
    """An entry of `students`, merged with `train`."""

    teachers: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(each_once)]


class Model(Run, Net, Seeded, Teaching):
    """A model with all settings resolved, as all stages after `settings` read it."""

    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    init_from: str = ""
    """The run that a finetune starts from, `<model>-<arm>`, seed by seed and with its normalisation; "" for none."""

    def with_lr(self, found: float | None) -> "Model":
        """The model with the learning rate that was found; unchanged for None."""
        if found is None:
            return self
        first = self.phases[0].model_copy(update={"lr": found})
        return self.model_copy(update={"phases": (first, *self.phases[1:])})

    def on_images(self, num_images: int, *, num_real: int) -> "Model":
        """The model as it is trained on a set of `num_images` images; `num_real` are in the training split.

        With equal_epochs, it takes as many passes as `num_steps` are over the real images, and validates as often.
        """
        if self.budget != "equal_epochs":
            return self
        ratio = num_images / num_real
        phases = tuple(p.model_copy(update={"num_steps": scaled(p.num_steps, ratio)}) for p in self.phases)
        return self.model_copy(update={"phases": phases, "eval_steps": scaled(self.eval_steps, ratio)})

    def tuned(self, found: Tuned) -> "Model":
        """The model with the settings that a search found; it validates as often as before."""
        phases = tuple(phase.tuned(found) for phase in self.phases)
        return self.model_copy(update={"phases": phases, "eval_steps": scaled(self.eval_steps, found.steps)})

    @property
    def role(self) -> Literal["model", "finetune", "student"]:
        """The kind of its entry: it learns from images alone, from another run on, or from teachers as well."""
        return "finetune" if self.init_from else "student" if self.teachers else "model"

    @property
    def is_frozen_in_part(self) -> bool:
        """Whether a phase leaves a part of the net untrained."""
        return not all(phase.trains_all for phase in self.phases)
