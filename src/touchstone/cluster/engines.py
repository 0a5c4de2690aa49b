"""The engines by name: `local`, and those of a cluster, each with an extra."""

from collections.abc import Collection
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from dvc.repo import Repo

from touchstone.cluster.engine import Engine
from touchstone.cluster.local import LocalEngine, num_cores, shared_out, visible_gpus
from touchstone.cluster.remote import check_remote
from touchstone.config.graph import read_stages
from touchstone.config.load import load, load_cluster
from touchstone.config.schema.generator import FittedConfig
from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError, nearest

PARAMS, GRAPH = "params.yaml", "dvc.yaml"
ENGINES = {"local": "", "slurm": "submitit", "ray": "ray"}  # name -> the library that its extra installs


def check_engine(name: str) -> None:
    """Raise TouchstoneError on an unknown engine and on one whose library is not installed."""
    if name not in ENGINES:
        raise TouchstoneError(f"--on {name}: expected one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    if ENGINES[name] and find_spec(ENGINES[name]) is None:
        raise TouchstoneError(f"--on {name}: {ENGINES[name]} is not installed; run `pip install 'touchstone[{name}]'`")


def check_cluster(name: str, root: Path, folder: Path) -> None:
    """Raise TouchstoneError on mistakes in the section `cluster`, before any stage runs.

    They include a scheduler that does not answer, or that would refuse the stages' jobs.
    """
    if name == "local":
        return
    cluster, stages = load_cluster(root / PARAMS), read_stages(root / GRAPH)
    if unknown := sorted(cluster.stages.keys() - stages.keys()):
        raise TouchstoneError(f"{PARAMS}: cluster.stages.{unknown[0]}: no such stage{nearest(unknown[0], stages)}")
    if cluster.remote and (name == "slurm" or cluster.seeds == "apart"):
        who = "jobs of Slurm" if name == "slurm" else "the seeds of `seeds: apart`"
        raise TouchstoneError(f"{PARAMS}: cluster.remote: {who} meet in a folder that all nodes see; leave it out")
    if cluster.remote:
        check_remote(root, cluster.remote)
    if name == "slurm":
        from touchstone.cluster.slurm import Slurm

        Slurm(folder / name, cluster).check({cluster.of(stage) for stage in stages})
    else:
        from touchstone.cluster.ray import check_address

        check_address(cluster.address)


def start_engine(
    name: str, repo: Repo, folder: Path, *, stages: Collection[str], jobs: int | None, held: int
) -> Engine:
    """Start an engine for the given stages.

    folder: where it keeps copies of the project. jobs: stages at a time; None: as many as this machine has GPUs or
    cores, on a cluster all. held: a file descriptor whose lock the workers of this machine share.

    Raises TouchstoneError where Ray cannot be reached, or has no node for a stage.
    """
    root, cache = Path(repo.root_dir), Path(repo.cache.legacy.path)
    if name == "local":
        settings = None
        with suppress(TouchstoneError):  # a mistake in params.yaml, which the stage `settings` explains
            settings = load(root / PARAMS)
        slots = min(jobs or default_slots(settings), len(stages))
        gpus = _gpus_of_workers(settings)
        return LocalEngine(root, folder / "copies", cache=cache, slots=slots, gpus=gpus, held=held)
    cluster, slots = load_cluster(root / PARAMS), min(jobs or len(stages), len(stages))
    if name == "slurm":
        from touchstone.cluster.queue import QueueEngine
        from touchstone.cluster.slurm import Slurm

        scheduler = Slurm(folder / name, cluster)
        return QueueEngine(repo, folder / name, scheduler, cluster=cluster, slots=slots)
    from touchstone.cluster.ray import RayEngine

    return RayEngine(repo, folder / name, cluster=cluster, stages=stages, slots=slots)


def default_slots(settings: Settings | None) -> int:
    """Return how many stages this machine runs at a time: one per group of GPUs, or without any one per core.

    settings: None where they are not known, which takes one GPU a stage.
    """
    return len(_gpus_of_workers(settings)) or num_cores()


def _gpus_of_workers(settings: Settings | None) -> list[str]:
    """Return the GPUs that each worker of this machine sees: as many as the stage that asks for most of them."""
    if settings is None:
        return shared_out(visible_gpus(), each=1)
    if settings.machine.accelerator == "cpu":
        return []
    asked = [settings.machine.devices, *(model.devices for model in settings.trained.values())]
    asked += [config.fit.devices for config in settings.generators.values() if isinstance(config, FittedConfig)]
    return shared_out(visible_gpus(), each=max(asked))
