"""The generators of all replicates: each is fitted to the images of its replicate, and sampled for it alone."""

import hashlib
import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from touchstone.config.schema.data import Arm
from touchstone.config.schema.generator import Fit, Sample, part_of
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet
from touchstone.data.lazy_images import as_array
from touchstone.data.replicates import of_replicate, together
from touchstone.data.training_set import combine
from touchstone.generators import build
from touchstone.generators.files import GeneratorMetadata, load_generator, save_generator
from touchstone.generators.fit import Fitted, fit
from touchstone.generators.sample import Sampled, Synthesized, load_judge, synthesize
from touchstone.generators.sources import Sources
from touchstone.models.device import device, device_of_net
from touchstone.seeds import derive, replicate_seed
from touchstone.training.resume import only_folder
from touchstone.training.shard import shard_of_process, train_on_devices

EXTRAS = ("accelerate", "peft", "transformers")


def check_devices(name: str, fit: dict[str, Any], machine: Machine) -> None:
    """Raise TouchstoneError where the generator's settings `fit` ask for devices that are not there."""
    several: Any = {key: fit[key] for key in ("devices", "sync_batch_norm")}
    device_of_net(machine.accelerator, **several, title=f"generators.{name}.fit")


def share_devices(name: str, fit: dict[str, Any]) -> None:
    """Let a process for each device fit the generator first, where its settings ask for several.

    They are the script of the stage, and leave what they have fitted in its store, which is open already: else each of
    them might empty it. Raises TouchstoneError where a process fails.
    """
    if fit["devices"] > 1 and shard_of_process() is None:
        train_on_devices(fit["devices"], title=name)


def fit_replicates(
    name: str,
    number: int,
    *,
    values: dict[str, Any],
    train: ImageSet,
    meta: dict[str, Any],
    machine: Machine,
    store: Path,
    pipeline: Path,
) -> list[tuple[GeneratorMetadata, Fitted]]:
    """Fit the generator `name` to the training images of each of `number` replicates.

    values: its kind and its settings, as in data/settings. meta: the content of meta.json. store: the folder of resume
    states. A fit that has ended is taken from there, unless its replicate has other images. pipeline: the folder of its
    pretrained pipeline, in which there is nothing but a README where it has none. Raises TouchstoneError like `fit` and
    `build`.
    """
    out, facts = [], _facts(pipeline)
    pretrained: Any = {"pipeline": pipeline, "classes": meta["classes"], "name": name} if facts else {}
    for replicate in range(number):
        settings: Fit = part_of(values["kind"], "fit", values["fit"])
        settings = settings.model_copy(update={"seed": replicate_seed(settings.seed, replicate)})
        shape: Any = {"channels": meta["channels"], "image_size": meta["image_size"], "bits": meta.get("bits", 8)}
        data = combine(Arm(), train=of_replicate(train, replicate), name=name)
        folder = only_folder(store, str(replicate), data.content_hash(), *_extras(facts))
        torch.set_num_threads(settings.num_threads)
        torch.manual_seed(derive(settings.seed, "init"))
        fitted = fit(
            build(values["kind"], settings, num_classes=len(meta["classes"]), **shape, **pretrained),
            settings=settings,
            data=data,
            meta=meta,
            machine=machine,
            state_file=folder / "state.pt",
            title=name if number == 1 else f"{name}, replicate {replicate}",
        )
        metadata = GeneratorMetadata(
            values["kind"], settings.model_dump(mode="json"), meta["classes"], **shape, pipeline=facts
        )
        out.append((metadata, fitted))
    return out


def save_replicates(folder: Path, fits: list[tuple[GeneratorMetadata, Fitted]]) -> None:
    """Write the generator of each replicate into a folder of its own, named by its number, below `folder`."""
    for replicate, (metadata, fitted) in enumerate(fits):
        (folder / str(replicate)).mkdir()
        save_generator(folder / str(replicate), metadata, fitted.weights, grids=fitted.grids)


def sample_replicates(
    name: str,
    classifiers: list[str | None],
    *,
    values: dict[str, Any],
    generators: Path,
    encoder: Path,
    pipeline: Path,
    train: ImageSet,
    machine: Machine,
    scratch: Path,
) -> Synthesized:
    """Sample the added images of each replicate from its own generator, and put them together.

    classifiers: for each replicate, the hash of the classifier that filters its samples, or None. values: as in
    `fit_replicates`, as is pipeline. generators: the folder of `save_replicates`. encoder: the run of the classifiers.
    train: the training images, from which a generator with a `strength` makes its own. Raises TouchstoneError like
    `load_generator`, `load_judge` and `synthesize`.
    """
    facts = _facts(pipeline)
    where = device(machine.accelerator, count=machine.devices)
    parts = []
    for replicate, classifier in enumerate(classifiers):
        settings: Sample = part_of(values["kind"], "sample", values["sample"])
        settings = settings.model_copy(update={"seed": replicate_seed(settings.seed, replicate)})
        pretrained: Any = {"pipeline": pipeline, "name": name} if facts else {}
        metadata, of_fit, module = load_generator(generators / str(replicate), **pretrained)
        sources, of_sources = None, []
        if getattr(settings, "strength", 0):
            own = of_replicate(train, replicate)
            more: Any = {"classes": metadata.classes, "size_px": metadata.image_size, "seed": settings.seed}
            sources, of_sources = Sources(own, **more), [combine(Arm(), train=own, name=name).content_hash()]
        torch.set_num_threads(of_fit.num_threads)
        made = synthesize(
            module,
            settings=settings,
            classes=metadata.classes,
            name=name,
            num_threads=of_fit.num_threads,
            machine=machine,
            scratch=only_folder(scratch, str(replicate), metadata.sha256, *of_sources, *_extras(facts)),
            judge=load_judge(encoder, classifier, device=where) if classifier else None,
            sources=sources,
        )
        parts.append(made)
    return merged(parts)


def _facts(pipeline: Path) -> dict[str, Any] | None:
    """Return the facts of a packed pipeline, or None where the folder holds none."""
    file = pipeline / "pipeline.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _extras(facts: dict[str, Any] | None) -> list[str]:
    """Return a hash of the versions of the extra's libraries, which decide bytes only where there is a pipeline."""
    if not facts:
        return []
    found = [f"{name} {version(name) if find_spec(name) else 'missing'}" for name in EXTRAS]
    return [hashlib.sha256("\n".join(found).encode()).hexdigest()]


def merged(parts: list[Synthesized]) -> Synthesized:
    """Return the images of several replicates as one added set, and their counts as sums."""
    if len(parts) == 1:
        return parts[0]
    numbers = np.sum([part.counts[["sampled", "kept"]].to_numpy() for part in parts], 0)
    tables = [
        part.images.table.assign(id=[f"{number}-{one}" for one in part.images.table["id"]])
        for number, part in enumerate(parts)
    ]
    sets = [ImageSet(part.images.images, table) for part, table in zip(parts, tables, strict=True)]
    stored = [cast(Sampled, part.images.images) for part in parts]
    images = together(sets, as_array(Sampled([place for one in stored for place in one.places])))
    return Synthesized(images, parts[0].counts.assign(sampled=numbers[:, 0], kept=numbers[:, 1]))
