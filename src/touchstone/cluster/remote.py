"""A stage's job on a machine that shares no folder with the project: its files travel with it, its data over a remote.

The head pushes the outputs of the stages that are done to a remote of DVC, and sends the project's files to each node
once. A job unpacks them into a clone below `scratch`, fetches what its stage needs into a cache of that node, runs the
stage by a worker, and pushes its outputs and its record in DVC's run-cache. The head fetches both. So a job
that was lost or ran twice costs time and nothing else, as with a shared folder, and a command that was interrupted
finds on the remote what its jobs have finished.

Resume states stay on the node that wrote them.
"""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dvc.fs import get_fs_config
from dvc.repo import Repo
from dvc.stage import Stage

from touchstone.cluster.clone import followed, new_folder
from touchstone.cluster.copies import KEPT, project_files
from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.local import Worker
from touchstone.errors import TouchstoneError, nearest, one_line
from touchstone.studies.commands import search_path, write_config
from touchstone.studies.workspace import FILLED
from touchstone.training.resume import KEEP

LOG = "job.log"


@dataclass(frozen=True)
class SentTask:
    """A job as it travels to a machine without the project's folder.

    project: a name for this project's folder on the nodes. remote: the name of the remote of DVC, whose options are in
    `options`, credentials included. scratch: a folder on the nodes; "" for one in the folder for temporary files.
    own: a tar of the files that this stage alone needs, as those of a model's weights.
    """

    job: Job
    project: str
    remote: str
    options: Mapping[str, str]
    scratch: str
    own: bytes


def options_of(repo: Repo, remote: str) -> dict[str, str]:
    """Return the options of a remote of DVC, as from all of its configuration files, credentials included.

    Raises TouchstoneError where there is no such remote, or it cannot hold a run-cache.
    """
    known = repo.config["remote"]
    if remote not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise TouchstoneError(
            f"params.yaml: cluster.remote: no remote {remote!r} in DVC's configuration{nearest(remote, known)}; "
            f"`dvc remote list` shows: {listed}"
        )
    try:
        options = get_fs_config(repo.config, name=remote)
    except Exception as error:  # of one that builds on another: its library is missing, say
        raise TouchstoneError(f"params.yaml: cluster.remote: {remote}: {one_line(error)}") from error
    kinds = {
        "an HTTP remote": options["url"].startswith(("http://", "https://")),
        "a remote of versions": options.get("version_aware") or options.get("worktree"),
    }
    if kind := next((kind for kind, here in kinds.items() if here), ""):
        raise TouchstoneError(f"params.yaml: cluster.remote: {remote} is {kind}, which holds no run-cache of DVC")
    return {name: str(value) for name, value in options.items()} | {"verify": "true"}  # uploads may have been cut off


def check_remote(root: Path, remote: str) -> None:
    """Raise TouchstoneError where a remote cannot serve, or its library is not installed. It is not connected to."""
    repo = Repo(str(root))
    options_of(repo, remote)
    try:
        repo.cloud.get_remote_odb(remote)
    except Exception as error:  # libraries of remotes raise errors of their own
        raise TouchstoneError(f"params.yaml: cluster.remote: {remote}: {one_line(error)}") from error


def packed(root: Path, names: Iterable[str]) -> bytes:
    """Return a tar of files of the project."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as archive:
        for name in sorted(names):
            archive.add(root / name, name)
    return content.getvalue()


def packed_project(root: Path, *, without: tuple[str, ...]) -> bytes:
    """Return a tar of the project's files as they are now, but for those whose names begin with one of `without`."""
    return packed(root, (name for name in project_files(root) if not name.startswith((*without, *FILLED))))


def packed_inputs(root: Path, stage: Stage) -> bytes:
    """Return a tar of the stage's inputs in the folders that people fill."""
    found = (root / Path(os.path.relpath(dep.fs_path, root)) for dep in stage.deps)
    paths = [path for path in found if path.relative_to(root).as_posix().startswith(FILLED)]
    files = (file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    return packed(root, (file.relative_to(root).as_posix() for file in files))


def run_sent(task: SentTask, project: bytes, note: Callable[[str], None]) -> tuple[Outcome, bytes]:
    """Run a stage in a clone of its own; return its end and its log.

    project: a tar of the project's files. note: takes the last line that the stage printed, every few seconds.
    Raises OSError where the clone cannot be made.
    """
    home = _own_folder(Path(task.scratch or tempfile.gettempdir())) / task.project
    clone = new_folder(home / "clones", task.job.stage)
    worker = None
    try:
        for content in (project, task.own):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(clone, filter="data")
        for name in KEPT:
            (home / "kept" / name).mkdir(parents=True, exist_ok=True)
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).symlink_to(home / "kept" / name, target_is_directory=True)
        sections = {"core": {"remote": task.remote}, f'remote "{task.remote}"': task.options}
        write_config(clone, cache=home / "cache", sections=sections)
        worker = Worker(clone, {KEEP: "1", "PATH": search_path()})
        worker.begin(replace(task.job, log=clone / LOG), over_remote=True)
        outcome = followed(worker, note)
        return outcome, (clone / LOG).read_bytes()
    finally:
        if worker:
            worker.close()
        shutil.rmtree(clone, ignore_errors=True)


def _own_folder(scratch: Path) -> Path:
    """The folder of this user below `scratch`, closed to others: clones hold the credentials of a remote."""
    folder = scratch / f"touchstone-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(f"{folder} belongs to another user; set cluster.scratch")
    folder.chmod(0o700)
    return folder
