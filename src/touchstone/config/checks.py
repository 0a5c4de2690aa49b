"""Checks across the sections of params.yaml: names that refer to other sections, settings that exclude each other.

Only the stage `settings` and the command line import this module, so rewording a check re-runs no training.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config.net_names import FOLDER, HUB, TIMM, is_published
from touchstone.config.schema.data import Arm, Data
from touchstone.config.schema.explain import OWN, Explain
from touchstone.config.schema.generator import ADDED, FolderConfig, PipelineConfig
from touchstone.config.schema.model import Model, Phase
from touchstone.config.schema.section import Section
from touchstone.errors import TouchstoneError, nearest

if TYPE_CHECKING:
    from touchstone.config.settings import Settings

WEIGHTS = Path("data/weights")  # a dependency of the stage that reads them

REPOSITORY, COMMIT = re.compile(r"[\w.-]+/[\w.-]+$"), re.compile(r"[0-9a-f]{40}$")


def check(settings: "Settings") -> None:
    """Raise TouchstoneError at the first contradiction."""
    channels = settings.data.channels
    if settings.data.white and settings.data.bits == 8:
        raise mistake("data.white", "is the white of 16 bits, and data.bits is 8; set data.bits to 16, or take it out")
    for name, transform in settings.transforms.items():
        _check_colours(f"transforms.{name}", transform, channels)
    for name, model in settings.models.items():
        _check_model(f"models.{name}", model, settings.data)
    for name, finetune in settings.finetunes.items():
        _check_finetune(name, finetune, settings)
    for name in settings.students:
        _check_student(name, settings)
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
        if isinstance(generator, PipelineConfig):
            _check_pipeline(f"generators.{name}.pipeline", generator.pipeline)
    _check_arms(settings)
    _check_compared(settings)
    _check_ensembles(settings)


def check_paths(settings: "Settings") -> None:
    """Raise TouchstoneError where there is nothing at a path that settings name below data/added or OWN."""
    paths = {f"generators.{name}.path": path for name, path in settings.folders.items()}
    for key, path in {**paths, "explain.pictures": settings.explain.pictures}.items():
        if path and not Path(path).exists():
            raise TouchstoneError(f"{key}: {path}: no such file or folder; put the images there")


def _check_pipeline(key: str, pipeline: str) -> None:
    """A pipeline is a folder that DVC sees change, or a commit, which never changes."""
    repository, _, revision = pipeline.partition("@")
    if Path(pipeline).parent == WEIGHTS or (REPOSITORY.match(repository) and COMMIT.match(revision)):
        return
    if REPOSITORY.match(repository) and Path(pipeline).parts[0] != WEIGHTS.parts[0]:
        got = f"the revision {revision!r}" if revision else "no revision"
        raise mistake(
            key,
            f"got {got}, expected {repository}@ and the 40 digits of a commit, since branches and tags move; copy them "
            "from the page of its commits",
        )
    raise mistake(
        key,
        f"got {pipeline!r}, expected a folder directly in {WEIGHTS}, where DVC sees it change, or owner/name@ and the "
        "40 digits of a commit",
    )


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
    if model.probe is not None and model.crops != "centre":
        raise mistake(f"{key}.crops", "a probe fits one feature an image, and five crops have five; set centre")
    decayed = [phase.layer_decay for phase in model.phases if phase.layer_decay < 1]
    if decayed and all(phase.trainable == ("head",) for phase in model.phases if phase.layer_decay < 1):
        raise mistake(
            f"{key}.layer_decay",
            f"got {decayed[0]:g}, but trainable: head leaves no blocks to lower the rate of; set 1, or train more",
        )
    if model.test_shift >= model.test_px:
        raise mistake(
            f"{key}.test_shift",
            f"got {model.test_shift} px, and the net's input has {model.test_px}, which cannot be reflected that far; "
            "a px or two is usual",
        )
    _check_crops(key, model, data)
    for phase_key, phase in _phases(key, model):
        _check_colours(phase_key, phase, data.channels)
        if phase.policy != "none" and (data.bits != 8 or data.channels not in (1, 3)):
            raise mistake(
                f"{phase_key}.policy",
                f"the operations of {phase.policy} are for grey or colour images of 8 bits, and data.channels is "
                f"{data.channels}, data.bits {data.bits}; set none, and choose crops, mirroring and jitter",
            )
    if is_published(model.weights) and not model.net.startswith((TIMM, HUB, FOLDER)) and data.channels != 3:
        raise mistake(
            f"{key}.weights",
            f"imagenet's nets see 3 channels, and data.channels is {data.channels}; set it to 3, or weights to none or "
            "to a file of a net with as many channels",
        )
    if model.weights_sha256 and not model.pretrained:
        raise mistake(f"{key}.weights_sha256", f"weights are {model.weights}, which is no file")
    if model.pretrained and not is_published(model.weights) and Path(model.weights).parent != WEIGHTS:
        raise mistake(
            f"{key}.weights",
            f"got {model.weights!r}, expected none, random, imagenet, pretrained, a version such as IMAGENET1K_V2, or "
            f"a file in {WEIGHTS}, where DVC sees it change",
        )
    if model.probe is not None and model.weights == "none" and not model.init_from:
        raise mistake(
            f"{key}.weights",
            "none: a probe is fitted on the features of a net that stays as it is; set weights to imagenet or a file "
            "(or to random, to see what random features are worth)",
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


def _check_student(name: str, settings: "Settings") -> None:
    key, student = f"students.{name}", settings.students[name]
    if name in settings.models or name in settings.finetunes:
        raise mistake(key, "a model or a finetune has that name, too; rename one")
    _check_model(key, student, settings.data)
    if any(phase.lr == "auto" for phase in student.phases):
        raise mistake(f"{key}.lr", "auto is found for models, without teachers; give it a number")
    for teacher in student.teachers:
        one_of(f"{key}.teachers", teacher, settings.models)
        for field in ("input_size", "crops", "crop_px"):
            own, other = getattr(student, field), getattr(settings.models[teacher], field)
            if own != other:
                what = f"{teacher} has {field} {other}, and the student {own}: they see the same batches"
                raise mistake(f"{key}.teachers", f"{what}; give both the same, or take it out")


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
    name = "test_crops" if model.test_crops > 1 else "test_scales"
    if model.crops == "five" and (model.test_crops > 1 or model.test_scales != (1.0,)):
        raise mistake(f"{key}.{name}", "is not beside five crops, which are predicted anyway; take out one of them")
    if model.test_crops > 1 and model.test_scales == (1.0,) and data.resize != "shortest_edge":
        raise mistake(
            f"{key}.test_crops",
            f"got {model.test_crops} crops as large as the images: they would be all the same; set test_scales below "
            "1, such as [0.875]",
        )
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
    """Grey images have no colours to change, and no one knows where those of other channels lie."""
    for name in ("saturation", "hue", "jitter_saturation", "jitter_hue"):
        field = type(section).model_fields.get(name)
        if channels != 3 and field is not None and getattr(section, name) != field.default:
            why = "grey images have no colours" if channels == 1 else "only three are red, green and blue"
            raise mistake(
                f"{key}.{name}", f"data.channels is {channels}, {why}; take it out, or set data.channels to 3"
            )


def _check_arms(settings: "Settings") -> None:
    for arm, entry in settings.arms.items():
        for name in entry.add:
            one_of(f"arms.{arm}.add", name, settings.added_sets)
        if not entry.real and not entry.add:
            raise mistake(f"arms.{arm}", "real is false and add is empty: nothing to train on")
        if entry.schedule == "pretrain" and not (entry.real and entry.add):
            raise mistake(f"arms.{arm}.schedule", "pretrain needs real images and added ones")
        probes = [name for name, model in settings.trained.items() if model.probe is not None]
        if entry.schedule == "pretrain" and probes:
            raise mistake(
                f"arms.{arm}.schedule",
                f"pretrain divides the steps of a training, and the probe {probes[0]} takes none; set mixed, or train "
                "the probe in a params.yaml of its own",
            )


def _check_compared(settings: "Settings") -> None:
    compare = settings.compare
    one_of("compare.baseline", compare.baseline, settings.arms)
    if compare.control:
        one_of("compare.control", compare.control, settings.arms)
        if compare.control == compare.baseline:
            raise mistake("compare.control", f"got {compare.control!r}, the baseline; name another arm, or set ''")
    for name, run in compare.against.items():
        one_of("compare.against", name, settings.trained)
        one_of(f"compare.against.{name}", run, settings.runs)
        if run == f"{name}-{compare.baseline}":
            raise mistake(f"compare.against.{name}", f"got {run!r}, itself; name another run")
    for name, model in settings.trained.items():
        if model.budget == "equal_epochs" and settings.arms[compare.baseline] != Arm():
            raise mistake(
                f"{settings.key(name)}.budget",
                f"equal_epochs counts passes over the real images, and the baseline {compare.baseline} is not these "
                "alone; set it to equal_steps, or compare.baseline to an arm that adds nothing",
            )
    for run in settings.explain.runs:
        one_of("explain.runs", run, settings.runs)
    _check_explain(settings.explain)


def _check_explain(explain: Explain) -> None:
    if explain.classes and explain.files:
        raise mistake("explain.classes", "explain.files names the images to show; take out one of them")
    path = Path(explain.pictures)
    if explain.pictures and (OWN not in (path, *path.parents) or ".." in path.parts):
        expected = f"expected {OWN}, or a folder, an archive or a file in it, where DVC sees it change"
        raise mistake("explain.pictures", f"got {explain.pictures!r}, {expected}; put the pictures there")


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
