"""params.yaml -> frozen, typed sections. A mistake is one line that names the key, the value and what is allowed.

What `models.<name>` does not say, `train` says.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from touchstone.config.checks import check
from touchstone.config.generator import Generator, entry_of
from touchstone.config.mistakes import explain
from touchstone.config.model import Finetune, Model, Train
from touchstone.config.sections import (
    ENCODER_BY_ITSELF,
    ENCODER_HAS_ITS_OWN,
    Arm,
    Audit,
    Compare,
    Data,
    Ensemble,
    Explain,
    Machine,
    MultiLabel,
    Report,
    Rule,
    Section,
    Transform,
)
from touchstone.config.yaml12 import parse
from touchstone.errors import TouchstoneError

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Params(Section):
    """The whole file. Every section must stand in it, since DVC looks them up there."""

    data: Data
    multi_label: MultiLabel
    seed: Annotated[int, Field(ge=0)]
    transforms: Annotated[dict[Name, Transform], Field(min_length=1)]  # {repeat: {}} where none is wanted
    generators: dict[Name, dict[str, Any]]
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    models: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    finetunes: dict[Name, dict[str, Any]]
    train: Train
    ensembles: dict[Name, Ensemble]
    compare: Compare
    audit: Audit
    explain: Explain
    report: Report
    machine: Machine

    @property
    def trained(self) -> list[str]:
        """The names of what is trained: those of models, then those of finetunes."""
        return [*self.models, *self.finetunes]

    @property
    def runs(self) -> list[str]:
        """The declared runs, `<model>-<arm>`, in the file's order."""
        return [run for name in self.trained for run in self.runs_of(name)]

    def runs_of(self, name: str) -> list[str]:
        """The declared runs of a model or finetune, one an arm."""
        return [f"{name}-{arm}" for arm in self.arms]

    def baseline(self, model: str, arm: str) -> str:
        """The run that a model's run on an arm is compared with, "" for none."""
        if arm != self.compare.baseline:
            return f"{model}-{self.compare.baseline}"
        if model in self.compare.against:
            return self.compare.against[model]
        return self.finetune(model).init_from if model in self.finetunes else ""

    def thresholds(self, name: str) -> Rule:
        """By which rule a run or an ensemble decides each label, where an image may have several."""
        if name not in self.ensembles:
            return self.compare.thresholds
        ensemble = self.ensembles[name]
        return "half" if ensemble.rule == "majority" else ensemble.thresholds  # its votes are decided already

    @property
    def additions(self) -> list[str]:
        """The declared addition sets: those of transforms, then those of generators."""
        return [*self.transforms, *self.generators]

    def generator(self, name: str) -> Generator:
        """The generator's entry; its kind is its name where it says none. The kind must be known."""
        entry = {"kind": name} | self.generators[name]
        return entry_of(entry["kind"]).model_validate(entry)

    def model(self, name: str) -> Model:
        """The entry of a model, or of a finetune, over the defaults of `train`."""
        return self.finetune(name) if name in self.finetunes else self._model(name, self.models[name])

    def finetune(self, name: str) -> Finetune:
        """The entry of a finetune over the defaults of `train`."""
        return Finetune.model_validate(self._over_train(name, self.finetunes[name]))

    def encoder(self) -> Model:
        """The classifier whose features the audit uses: the last weights, no validation image is looked at."""
        seeds = (self.audit.seed, self.audit.seed + 1)  # the second one filters, so that none judges its own choice
        own = {name: Model.model_fields[name].default for name in ENCODER_HAS_ITS_OWN}
        own |= {"seeds": seeds, "select": "last", "eval_steps": 0, "on_divergence": "fail"}
        entry = {name: Model.model_fields[name].default for name in ENCODER_BY_ITSELF} | self.audit.encoder
        return self._model("encoder", entry).model_copy(update=own)

    def _model(self, name: str, entry: dict[str, Any]) -> Model:
        return Model.model_validate(self._over_train(name, entry))

    def _over_train(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        settings = self.train.model_dump() | {"net": name, "input_size": self.data.image_size}
        if "epochs" in entry or "num_steps" in entry:  # an own budget replaces the default one
            settings |= {"epochs": 0, "num_steps": 0}
        return settings | entry


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml, the names that one section takes from another included."""
    if not path.is_file():
        raise TouchstoneError(f"{path}: no such file; run from the folder that holds params.yaml")
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    try:
        params = Params.model_validate(_tuples(values))
    except ValidationError as error:
        raise TouchstoneError(f"params.yaml: {explain(error, Params, '')}") from None
    check(params)
    return params


def _tuples(value: Any) -> Any:
    """Lists become tuples, which strict and frozen sections want."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
