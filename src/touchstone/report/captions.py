"""Captions of the sheets of added images: the settings that made them."""

from typing import Any

import pandas as pd

from touchstone.config.schema.data import Transform
from touchstone.config.schema.generator import FittedConfig, FolderConfig, GeneratorConfig, PipelineConfig, Sample
from touchstone.report.pipelines import origin
from touchstone.report.words import budget, listing


def transform_caption(transform: Transform) -> str:
    """The settings that differ from the identity, such as `rotate_deg 10, zoom 0.95`."""
    values = transform.model_dump(exclude_defaults=True)
    return ", ".join(f"{key} {_plain(value)}" for key, value in values.items()) or "identity: a plain copy"


def generator_caption(
    name: str, generator: GeneratorConfig, counts: pd.DataFrame, pipeline: dict[str, Any] | None = None
) -> str:
    """The fit and the samples of a generator, and the share that its filter kept.

    counts: class, sampled, kept. pipeline: the facts of the pretrained pipeline that it starts from.
    """
    if isinstance(generator, FolderConfig):
        return _folder_caption(generator, counts)
    assert isinstance(generator, FittedConfig)
    fit, sample = generator.fit, generator.sample
    parts = [generator.kind] if generator.kind != name else []
    if pipeline and isinstance(generator, PipelineConfig):
        parts.append(origin(generator, pipeline))
    if fit.num_steps or fit.epochs:
        parts.append(f"fitted for {budget(fit)} with batches of {fit.batch_size}")
    own = sample.model_dump(exclude=set(Sample.model_fields))  # the settings of its kind alone
    parts += [f"{key.replace('_', ' ')} {_plain(value)}" for key, value in own.items() if value]
    if sample.filter.min_confidence:
        sampled, kept = counts["sampled"].astype(int).sum(), counts["kept"].astype(int).sum()
        parts.append(f"{kept:,} of {sampled:,} samples reach a confidence of {sample.filter.min_confidence:g}")
    return ", ".join(parts)


def _folder_caption(config: FolderConfig, counts: pd.DataFrame) -> str:
    """The images that were made elsewhere, the limits set to them, and the classes that have none."""
    sampled, kept = counts["sampled"].astype(int), counts["kept"].astype(int)
    parts = [f"made elsewhere ({config.path})"]
    if kept.sum() < sampled.sum():
        parts.append(f"{kept.sum():,} of {sampled.sum():,} images kept")
    if config.sample.per_class:
        parts.append(f"at most {config.sample.per_class:,} of a class")
    if config.sample.filter.min_confidence:
        parts.append(f"with a confidence of at least {config.sample.filter.min_confidence:g}")
    if without := counts["class"][kept == 0].tolist():
        parts.append(f"none of class {listing(without)}" if len(without) == 1 else f"none of {len(without)} classes")
    return ", ".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
