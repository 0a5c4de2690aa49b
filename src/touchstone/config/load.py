"""params.yaml -> Settings: read, merged with defaults, checked. A mistake is one line with the key and the remedy."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from touchstone.config.checks import check, check_entry, one_of
from touchstone.config.mistakes import explain
from touchstone.config.schema.audit import Audit
from touchstone.config.schema.generator import GeneratorConfig, config_of, kinds
from touchstone.config.schema.model import FinetuneEntry, Model, ModelEntry, Net, Phase, Run
from touchstone.config.schema.params import Params
from touchstone.config.schema.section import Section
from touchstone.config.settings import Settings
from touchstone.config.yaml import parse
from touchstone.errors import TouchstoneError

FILE = Path("params.yaml")
# The audit's encoder sees no validation image: its last weights count, and a training that diverges is an error.
ENCODER = {"select": "last", "patience": 0, "eval_steps": 0, "on_divergence": "fail"}

S = TypeVar("S", bound=Section)


def load(path: Path = FILE) -> Settings:
    """Read a params.yaml, merge the defaults and check everything. Raises TouchstoneError at the first mistake."""
    return settings_of(_text(path))


def settings_of(text: str) -> Settings:
    """The same of a text."""
    settings = _resolve(_valid(Params, "", _tuples(parse(text))))
    check(settings)
    return settings


def _text(path: Path) -> str:
    if not path.is_file():
        raise TouchstoneError(f"{path}: no such file; run from the folder that holds params.yaml")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _tuples(value: Any) -> Any:
    """Lists become tuples, which strict and frozen sections want."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _valid(section: type[S], prefix: str, values: Any) -> S:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise TouchstoneError(f"params.yaml: {explain(error, section, prefix)}") from None


def _resolve(params: Params) -> Settings:
    values = {name: getattr(params, name) for name in Params.model_fields}
    return Settings(
        **values
        | {
            "models": {name: _model(params, f"models.{name}", name, entry) for name, entry in params.models.items()},
            "finetunes": {name: _finetune(params, name, entry) for name, entry in params.finetunes.items()},
            "generators": {name: _generator(name, entry) for name, entry in params.generators.items()},
            "audit": _audit(params),
        }
    )


def resolve_model(entry: dict[str, Any], *, key: str = "model") -> Model:
    """An entry of models or finetunes that is merged with `train` already, its phases complete.

    Raises TouchstoneError, whose line names `key`, at the first mistake.
    """
    merged = _valid(FinetuneEntry if "init_from" in entry else ModelEntry, f"{key}.", entry)
    own = _fields(merged, Run, Net) | {"init_from": getattr(merged, "init_from", "")}
    return Model(phases=_phases(key, merged), **own)


def _model(params: Params, key: str, name: str, entry: dict[str, Any], **fixed: Any) -> Model:
    """What the entry does not say, `train` says."""
    if "init_from" in entry:
        raise TouchstoneError(f"params.yaml: {key}.init_from: is for finetunes; move the entry there, or take it out")
    model = resolve_model(_merged(params, name, entry) | fixed, key=key)
    check_entry(key, entry)
    return model


def _finetune(params: Params, name: str, entry: dict[str, Any]) -> Model:
    key = f"finetunes.{name}"
    if "init_from" not in entry:
        raise TouchstoneError(f"params.yaml: {key}.init_from: missing; name the run to start from, such as lenet-real")
    for own in ("weights", "weights_sha256", "normalisation"):
        if own in entry:
            raise TouchstoneError(f"params.yaml: {key}.{own}: comes from the run in init_from; take it out")
    model = resolve_model(_merged(params, name, entry), key=key)
    check_entry(key, entry)
    return model


def _merged(params: Params, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    settings = params.train.model_dump() | {"net": name, "input_size": params.data.image_size}
    if "epochs" in entry or "num_steps" in entry:  # an entry's own budget replaces the default one
        settings |= {"epochs": 0, "num_steps": 0}
    return settings | entry


def _phases(key: str, merged: ModelEntry) -> tuple[Phase, ...]:
    """The phases in their order: what a phase does not say, the model says; but each has its own budget."""
    own = _fields(merged, Phase)
    if merged.phases is None:
        return (Phase(**own),)
    own |= {"num_steps": 0, "epochs": 0}
    entries = enumerate(merged.phases)
    return tuple(_valid(Phase, f"{key}.phases.{number}.", own | entry) for number, entry in entries)


def _fields(section: Section, *kinds: type[Section]) -> dict[str, Any]:
    return {name: getattr(section, name) for kind in kinds for name in kind.model_fields}


def _audit(params: Params) -> Audit:
    """The encoder has two seeds: features are those of the first, and the second filters, so none judges its choice."""
    entry, seed = params.audit.encoder, params.audit.seed
    if "net" not in entry:
        raise TouchstoneError(f"params.yaml: audit.encoder: got {entry!r}, expected a net, such as net: lenet")
    for name in ("seeds", *ENCODER):
        if name in entry:
            raise TouchstoneError(
                f"params.yaml: audit.encoder.{name}: is not for the encoder, which is trained with audit.seed, without "
                "validation images, to the end; take it out"
            )
    encoder = _model(params, "audit.encoder", "encoder", entry, seeds=(seed, seed + 1), **ENCODER)
    return Audit(**{name: getattr(params.audit, name) for name in Audit.model_fields} | {"encoder": encoder})


def _generator(name: str, entry: dict[str, Any]) -> GeneratorConfig:
    """Its kind is its name where it says none."""
    kind = entry.get("kind", name)
    if not isinstance(kind, str):
        raise TouchstoneError(
            f"params.yaml: generators.{name}.kind: got {kind!r}, expected one of {', '.join(kinds())}"
        )
    one_of(f"generators.{name}.kind", kind, kinds())
    return _valid(config_of(kind), f"generators.{name}.", {"kind": kind} | entry)
