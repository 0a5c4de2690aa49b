"""All settings of params.yaml, resolved, and the part of them that one stage reads."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from touchstone.config.resolved import FOLDER, read
from touchstone.config.schema.audit import Audit
from touchstone.config.schema.evaluation import ThresholdRule
from touchstone.config.schema.generator import AnyGenerator, FittedConfig, FolderConfig, PipelineConfig
from touchstone.config.schema.model import Model
from touchstone.config.schema.params import Params
from touchstone.config.schema.section import Section


class Settings(Params):
    """The sections of params.yaml, resolved. `load_settings` returns those that a stage asked for."""

    models: dict[str, Model]  # type: ignore[assignment]
    finetunes: dict[str, Model]  # type: ignore[assignment]
    students: dict[str, Model]  # type: ignore[assignment]
    generators: dict[str, AnyGenerator]  # type: ignore[assignment]
    audit: Audit  # type: ignore[assignment]

    @cached_property
    def trained(self) -> dict[str, Model]:
        """Models, then finetunes, then students."""
        return {**self.models, **self.finetunes, **self.students}

    @property
    def runs(self) -> list[str]:
        """All runs, `<model>-<arm>`, in the order of the file."""
        return [run for name in self.trained for run in self.runs_of(name)]

    @property
    def tuned(self) -> list[str]:
        """The models, finetunes and students whose settings are searched for each run."""
        return [name for name, model in self.trained.items() if model.budget == "tuned"]

    def key(self, name: str) -> str:
        """The key in params.yaml of a model, finetune or student."""
        section = "finetunes" if name in self.finetunes else "students" if name in self.students else "models"
        return f"{section}.{name}"

    def runs_of(self, name: str) -> list[str]:
        """The runs of a model, finetune or student, one for each arm."""
        return [f"{name}-{arm}" for arm in self.arms]

    def baseline(self, model: str, arm: str) -> str:
        """The run that a model's run on an arm is compared with; "" for none."""
        if arm != self.compare.baseline:
            return f"{model}-{self.compare.baseline}"
        if model in self.compare.against:
            return self.compare.against[model]
        return self.finetunes[model].init_from if model in self.finetunes else ""

    def thresholds(self, name: str) -> ThresholdRule:
        """Return the rule that sets the thresholds of a run or an ensemble where images have several labels."""
        if name not in self.ensembles:
            return self.compare.thresholds
        ensemble = self.ensembles[name]
        return "half" if ensemble.rule == "majority" else ensemble.thresholds  # the votes themselves are 0 or 1

    @property
    def added_sets(self) -> list[str]:
        """All added sets: those of transforms, then those of generators."""
        return [*self.transforms, *self.generators]

    @property
    def fitted(self) -> dict[str, FittedConfig]:
        """The generators that are fitted to the training images."""
        return {name: one for name, one in self.generators.items() if isinstance(one, FittedConfig)}

    @property
    def folders(self) -> dict[str, str]:
        """Each generator's folder or archive of images that were made elsewhere; "" where it samples its images."""
        return {name: one.path if isinstance(one, FolderConfig) else "" for name, one in self.generators.items()}

    @property
    def pipelines(self) -> dict[str, dict[str, Any] | None]:
        """Each generator's pretrained pipeline, and whether it needs no classes of its own; None without one."""
        of_pipeline = {n: one for n, one in self.generators.items() if isinstance(one, PipelineConfig)}
        found = {n: {"pipeline": one.pipeline, "has_labels": one.has_labels} for n, one in of_pipeline.items()}
        return {name: found.get(name) for name in self.generators}


def load_settings(stage: str, *, folder: Path = FOLDER) -> Settings:
    """Return the settings that a stage's script names in SETTINGS; reading any other is an AttributeError."""
    values = read(stage, folder=folder)
    return Settings.model_construct(**{name: _validated(Settings, name, value) for name, value in values.items()})


def _validated(section: type[Section], name: str, value: Any) -> Any:
    kind: Any = section.model_fields[name].annotation
    if isinstance(kind, type) and issubclass(kind, Section) and value.keys() < kind.model_fields.keys():
        part = kind.model_construct()
        part.__dict__.clear()  # fields that the stage did not ask for have no defaults either
        part.__dict__.update({inner: _validated(kind, inner, each) for inner, each in value.items()})
        return part
    return TypeAdapter(kind).validate_json(json.dumps(value))
