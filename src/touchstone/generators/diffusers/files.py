"""A pipeline's files: found in a folder or at a pinned commit of the hub, checked, and packed with their hashes.

Only what the supported pipelines need is taken: configurations, tokens, weights as safetensors. Pickles and code are
refused, whoever made them. pipeline.json has the facts; no torch is needed here.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import TouchstoneError
from touchstone.generators.diffusers.stores import Flat, LocalFolder, Store
from touchstone.hub import Hub

FACTS = "pipeline.json"
MODELS = ("diffusion_pytorch_model", "model")  # names of files of weights
TOKENS = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
CARDS = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")

UNET: dict[str, tuple[str, ...]] = {"unet": ("diffusers", "UNet2DModel")}
VAE: dict[str, tuple[str, ...]] = {"vae": ("diffusers", "AutoencoderKL")}
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "DDPMPipeline": UNET,
    "DDIMPipeline": UNET,
    "DiTPipeline": {"transformer": ("diffusers", "DiTTransformer2DModel", "Transformer2DModel"), **VAE},
    "StableDiffusionPipeline": {
        "unet": ("diffusers", "UNet2DConditionModel"),
        **VAE,
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer", "CLIPTokenizerFast"),
    },
}
"""Class of a supported pipeline -> its parts besides the scheduler: the library and the classes that each may have."""


@dataclass(frozen=True)
class PipelineFacts:
    """The facts of a packed pipeline."""

    pipeline: str
    """As params.yaml names it."""
    revision: str
    """The commit, or "" for a folder."""
    licence: str
    """As the model card names it, or ""."""
    kind: str
    """The class of the pipeline."""
    files: dict[str, str]
    """Path -> sha256."""


def pack(name: str, pipeline: str, *, has_labels: bool, to: Path, old: Path, downloads: Path) -> PipelineFacts:
    """Put the files of a pipeline into the existing folder `to`, with their facts.

    old: the folder of an earlier run, from which a pinned pipeline is taken if it is whole. downloads: where the hub's
    files are kept. Raises TouchstoneError, under the entry's key, where the pipeline is missing, cannot be reached, is
    of no supported kind, holds code or pickles alone, or makes images without a class.
    """
    key = f"generators.{name}.pipeline"
    earlier = _earlier(old, pipeline)
    if earlier and earlier.revision and _is_whole(old, earlier):
        shutil.copytree(old, to, dirs_exist_ok=True)
        facts = earlier
    else:
        store = _store(key, pipeline, downloads)
        if "config.json" in store.paths and "unet/config.json" not in store.paths:
            store = Flat(store, model="unet")
        kind, paths = _wanted(key, store)
        facts = PipelineFacts(pipeline, store.revision, _licence(store), kind, _copy(store, paths, to))
        moved = [path for path, sha256 in facts.files.items() if earlier and earlier.files.get(path, sha256) != sha256]
        if moved and facts.revision:
            raise TouchstoneError(
                f"{key}: {moved[0]} is not the file that {pipeline} had before: the revision has moved; name another "
                "one, or remove data/pipelines to accept it"
            )
    if not has_labels and _is_unconditional(to, facts):
        raise TouchstoneError(
            f"{key}: a {facts.kind} without classes makes images without a label; set sample.strength, so that they "
            "have that of the training image they are made from, or fit.adapt, which teaches it the classes"
        )
    (to / FACTS).write_text(json.dumps(asdict(facts), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return facts


def read_facts(folder: Path) -> PipelineFacts | None:
    """Return the facts of a packed pipeline, or None where the folder holds none."""
    file = folder / FACTS
    return PipelineFacts(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def check_files(folder: Path, facts: PipelineFacts) -> None:
    """Raise TouchstoneError where a file is not the one that the facts name."""
    for path, sha256 in facts.files.items():
        if not (folder / path).is_file() or _sha256(folder / path) != sha256:
            raise TouchstoneError(f"{folder / path}: not the file that {FACTS} names; run `dvc checkout --force`")


def _store(key: str, pipeline: str, downloads: Path) -> Store:
    repository, at, revision = pipeline.partition("@")
    if at and not Path(pipeline).exists():
        return Hub(key, repository, revision, downloads=downloads)
    if not Path(pipeline).is_dir():
        raise TouchstoneError(
            f"{key}: {pipeline}: no such folder; put the pipeline there, as save_pretrained writes it"
        )
    return LocalFolder(Path(pipeline))


def _wanted(key: str, store: Store) -> tuple[str, list[str]]:
    """Return the class of the pipeline and the files that its parts need."""
    index = _json(key, store, "model_index.json")
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise TouchstoneError(f"{key}: has code of its own for a pipeline, which is never run; choose another one")
    if kind not in PARTS:
        raise TouchstoneError(f"{key}: got a {kind}, expected one of {', '.join(PARTS)}; choose another pipeline")
    paths = ["model_index.json", "scheduler/scheduler_config.json"]
    for part, (library, *classes) in PARTS[kind].items():
        given = index.get(part)
        if not isinstance(given, list) or given[0] != library or given[1] not in classes:
            raise TouchstoneError(
                f"{key}: its {part} is {given}, expected {library}'s {' or '.join(classes)}; other code is never run"
            )
        paths += _tokens(store, part) if part == "tokenizer" else _weights(key, store, part)
    return kind, [*paths, *(path for path in CARDS if path in store.paths)]


def _tokens(store: Store, part: str) -> list[str]:
    return [f"{part}/{file}" for file in TOKENS if f"{part}/{file}" in store.paths]


def _weights(key: str, store: Store, part: str) -> list[str]:
    """Return the configuration and the weights of a part: one file, or several with their index."""
    for stem in MODELS:
        single, index = f"{part}/{stem}.safetensors", f"{part}/{stem}.safetensors.index.json"
        if single in store.paths:
            return [f"{part}/config.json", single]
        if index in store.paths:
            shards = sorted(set(_json(key, store, index).get("weight_map", {}).values()))
            missing = [shard for shard in shards if f"{part}/{shard}" not in store.paths]
            if missing or not shards:
                raise TouchstoneError(f"{key}: {index} names {missing or 'no files'}; put the whole pipeline there")
            return [f"{part}/config.json", index, *(f"{part}/{shard}" for shard in shards)]
    pickled = [path for path in sorted(store.paths) if path.startswith(f"{part}/") and path.endswith((".bin", ".pt"))]
    if pickled:
        raise TouchstoneError(
            f"{key}: {pickled[0]} is a pickle, which can run code and is never loaded; take a revision with "
            "safetensors, or write them by save_pretrained(..., safe_serialization=True)"
        )
    raise TouchstoneError(f"{key}: no {part}/{MODELS[0]}.safetensors; put the whole pipeline there")


def _json(key: str, store: Store, path: str) -> dict[str, Any]:
    if path not in store.paths:
        raise TouchstoneError(f"{key}: no {path}; expected a pipeline of diffusers, as save_pretrained writes it")
    try:
        content = json.loads(store.get(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise TouchstoneError(f"{key}: {path}: not JSON ({error}); put the whole pipeline there") from error
    if not isinstance(content, dict):
        raise TouchstoneError(f"{key}: {path}: expected a mapping; put the whole pipeline there")
    return content


def _copy(store: Store, paths: Sequence[str], to: Path) -> dict[str, str]:
    """Copy files and return path -> sha256."""
    hashes = {}
    for path in paths:
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(store.get(path), to / path)
        hashes[path] = _sha256(to / path)
    return hashes


def _licence(store: Store) -> str:
    """Return the licence that the model card's head names, or ""."""
    if "README.md" not in store.paths:
        return ""
    text = store.get("README.md").read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    fields = dict(re.findall(r"^(license|license_name):\s*[\"']?([^\"'\n#]+)", head[1], re.M)) if head else {}
    named = fields.get("license_name", "") if fields.get("license", "").strip() == "other" else ""
    return (named or fields.get("license", "")).strip()


def _is_unconditional(folder: Path, facts: PipelineFacts) -> bool:
    if PARTS[facts.kind] != UNET:
        return False
    config = json.loads((folder / "unet/config.json").read_text(encoding="utf-8"))
    return not config.get("num_class_embeds")


def _earlier(old: Path, pipeline: str) -> PipelineFacts | None:
    try:
        facts = read_facts(old)
    except (ValueError, TypeError):  # damaged: packed again
        return None
    return facts if facts and facts.pipeline == pipeline else None


def _is_whole(folder: Path, facts: PipelineFacts) -> bool:
    try:
        check_files(folder, facts)
    except TouchstoneError:
        return False
    return True


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
