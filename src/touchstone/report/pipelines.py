"""The pretrained pipelines from which generated images come: licence, revision, adaptation, and what they may know."""

from typing import Any

from touchstone.config.schema.generator import PipelineConfig
from touchstone.report.facts import Facts
from touchstone.report.table import Table
from touchstone.report.words import listing

ADAPTED = {
    "none": "as it is",
    "lora": "adapted to the training split by LoRA",
    "dreambooth": "adapted to the training split in all its denoiser's weights",
}


def origin(generator: PipelineConfig, pipeline: dict[str, Any]) -> str:
    """The pipeline, its licence and its adaptation, as a clause. pipeline: its facts."""
    name, _, revision = pipeline["pipeline"].partition("@")
    at = f" at revision {revision[:12]}" if revision else ""
    licence = f"licence {pipeline['licence']}" if pipeline["licence"] else "no licence in its model card"
    adapted: str = ADAPTED[generator.fit.adapt]  # type: ignore[attr-defined]
    return f"{pipeline['kind']} {name}{at} ({licence}), {adapted}"


def pretrained(facts: Facts) -> str:
    """Say what pretrained pipelines their images come from, and what that means for the audit; empty without any."""
    generators = facts.settings.generators
    if not facts.pipelines:
        return ""
    parts = []
    for name, pipeline in facts.pipelines.items():
        generator = generators[name]
        assert isinstance(generator, PipelineConfig)
        strength = getattr(generator.sample, "strength", 0)
        made = f"; its images are made from training images with strength {strength:g}" if strength else ""
        parts.append(f"{name} is sampled from {origin(generator, pipeline)}{made}.")
    know = "knows" if len(parts) == 1 else "know"
    return (
        f"{' '.join(parts)} {listing(list(facts.pipelines))} {know} more than the training images: this study cannot "
        "tell whether images of the test split were among those of the pretraining, beyond the copies that the audit "
        "finds."
    )


def table(facts: Facts) -> Table:
    """The pipeline, revision, licence and adaptation of each generator that has one."""
    header = ["generator", "pipeline", "kind", "revision", "licence", "adaptation"]
    rows = []
    for name, pipeline in facts.pipelines.items():
        adapted: str = ADAPTED[facts.settings.generators[name].fit.adapt]  # type: ignore[attr-defined]
        where, revision = pipeline["pipeline"].partition("@")[0], pipeline["revision"] or "–"
        rows.append([name, where, pipeline["kind"], revision, pipeline["licence"] or "not stated", adapted])
    return Table("llllll", header, rows)
