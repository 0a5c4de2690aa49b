"""The whole of params.yaml."""

from typing import Annotated, Any

from pydantic import Field

from touchstone.config.schema.audit import AuditEntry
from touchstone.config.schema.cluster import Cluster
from touchstone.config.schema.data import Arm, Data, MultiLabel, Source, Transform
from touchstone.config.schema.evaluation import Compare, Ensemble
from touchstone.config.schema.explain import Explain
from touchstone.config.schema.machine import Machine
from touchstone.config.schema.model import Train
from touchstone.config.schema.report import Report
from touchstone.config.schema.section import Arithmetic, Name, Section, Seed


class Params(Section):
    """params.yaml as it is in the file. No section but `cluster` may be missing, since DVC looks them up by name.

    Entries of models, finetunes, students and generators are plain mappings here, which `config/load.py` resolves: what
    they may hold depends on `train` and on the generator's kind.
    """

    source: Source
    data: Data
    multi_label: MultiLabel
    seed: Seed
    arithmetic: Arithmetic
    transforms: Annotated[dict[Name, Transform], Field(min_length=1)]
    generators: dict[Name, dict[str, Any]]
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    models: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    finetunes: dict[Name, dict[str, Any]]
    students: dict[Name, dict[str, Any]]
    train: Train
    ensembles: dict[Name, Ensemble]
    compare: Compare
    audit: AuditEntry
    explain: Explain
    report: Report
    machine: Machine
    cluster: Cluster = Cluster()
