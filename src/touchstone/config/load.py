"""Reads params.yaml into Settings: merged with defaults and checked. An error is one line: the key and the remedy."""

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from touchstone.config import probes
from touchstone.config.checks import check, mistake, one_of
from touchstone.config.net_names import is_library_net, is_published
from touchstone.config.pretrained_config import pretrained_config
from touchstone.config.schema.audit import Audit
from touchstone.config.schema.cluster import Cluster
from touchstone.config.schema.generator import GeneratorConfig, config_of, kinds
from touchstone.config.schema.model import (
    FinetuneEntry,
    Model,
    ModelEntry,
    Net,
    Phase,
    Run,
    Seeded,
    StudentEntry,
)
from touchstone.config.schema.params import Params
from touchstone.config.schema.section import Section
from touchstone.config.schema.teaching import Teaching
from touchstone.config.settings import Settings
from touchstone.config.yaml import parse
from touchstone.errors import TouchstoneError, nearest

FILE = Path("params.yaml")
# The audit's encoder sees no validation image, so its last weights are used; if it diverges, the stage fails.
ENCODER = {"select": "last", "patience": 0, "eval_steps": 0, "on_divergence": "fail", "budget": "equal_steps"}
ENCODER |= {"test_crops": 1, "test_scales": (1.0,)}  # its features are those of whole images
ENCODER |= {"devices": 1, "sync_batch_norm": False}
MOVED = {
    "data.path": "source.path",
    "data.mirror": "source.mirror",
    "train.seeds": "train.replicates, a number: replicate k has seed k",
}
NO_KEY = re.compile(r"(int|float|str|dict\[.*|\[key\])$")  # parts of pydantic's location that are no key of params.yaml
S = TypeVar("S", bound=Section)


def load(path: Path = FILE) -> Settings:
    """Read a params.yaml, merge the defaults and check everything. Raises TouchstoneError at the first mistake."""
    if not path.is_file():
        raise TouchstoneError(f"{path}: no such file; run from the folder that holds params.yaml")
    try:
        return settings_of(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise TouchstoneError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def settings_of(text: str) -> Settings:
    """Do the same with the text of a params.yaml."""
    params = _valid(Params, "", _tuples(parse(text)))
    resolved = {
        "models": {name: _model(params, f"models.{name}", entry, net=name) for name, entry in params.models.items()},
        "finetunes": {name: _finetune(params, name, entry) for name, entry in params.finetunes.items()},
        "students": {name: _student(params, name, entry) for name, entry in params.students.items()},
        "generators": {name: _generator(params, name, entry) for name, entry in params.generators.items()},
        "audit": _audit(params),
    }
    settings = Settings(**_fields(params, Params) | resolved)
    check(settings)
    return settings


def load_cluster(path: Path = FILE) -> Cluster:
    """Read and check the section `cluster` alone. No stage reads it, so the stage `settings` does not check it."""
    return _valid(Cluster, "cluster.", _tuples(parse(path.read_text(encoding="utf-8")).get("cluster", {})))


def _tuples(value: Any) -> Any:
    """Turn lists into tuples, which strict and frozen sections expect."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _valid(section: type[S], prefix: str, values: Any) -> S:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise TouchstoneError(f"params.yaml: {_explain(error, section, prefix)}") from None


def resolve_model(entry: dict[str, Any], *, key: str = "model") -> Model:
    """Complete the phases of an entry of models, finetunes or students that is already merged with `train`.

    Raises TouchstoneError at the first mistake, below `key`.
    """
    kind = FinetuneEntry if "init_from" in entry else StudentEntry if "teachers" in entry else ModelEntry
    merged = _valid(kind, f"{key}.", entry)
    own = _fields(merged, Run, Net, Seeded) | {"init_from": getattr(merged, "init_from", "")}
    own |= _fields(merged, Teaching) if isinstance(merged, StudentEntry) else {}
    return Model(phases=_phases(key, merged), **own)


def _model(params: Params, key: str, entry: dict[str, Any], *, net: str, **fixed: Any) -> Model:
    if "init_from" in entry:
        raise mistake(f"{key}.init_from", "is for finetunes; move the entry there, or take it out")
    if "teachers" in entry and not key.startswith("students."):
        raise mistake(f"{key}.teachers", "is for students; move the entry there, or take it out")
    return _merged(params, key, entry, net=net, **fixed)


def _finetune(params: Params, name: str, entry: dict[str, Any]) -> Model:
    key = f"finetunes.{name}"
    if "init_from" not in entry:
        raise mistake(f"{key}.init_from", "missing; name the run to start from, such as lenet-real")
    for own in ("weights", "weights_sha256", "normalisation"):
        if own in entry:
            raise mistake(f"{key}.{own}", "comes from the run in init_from; take it out")
    return _merged(params, key, entry, net=name)


def _student(params: Params, name: str, entry: dict[str, Any]) -> Model:
    key = f"students.{name}"
    if "teachers" not in entry:
        raise mistake(f"{key}.teachers", "missing; name the models to learn from, such as [lenet, simple]")
    return _model(params, key, entry, net=name)


def _merged(params: Params, key: str, entry: dict[str, Any], *, net: str, **fixed: Any) -> Model:
    """Resolve an entry. Settings that it leaves out are those of `train`; `net` is the net that it has by default."""
    settings = params.train.model_dump(exclude={"replicates", "vary", "tune"})
    settings |= {"net": net, "input_size": params.data.image_size, "seeds": tuple(range(params.train.replicates))}
    settings |= _expected(key, str(entry.get("net", net)), entry.get("weights", settings.get("weights", "none")))
    if "epochs" in entry or "num_steps" in entry:  # an entry's own budget replaces the default one
        settings |= {"epochs": 0, "num_steps": 0}
    if entry.get("probe") is not None:
        settings = probes.completed(key, settings, entry)
    model = resolve_model(settings | entry | fixed, key=key)
    if "seeds" in entry:
        raise mistake(f"{key}.seeds", "seeds are the same for all models; set train.replicates")
    if entry.get("phases") and ("num_steps" in entry or "epochs" in entry):
        raise mistake(key, "phases have budgets of their own; take out num_steps and epochs")
    return model


def _expected(key: str, net: str, weights: Any) -> dict[str, Any]:
    """Return the settings of the input that a library's pretrained weights expect; none for others."""
    if not is_library_net(net) or not isinstance(weights, str) or not is_published(weights):
        return {}
    try:
        found = pretrained_config(net, weights)
    except TouchstoneError as error:
        raise TouchstoneError(f"params.yaml: {key}: {error}") from error
    return {"input_size": found.input_px, "crop_share": found.crop_share, "interpolation": found.interpolation}


def _phases(key: str, merged: ModelEntry) -> tuple[Phase, ...]:
    """Return the phases. A setting that a phase leaves out is the model's, except for its budget."""
    own = _fields(merged, Phase)
    if merged.phases is None:
        return (Phase(**own),)
    own |= {"num_steps": 0, "epochs": 0}
    entries = enumerate(merged.phases)
    return tuple(_valid(Phase, f"{key}.phases.{number}.", own | entry) for number, entry in entries)


def _fields(section: Section, *kinds: type[Section]) -> dict[str, Any]:
    return {name: getattr(section, name) for kind in kinds for name in kind.model_fields}


def _audit(params: Params) -> Audit:
    """Resolve the encoder.

    Its first seed computes the features. The others filter generated images, so none judges its own choice; there is
    one for each set of training images, from which no image of another set may be chosen.
    """
    entry, seed = params.audit.encoder, params.audit.seed
    if "net" not in entry:
        raise mistake("audit.encoder", f"got {entry!r}, expected a net, such as net: lenet")
    for name in ("seeds", "probe", *ENCODER):
        if name in entry:
            raise mistake(
                f"audit.encoder.{name}",
                "is not for the encoder, which is trained with audit.seed, without validation images, to the end; "
                "take it out",
            )
    seeds = tuple(range(seed, seed + 1 + params.train.num_draws))
    encoder = _model(params, "audit.encoder", entry, net="encoder", seeds=seeds, **ENCODER)
    return Audit(**_fields(params.audit, Audit) | {"encoder": encoder})


def _generator(params: Params, name: str, entry: dict[str, Any]) -> GeneratorConfig:
    """Resolve an entry of generators, whose kind is by default its name."""
    key, kind = f"generators.{name}", entry.get("kind", name)
    if not isinstance(kind, str):
        raise mistake(f"{key}.kind", f"got {kind!r}, expected one of {', '.join(kinds())}")
    one_of(f"{key}.kind", kind, kinds())
    config = config_of(kind)
    return _valid(config, f"{key}.", {"kind": kind} | config.completed(entry, name=name, data=params.data))


# --- what pydantic refuses, in one line ---


def _explain(error: ValidationError, section: type[Section], prefix: str) -> str:
    """Return the first mistake: its key, its value, what is allowed, and the nearest known key."""
    # A key that is misspelt is missing too: its own name says more.
    first = min(error.errors(), key=lambda one: one["type"] == "missing")
    path = [str(part) for part in first["loc"] if not NO_KEY.match(str(part))]
    key = prefix + ".".join(path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    kind, got = first["type"], first["input"]
    if kind == "extra_forbidden" and key in MOVED:
        return f"{key}: this key has moved; write {MOVED[key]}{more}"
    if kind == "extra_forbidden":
        known = [name for name in _known_keys(section, path[:-1]) if not (prefix and name == "seeds")]
        return f"{key}: unknown key (value {got!r}); known keys: {', '.join(known)}{nearest(path[-1], known)}{more}"
    if kind == "missing":
        return f"{key}: this key is missing{more}"
    what = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if kind == "literal_error" and isinstance(got, str):
        what += nearest(got, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    if kind == "value_error" and isinstance(got, dict):
        return f"{key.rstrip('.')}: {what}{more}"
    return f"{key}: got {got!r}, {what}{more}"


def _known_keys(section: type[Section], path: list[str]) -> list[str]:
    """Return the keys that may stand at `path` below `section`. Names that the user gave are passed over."""
    for part in path:
        if part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((inner for item in get_args(annotation) if (inner := _section_in(item))), None)
