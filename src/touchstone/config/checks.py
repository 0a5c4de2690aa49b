"""What must go together in params.yaml: names that a section takes from another, settings that exclude each other.

The stage `settings` and the command line import this, and nothing that trains: a reworded check runs nothing again.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.config.schema.data import Data
from touchstone.config.schema.model import Model
from touchstone.config.schema.section import Section
from touchstone.errors import TouchstoneError, nearest

if TYPE_CHECKING:
    from touchstone.config.settings import Settings

WEIGHTS = Path("data/weights")  # a dependency of the stage that reads them


def check(settings: "Settings") -> None:
    """Raise TouchstoneError at the first thing that does not go together."""
    channels = settings.data.channels
    for name, transform in settings.transforms.items():
        _check_colours(f"transforms.{name}", transform, channels)
    for name, model in settings.models.items():
        _check_model(f"models.{name}", model, settings.data)
    for name, finetune in settings.finetunes.items():
        _check_finetune(name, finetune, settings)
    _check_circles(settings)
    _check_model("audit.encoder", settings.audit.encoder, settings.data)
    _check_encoder(settings.audit.encoder)
    for name, generator in settings.generators.items():
        if name in settings.transforms:
            raise _mistake(f"generators.{name}", "a transform has that name, too; rename one")
        try:
            generator.check_size(settings.data.image_size)
        except ValueError as error:
            raise _mistake(f"generators.{name}", str(error)) from None
    _check_arms(settings)
    _check_compared(settings)
    _check_ensembles(settings)


def check_entry(key: str, entry: dict[str, Any]) -> None:
    """Raise TouchstoneError where an entry of models or finetunes says what it must not."""
    if "seeds" in entry:
        raise _mistake(f"{key}.seeds", "seeds are the same for all models; set train.seeds")
    if entry.get("phases") and ("num_steps" in entry or "epochs" in entry):
        raise _mistake(key, "phases have budgets of their own; take out num_steps and epochs")


def one_of(key: str, name: str, known: Collection[str]) -> None:
    """Raise TouchstoneError unless `name` is known."""
    if name not in known:
        raise _mistake(key, f"got {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")


def _mistake(key: str, what: str) -> TouchstoneError:
    return TouchstoneError(f"params.yaml: {key}: {what}")


def _phase_key(key: str, model: Model, number: int) -> str:
    return f"{key}.phases.{number}" if len(model.phases) > 1 else key


def _check_model(key: str, model: Model, data: Data) -> None:
    _check_whole_run(key, model)
    _check_crops(key, model, data)
    for number, phase in enumerate(model.phases):
        _check_colours(_phase_key(key, model, number), phase, data.channels)
    if model.weights_sha256 and not model.pretrained:
        raise _mistake(f"{key}.weights_sha256", f"weights are {model.weights}, which is no file")
    if model.weights == "none" and not model.init_from:
        _check_unfrozen(key, model)
    elif model.pretrained and model.weights != "imagenet" and Path(model.weights).parent != WEIGHTS:
        raise _mistake(
            f"{key}.weights",
            f"got {model.weights!r}, expected none, random, imagenet or a file in {WEIGHTS}, where DVC sees it change",
        )


def _check_finetune(name: str, finetune: Model, settings: "Settings") -> None:
    key = f"finetunes.{name}"
    if name in settings.models:
        raise _mistake(key, "a model has that name, too; rename one")
    _check_model(key, finetune, settings.data)
    if any(phase.lr == "auto" for phase in finetune.phases):
        raise _mistake(f"{key}.lr", "auto is found for models, from their own start; give it a number")
    one_of(f"{key}.init_from", finetune.init_from, settings.runs)


def _check_circles(settings: "Settings") -> None:
    """Raise TouchstoneError where following init_from comes back to where it began."""
    before = {name: finetune.init_from.rsplit("-", 1)[0] for name, finetune in settings.finetunes.items()}
    for name in before:
        chain = [name]
        while (origin := before.get(chain[-1])) is not None:
            if origin == name:
                circle = " <- ".join([*chain, name])
                raise _mistake(f"finetunes.{name}.init_from", f"a circle, {circle}; start one of them from a model")
            if origin in chain:  # a circle without this one: reported where it is
                break
            chain.append(origin)


def _check_encoder(encoder: Model) -> None:
    for phase in encoder.phases:
        for name, value in (("lr", "auto"), ("schedule", "plateau")):
            if getattr(phase, name) == value:
                raise _mistake(
                    f"audit.encoder.{name}",
                    f"got {value}, its own or that of train, which is not for the encoder; give it another {name}",
                )


def _check_crops(key: str, model: Model, data: Data) -> None:
    if model.crops == "centre":
        if model.crop_size:
            raise _mistake(f"{key}.crop_size", "belongs to five crops; set crops to five, or take it out")
        return
    for number, phase in enumerate(model.phases):
        others = {"crop_padding": bool(phase.crop_padding), "crop_scale": phase.crop_scale < 1}
        others |= {"mixup": bool(phase.mixup), "cutmix": bool(phase.cutmix)}
        other = next((name for name, on in others.items() if on), "")
        if other:
            raise _mistake(
                f"{_phase_key(key, model, number)}.{other}",
                "is not for five crops of an image; take it out, or set crops to centre",
            )
    side, whole = model.crop_px, data.image_size
    name = "crop_size" if model.crop_size else "input_size"
    if side > whole or (side == whole and data.resize != "shortest_edge"):
        wrong = "larger than the images" if side > whole else "all the same"
        raise _mistake(
            f"{key}.{name}",
            f"got five crops of {side} px, data.image_size is {whole}: they would be {wrong}; set crop_size below it",
        )
    if data.resize == "pad":
        raise _mistake(f"{key}.crops", "five crops would show the bars of data.resize: pad; set it to shortest_edge")


def _check_whole_run(key: str, model: Model) -> None:
    last = model.phases[-1]
    if len(model.phases) > 1 and any(phase.lr == "auto" for phase in model.phases):
        raise _mistake(f"{key}.lr", "auto is found for one phase from the start; give each phase its lr")
    if model.swa_share and last.trainable != ("all",):
        raise _mistake(
            f"{key}.swa_share",
            f"trainable is {', '.join(last.trainable)} in the last phase, and the mean of weights is of whole nets",
        )


def _check_colours(key: str, section: Section, channels: int) -> None:
    """Grey images have no colours to change."""
    for name in ("saturation", "hue", "jitter_saturation", "jitter_hue"):
        field = type(section).model_fields.get(name)
        if channels == 1 and field is not None and getattr(section, name) != field.default:
            raise _mistake(
                f"{key}.{name}",
                "data.channels is 1, grey images have no colours; take it out, or set data.channels to 3",
            )


def _check_unfrozen(key: str, model: Model) -> None:
    for number, phase in enumerate(model.phases):
        if not phase.trains_all:
            raise _mistake(
                _phase_key(key, model, number),
                f"trainable {', '.join(phase.trainable)}, batch_norm {phase.batch_norm}, and no weights: what is "
                "frozen would stay as it was drawn; set weights to imagenet or a file (or to random, to try it out)",
            )


def _check_arms(settings: "Settings") -> None:
    for arm, entry in settings.arms.items():
        for name in entry.add:
            one_of(f"arms.{arm}.add", name, settings.added_sets)
        if not entry.real and not entry.add:
            raise _mistake(f"arms.{arm}", "real is false and add is empty: nothing to train on")
        if entry.schedule == "pretrain" and not (entry.real and entry.add):
            raise _mistake(f"arms.{arm}.schedule", "pretrain needs real images and added ones")


def _check_compared(settings: "Settings") -> None:
    compare = settings.compare
    one_of("compare.baseline", compare.baseline, settings.arms)
    for name, run in compare.against.items():
        one_of("compare.against", name, settings.trained)
        one_of(f"compare.against.{name}", run, settings.runs)
        if run == f"{name}-{compare.baseline}":
            raise _mistake(f"compare.against.{name}", f"got {run!r}, itself; name another run")
    for run in settings.explain.runs:
        one_of("explain.runs", run, settings.runs)


def _check_ensembles(settings: "Settings") -> None:
    for name, ensemble in settings.ensembles.items():
        for member in ensemble.members:
            one_of(f"ensembles.{name}.members", member, settings.runs)
        if ensemble.prefer:
            one_of(f"ensembles.{name}.prefer", ensemble.prefer, ensemble.members)
        elif ensemble.rule == "majority":
            raise _mistake(
                f"ensembles.{name}.prefer",
                f"a majority vote needs the member that decides ties, one of {', '.join(ensemble.members)}",
            )
