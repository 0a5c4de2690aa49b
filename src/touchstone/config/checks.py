"""What must go together in params.yaml: names that a section takes from another, settings that exclude each other."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from touchstone.config.generator import entry_of, kinds
from touchstone.config.mistakes import explain
from touchstone.config.model import Finetune, Model, Phase
from touchstone.config.sections import Data, Section
from touchstone.errors import TouchstoneError, nearest

if TYPE_CHECKING:
    from touchstone.config.params import Params

WEIGHTS = Path("data/weights")  # a dependency of the stage that reads them


def check(params: "Params") -> None:
    """Raise TouchstoneError at the first thing that does not go together."""
    for name, transform in params.transforms.items():
        _check_colours(f"transforms.{name}", transform, params.data.channels)
    for name, entry in params.models.items():
        _check_model(params, f"models.{name}", name, entry)
    for name, entry in params.finetunes.items():
        _check_finetune(params, f"finetunes.{name}", name, entry)
    _check_circles(params)
    _check(Model, "audit.encoder", params.encoder)
    _check_encoder(params)
    for name in params.generators:
        _check_generator(params, name)
    _check_names(params)


def _check(section: type[Section], key: str, read: Callable[[], object]) -> None:
    try:
        read()
    except ValidationError as error:
        raise TouchstoneError(f"params.yaml: {explain(error, section, f'{key}.')}") from None


def _check_finetune(params: "Params", key: str, name: str, entry: dict[str, Any]) -> None:
    if name in params.models:
        raise TouchstoneError(f"params.yaml: {key}: a model has that name, too; rename one")
    if "init_from" not in entry:
        raise TouchstoneError(f"params.yaml: {key}.init_from: missing; name the run to start from, such as lenet-real")
    for own in ("weights", "weights_sha256", "normalisation"):
        if own in entry:
            raise TouchstoneError(f"params.yaml: {key}.{own}: comes from the run in init_from; take it out")
    _check_model(params, key, name, entry)
    if any(phase.lr == "auto" for phase in params.model(name).plan()):
        raise TouchstoneError(
            f"params.yaml: {key}.lr: auto is found for models, from their own start; give it a number"
        )
    _one_of(f"{key}.init_from", params.finetune(name).init_from, params.runs)


def _check_circles(params: "Params") -> None:
    """Raise TouchstoneError where following init_from comes back to where it began."""
    before = {name: params.finetune(name).init_from.rsplit("-", 1)[0] for name in params.finetunes}
    for name in before:
        chain = [name]
        while (origin := before.get(chain[-1])) is not None:
            if origin == name:
                raise TouchstoneError(
                    f"params.yaml: finetunes.{name}.init_from: a circle, {' <- '.join([*chain, name])}; start one of "
                    "them from a model"
                )
            if origin in chain:  # a circle that does not hold this one: told of where it is
                break
            chain.append(origin)


def _check_model(params: "Params", key: str, name: str, entry: dict[str, Any]) -> None:
    kind = Finetune if name in params.finetunes else Model
    _check(kind, key, partial(params.model, name))
    if "seeds" in entry:
        raise TouchstoneError(f"params.yaml: {key}.seeds: seeds are the same for all models; set train.seeds")
    model = params.model(name)
    if model.phases and ("num_steps" in entry or "epochs" in entry):
        raise TouchstoneError(f"params.yaml: {key}: phases have budgets of their own; take out num_steps and epochs")
    for number in range(len(model.phases or ())):
        _check(Phase, f"{key}.phases.{number}", partial(model.phase, number))
    _check_whole_run(key, model)
    _check_crops(key, model, params.data)
    for number, phase in enumerate(model.plan()):
        _check_colours(f"{key}.phases.{number}" if model.phases else key, phase, params.data.channels)
    if model.weights_sha256 and not model.pretrained:
        raise TouchstoneError(f"params.yaml: {key}.weights_sha256: weights are {model.weights}, of no file")
    if model.weights == "none" and not isinstance(model, Finetune):
        _check_unfrozen(key, model)
    elif model.pretrained and model.weights != "imagenet" and Path(model.weights).parent != WEIGHTS:
        raise TouchstoneError(
            f"params.yaml: {key}.weights: got {model.weights!r}, expected none, random, imagenet or a file in "
            f"{WEIGHTS}, where DVC sees it change"
        )


def _check_crops(key: str, model: Model, data: Data) -> None:
    if model.crops == "centre":
        if model.crop_size:
            raise TouchstoneError(f"params.yaml: {key}.crop_size: is of five crops; set crops to five, or take it out")
        return
    for number, phase in enumerate(model.plan()):
        others = ("crop_padding", phase.crop_padding), ("crop_scale", phase.crop_scale < 1)
        other = next((name for name, on in (*others, ("mixup", phase.mixup), ("cutmix", phase.cutmix)) if on), "")
        if other:
            where = f"{key}.phases.{number}" if model.phases else key
            raise TouchstoneError(
                f"params.yaml: {where}.{other}: is not for five crops of an image; take it out, or set crops to centre"
            )
    side, whole = model.crop_px, data.image_size
    name = "crop_size" if model.crop_size else "input_size"
    if side > whole or (side == whole and data.resize != "shortest_edge"):
        raise TouchstoneError(
            f"params.yaml: {key}.{name}: got five crops of {side} px, data.image_size is {whole}: they would be "
            f"{'larger than the images' if side > whole else 'all the same'}; set crop_size below it"
        )
    if data.resize == "pad":
        raise TouchstoneError(
            f"params.yaml: {key}.crops: five crops would show the bars of data.resize: pad; set it to shortest_edge"
        )


def _check_whole_run(key: str, model: Model) -> None:
    last = model.plan()[-1]
    if model.phases and any(phase.lr == "auto" for phase in model.plan()):
        raise TouchstoneError(
            f"params.yaml: {key}.lr: auto is found for one phase from the start; give each phase its lr"
        )
    if model.swa_share and last.trainable != ("all",):
        raise TouchstoneError(
            f"params.yaml: {key}.swa_share: trainable is {', '.join(last.trainable)} in the last phase; the mean of "
            "weights is of whole nets"
        )


def _check_encoder(params: "Params") -> None:
    encoder = params.encoder()
    _check_colours("audit.encoder", encoder, params.data.channels)
    for name, value in (("lr", "auto"), ("schedule", "plateau")):
        if getattr(encoder, name) == value:
            raise TouchstoneError(
                f"params.yaml: audit.encoder.{name}: got {value}, its own or that of train, which is not for the "
                f"encoder; give it another {name}"
            )


def _check_colours(key: str, entry: Section, channels: int) -> None:
    """Grey images have no colours to change."""
    for name in ("saturation", "hue", "jitter_saturation", "jitter_hue"):
        field = type(entry).model_fields.get(name)
        if channels == 1 and field is not None and getattr(entry, name) != field.default:
            raise TouchstoneError(
                f"params.yaml: {key}.{name}: data.channels is 1, grey images have no colours; take it out, or set "
                "data.channels to 3"
            )


def _check_unfrozen(key: str, model: Model) -> None:
    for number, phase in enumerate(model.plan()):
        if phase.trainable != ("all",) or phase.batch_norm == "frozen":
            what = f"trainable {', '.join(phase.trainable)}, batch_norm {phase.batch_norm}"
            raise TouchstoneError(
                f"params.yaml: {key}{f'.phases.{number}' if model.phases else ''}: {what}, and no weights: what is "
                "frozen would stay as it was drawn; set weights to imagenet or a file (or to random, to try it out)"
            )


def _check_generator(params: "Params", name: str) -> None:
    key, kind = f"generators.{name}", params.generators[name].get("kind", name)
    if name in params.transforms:
        raise TouchstoneError(f"params.yaml: {key}: a transform has that name, too; rename one")
    if not isinstance(kind, str):
        raise TouchstoneError(f"params.yaml: {key}.kind: got {kind!r}, expected one of {', '.join(kinds())}")
    _one_of(f"{key}.kind", kind, kinds())
    _check(entry_of(kind), key, partial(params.generator, name))
    try:
        params.generator(name).check_size(params.data.image_size)
    except ValueError as error:
        raise TouchstoneError(f"params.yaml: {key}: {error}") from None


def _check_names(params: "Params") -> None:
    for arm, settings in params.arms.items():
        for name in settings.add:
            _one_of(f"arms.{arm}.add", name, params.additions)
        if not settings.real and not settings.add:
            raise TouchstoneError(f"params.yaml: arms.{arm}: real is false and add is empty: nothing to train on")
        if settings.schedule == "pretrain" and not (settings.real and settings.add):
            raise TouchstoneError(f"params.yaml: arms.{arm}.schedule: pretrain needs real images and additions")
    _one_of("compare.baseline", params.compare.baseline, params.arms)
    for name, run in params.compare.against.items():
        _one_of("compare.against", name, params.trained)
        _one_of(f"compare.against.{name}", run, params.runs)
        if run == f"{name}-{params.compare.baseline}":
            raise TouchstoneError(f"params.yaml: compare.against.{name}: got {run!r}, itself; name another run")
    for name in params.explain.runs:
        _one_of("explain.runs", name, params.runs)
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
