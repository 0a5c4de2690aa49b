"""All settings of params.yaml, resolved, and the part of them that a stage reads."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from touchstone.config.resolved import FOLDER, read
from touchstone.config.schema.audit import Audit
from touchstone.config.schema.data import Arm, Data, MultiLabel, Source, Transform
from touchstone.config.schema.evaluation import Compare, Ensemble, ThresholdRule
from touchstone.config.schema.explain import Explain
from touchstone.config.schema.generator import AnyGenerator
from touchstone.config.schema.machine import Machine
from touchstone.config.schema.model import Model, Train
from touchstone.config.schema.report import Report
from touchstone.config.schema.section import Arithmetic, Section, Seed


class Settings(Section):
    """params.yaml, resolved. What `load_settings` returns holds the sections that the stage asked for."""

    source: Source
    data: Data
    multi_label: MultiLabel
    seed: Seed
    arithmetic: Arithmetic
    transforms: dict[str, Transform]
    generators: dict[str, AnyGenerator]
    arms: dict[str, Arm]
    models: dict[str, Model]
    finetunes: dict[str, Model]
    train: Train
    ensembles: dict[str, Ensemble]
    compare: Compare
    audit: Audit
    explain: Explain
    report: Report
    machine: Machine

    @cached_property
    def trained(self) -> dict[str, Model]:
        """Everything that is trained: models, then finetunes."""
        return {**self.models, **self.finetunes}

    @property
    def runs(self) -> list[str]:
        """The declared runs, `<model>-<arm>`, in the order of the file."""
        return [run for name in self.trained for run in self.runs_of(name)]

    def runs_of(self, name: str) -> list[str]:
        """The declared runs of a model or finetune, one for each arm."""
        return [f"{name}-{arm}" for arm in self.arms]

    def baseline(self, model: str, arm: str) -> str:
        """The run that a model's run on an arm is compared with; "" for none."""
        if arm != self.compare.baseline:
            return f"{model}-{self.compare.baseline}"
        if model in self.compare.against:
            return self.compare.against[model]
        return self.finetunes[model].init_from if model in self.finetunes else ""

    def thresholds(self, name: str) -> ThresholdRule:
        """How the thresholds of a run or an ensemble are set, with several labels an image."""
        if name not in self.ensembles:
            return self.compare.thresholds
        ensemble = self.ensembles[name]
        return "half" if ensemble.rule == "majority" else ensemble.thresholds  # its members' votes are decided already

    @property
    def added_sets(self) -> list[str]:
        """The declared added sets: those of transforms, then those of generators."""
        return [*self.transforms, *self.generators]


def load_settings(stage: str, *, folder: Path = FOLDER) -> Settings:
    """The sections that a stage's script names in SETTINGS; any other is an AttributeError."""
    values = read(stage, folder=folder)
    return Settings.model_construct(**{name: _validated(name, value) for name, value in values.items()})


def _validated(name: str, value: Any) -> Any:
    kind: Any = Settings.model_fields[name].annotation
    if isinstance(kind, type) and issubclass(kind, Section) and value.keys() < kind.model_fields.keys():
        return _part_of(kind, value)
    return TypeAdapter(kind).validate_json(json.dumps(value))


def _part_of(kind: type[Section], values: dict[str, Any]) -> Section:
    """A section with these fields alone: reading any other is an AttributeError, whatever its default."""
    found = kind.model_construct()
    found.__dict__.clear()
    for name, value in values.items():
        field: Any = kind.model_fields[name].annotation
        found.__dict__[name] = TypeAdapter(field).validate_json(json.dumps(value))
    return found
