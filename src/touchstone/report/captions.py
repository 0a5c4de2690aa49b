"""One-line descriptions of added sets, for their contact sheets."""

from typing import Any

import pandas as pd

from touchstone.config.schema.data import Transform
from touchstone.config.schema.generator import GeneratorConfig, Sample
from touchstone.report.words import budget


def of_transform(transform: Transform) -> str:
    """The settings that differ from the identity, such as `rotate_deg 10, zoom 0.95`."""
    values = transform.model_dump(exclude_defaults=True)
    return ", ".join(f"{key} {_plain(value)}" for key, value in values.items()) or "identity: a plain copy"


def of_generator(name: str, generator: GeneratorConfig, counts: pd.DataFrame) -> str:
    """How a generator was fitted and sampled, and what its filter kept. counts: class, sampled, kept."""
    fit, sample = generator.fit, generator.sample
    parts = [generator.kind] if generator.kind != name else []
    parts.append(f"fitted for {budget(fit)} with batches of {fit.batch_size}")
    own = sample.model_dump(exclude=set(Sample.model_fields))  # the settings of its kind alone
    parts += [f"{key.replace('_', ' ')} {_plain(value)}" for key, value in own.items() if value]
    if sample.filter.min_confidence:
        sampled, kept = counts["sampled"].astype(int).sum(), counts["kept"].astype(int).sum()
        parts.append(f"{kept:,} of {sampled:,} samples reach a confidence of {sample.filter.min_confidence:g}")
    return ", ".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
