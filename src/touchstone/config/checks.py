"""Checks across the sections of params.yaml: names that refer to other sections, settings that exclude each other.

Only the stage `settings` and the command line import this module, so rewording a check re-runs no training.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config.schema.data import Arm, Data
from touchstone.config.schema.generator import ADDED, FolderConfig
from touchstone.config.schema.model import Model, Phase
from touchstone.config.schema.section import Section
from touchstone.errors import TouchstoneError, nearest

if TYPE_CHECKING:
    from touchstone.config.settings import Settings

WEIGHTS = Path("data/weights")  # a dependency of the stage that reads them


def check(settings: "Settings") -> None:
    """Raise TouchstoneError at the first contradiction."""
    channels = settings.data.channels
    for name, transform in settings.transforms.items():
        _check_colours(f"transforms.{name}", transform, channels)
    for name, model in settings.models.items():
        _check_model(f"models.{name}", model, settings.data)
    for name, finetune in settings.finetunes.items():
        _check_finetune(name, finetune, settings)
    _check_circles(settings)
    if settings.train.vary == "all" and not settings.data.train_size:
        raise mistake(
            "train.vary",
            "all draws data.train_size images anew for each replicate, which is 0, all there are; set it, or vary: "
            "generator or seed",
        )
    _check_encoder(settings.audit.encoder, settings.data)
    for name, generator in settings.generators.items():
        if name in settings.transforms:
            raise mistake(f"generators.{name}", "a transform has that name, too; rename one")
        try:
            generator.check_size(settings.data.image_size)
        except ValueError as error:
            raise mistake(f"generators.{name}", str(error)) from None
        if isinstance(generator, FolderConfig) and Path(generator.path).parent != ADDED:
            expected = f"expected a folder or an archive directly in {ADDED}, where DVC sees it change"
            raise mistake(f"generators.{name}.path", f"got {generator.path!r}, {expected}; put the images there")
    _check_arms(settings)
    _check_compared(settings)
    _check_ensembles(settings)


def one_of(key: str, name: str, known: Collection[str]) -> None:
    """Raise TouchstoneError unless `name` is known."""
    if name not in known:
        raise mistake(key, f"got {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")


def mistake(key: str, what: str) -> TouchstoneError:
    """Return the error about a key of params.yaml."""
    return TouchstoneError(f"params.yaml: {key}: {what}")


def _phases(key: str, model: Model) -> list[tuple[str, Phase]]:
    """Return each phase with its key."""
    several = len(model.phases) > 1
    return [(f"{key}.phases.{number}" if several else key, phase) for number, phase in enumerate(model.phases)]


def _check_model(key: str, model: Model, data: Data) -> None:
    last = model.phases[-1]
    if len(model.phases) > 1 and any(phase.lr == "auto" for phase in model.phases):
        raise mistake(f"{key}.lr", "auto is found for one phase from the start; give each phase its lr")
    if model.swa_share and last.trainable != ("all",):
        raise mistake(
            f"{key}.swa_share",
            f"trainable is {', '.join(last.trainable)} in the last phase, and the mean of weights is of whole nets",
        )
    decayed = [phase.layer_decay for phase in model.phases if phase.layer_decay < 1]
    if decayed and all(phase.trainable == ("head",) for phase in model.phases if phase.layer_decay < 1):
        raise mistake(
            f"{key}.layer_decay",
            f"got {decayed[0]:g}, but trainable: head leaves no blocks to lower the rate of; set 1, or train more",
        )
    _check_crops(key, model, data)
    for phase_key, phase in _phases(key, model):
        _check_colours(phase_key, phase, data.channels)
    if model.weights_sha256 and not model.pretrained:
        raise mistake(f"{key}.weights_sha256", f"weights are {model.weights}, which is no file")
    if model.pretrained and model.weights != "imagenet" and Path(model.weights).parent != WEIGHTS:
        raise mistake(
            f"{key}.weights",
            f"got {model.weights!r}, expected none, random, imagenet or a file in {WEIGHTS}, where DVC sees it change",
        )
    for phase_key, phase in _phases(key, model):
        if model.weights == "none" and not model.init_from and not phase.trains_all:
            raise mistake(
                phase_key,
                f"trainable {', '.join(phase.trainable)}, batch_norm {phase.batch_norm}, and no weights: what is "
                "frozen would stay as it was drawn; set weights to imagenet or a file (or to random, to try it out)",
            )


def _check_finetune(name: str, finetune: Model, settings: "Settings") -> None:
    key = f"finetunes.{name}"
    if name in settings.models:
        raise mistake(key, "a model has that name, too; rename one")
    _check_model(key, finetune, settings.data)
    if any(phase.lr == "auto" for phase in finetune.phases):
        raise mistake(f"{key}.lr", "auto is found for models, from their own start; give it a number")
    one_of(f"{key}.init_from", finetune.init_from, settings.runs)


def _check_circles(settings: "Settings") -> None:
    """Raise TouchstoneError where following init_from leads back to its start."""
    before = {name: finetune.init_from.rsplit("-", 1)[0] for name, finetune in settings.finetunes.items()}
    for name in before:
        chain = [name]
        while (origin := before.get(chain[-1])) is not None:
            if origin == name:
                circle = " <- ".join([*chain, name])
                raise mistake(f"finetunes.{name}.init_from", f"a circle, {circle}; start one of them from a model")
            if origin in chain:  # a circle without this one: reported where it is
                break
            chain.append(origin)


def _check_encoder(encoder: Model, data: Data) -> None:
    _check_model("audit.encoder", encoder, data)
    for phase in encoder.phases:
        for name, value in (("lr", "auto"), ("schedule", "plateau")):
            if getattr(phase, name) == value:
                raise mistake(
                    f"audit.encoder.{name}",
                    f"got {value}, its own or that of train, which is not for the encoder; give it another {name}",
                )


def _check_crops(key: str, model: Model, data: Data) -> None:
    if model.crops == "centre":
        if model.crop_size:
            raise mistake(f"{key}.crop_size", "belongs to five crops; set crops to five, or take it out")
        return
    for phase_key, phase in _phases(key, model):
        for name in ("crop_padding", "crop_scale", "mixup", "cutmix"):
            if getattr(phase, name) != Phase.model_fields[name].default:
                what = "is not for five crops of an image; take it out, or set crops to centre"
                raise mistake(f"{phase_key}.{name}", what)
    side, whole = model.crop_px, data.image_size
    name = "crop_size" if model.crop_size else "input_size"
    if side > whole or (side == whole and data.resize != "shortest_edge"):
        wrong = "larger than the images" if side > whole else "all the same"
        raise mistake(
            f"{key}.{name}",
            f"got five crops of {side} px, data.image_size is {whole}: they would be {wrong}; set crop_size below it",
        )
    if data.resize == "pad":
        raise mistake(f"{key}.crops", "five crops would show the bars of data.resize: pad; set it to shortest_edge")


def _check_colours(key: str, section: Section, channels: int) -> None:
    """Grey images have no colours to change."""
    for name in ("saturation", "hue", "jitter_saturation", "jitter_hue"):
        field = type(section).model_fields.get(name)
        if channels == 1 and field is not None and getattr(section, name) != field.default:
            raise mistake(
                f"{key}.{name}",
                "data.channels is 1, grey images have no colours; take it out, or set data.channels to 3",
            )


def _check_arms(settings: "Settings") -> None:
    for arm, entry in settings.arms.items():
        for name in entry.add:
            one_of(f"arms.{arm}.add", name, settings.added_sets)
        if not entry.real and not entry.add:
            raise mistake(f"arms.{arm}", "real is false and add is empty: nothing to train on")
        if entry.schedule == "pretrain" and not (entry.real and entry.add):
            raise mistake(f"arms.{arm}.schedule", "pretrain needs real images and added ones")


def _check_compared(settings: "Settings") -> None:
    compare = settings.compare
    one_of("compare.baseline", compare.baseline, settings.arms)
    for name, run in compare.against.items():
        one_of("compare.against", name, settings.trained)
        one_of(f"compare.against.{name}", run, settings.runs)
        if run == f"{name}-{compare.baseline}":
            raise mistake(f"compare.against.{name}", f"got {run!r}, itself; name another run")
    for name, model in settings.trained.items():
        if model.budget == "equal_epochs" and settings.arms[compare.baseline] != Arm():
            raise mistake(
                f"models.{name}.budget" if name in settings.models else f"finetunes.{name}.budget",
                f"equal_epochs counts passes over the real images, and the baseline {compare.baseline} is not these "
                "alone; set it to equal_steps, or compare.baseline to an arm that adds nothing",
            )
    for run in settings.explain.runs:
        one_of("explain.runs", run, settings.runs)


def _check_ensembles(settings: "Settings") -> None:
    for name, ensemble in settings.ensembles.items():
        for member in ensemble.members:
            one_of(f"ensembles.{name}.members", member, settings.runs)
        if ensemble.prefer:
            one_of(f"ensembles.{name}.prefer", ensemble.prefer, ensemble.members)
        elif ensemble.rule == "majority":
            raise mistake(
                f"ensembles.{name}.prefer",
                f"a majority vote needs the member that decides ties, one of {', '.join(ensemble.members)}",
            )
