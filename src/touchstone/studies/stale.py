"""Results that are of other parameters, code or data than the present ones, such as those that a clone begins with.

DVC says which stages it would run. But it would run `settings` after any change to the code, also one that changes no
output, so what that stage would write now stands in for it.
"""

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage

from touchstone.config.resolved import FOLDER
from touchstone.errors import TouchstoneError, one_line
from touchstone.studies.commands import python
from touchstone.studies.hashes import hash_of
from touchstone.studies.path_set import PathSet

RESULTS = Path("metrics")  # what people read; verdicts, tables and the report
OTHER = "of other parameters, code or data than the present ones, until `touchstone repro` has run to its end"
EVALUATED = Path("data/evaluated")


def stale_results(root: Path) -> dict[str, str]:
    """Path in metrics/, relative to `root` -> its stage, for each file there that a stage of `stale_stages` has made.

    Raises TouchstoneError as that does.
    """
    stale = stale_stages(root)
    return {out: name for name in sorted(stale) for out in stale[name] if _is_result(root, out)}


def scores_are_stale(root: Path, metrics: Path) -> bool:
    """Whether the file `metrics`, which is a copy of the evaluation's, is of an earlier one or would change.

    False where nothing says so, as in a folder that has runs but no dvc.lock.
    """
    evaluated = root / EVALUATED / metrics.name
    if evaluated.is_file() and evaluated.read_bytes() != (root / metrics).read_bytes():
        return True
    if not (root / "dvc.lock").is_file():
        return False
    try:
        return any(str(EVALUATED) in outs for outs in stale_stages(root).values())
    except TouchstoneError:
        return False


def stale_stages(root: Path) -> dict[str, list[str]]:
    """Stage -> its outputs, for each stage that DVC would run for its inputs or its command, and for those after it.

    A file that is missing counts for nothing: a clone without its data is up to date where dvc.lock is.

    Raises TouchstoneError where DVC cannot read its files, or params.yaml has a mistake.
    """
    try:
        with _opened(root) as project:
            graph = project.repo.index.graph
            todo = [stage for stage in project.stages if stage not in project.of_settings and project.differs(stage)]
            stale = set(todo)
            while todo:
                after = set(graph.predecessors(todo.pop())) - stale  # DVC's edges lead to what it depends on
                stale |= after
                todo += after
            root = Path(project.repo.root_dir)
            return {stage.name: [_path(out).relative_to(root).as_posix() for out in stage.outs] for stage in stale}
    except DvcException as error:
        raise TouchstoneError(f"{root}: {one_line(error)}") from error


def settings_are_current(root: Path) -> bool:
    """Whether data/settings is what the stage `settings` would write now, by params.yaml and the code.

    Raises TouchstoneError where params.yaml has a mistake.
    """
    with _opened(root) as project:
        return project.fresh is None or hash_of(project.fresh) == hash_of(_settings(project.repo))


def have_other_inputs(root: Path, names: Collection[str]) -> bool:
    """Whether the command, the settings or a file that no stage makes is another than when one of these stages ran.

    Raises TouchstoneError where params.yaml has a mistake.
    """
    with _opened(root) as project:
        made = PathSet(out.fs_path for stage in set(project.stages) - project.of_settings for out in stage.outs)
        return any(
            stage.changed_stage() or any(project.is_other(dep) for dep in stage.deps if not made.overlaps(dep.fs_path))
            for stage in project.stages
            if stage.addressing in names
        )


@dataclass(frozen=True)
class _Project:
    """A project as DVC sees it, with the settings that its code and params.yaml make now."""

    repo: Repo
    stages: list[PipelineStage]
    of_settings: set[PipelineStage]
    """The stages that write data/settings."""
    fresh: Path | None
    """What data/settings should be; None where nothing says that it would change."""

    def differs(self, stage: PipelineStage) -> bool:
        """Whether the command or an input is another than when the stage last ran."""
        return stage.changed_stage() or any(map(self.is_other, stage.deps))

    def is_other(self, dep: Output) -> bool:
        """Whether an input is another than when its stage last ran."""
        settings = _settings(self.repo)
        if self.fresh is None or not _path(dep).is_relative_to(settings):
            return _is_changed(dep)
        return hash_of(self.fresh / _path(dep).relative_to(settings)) != dep.hash_info.value


@contextmanager
def _opened(root: Path) -> Iterator[_Project]:
    """Open a project. Raises TouchstoneError where params.yaml has a mistake that the stage `settings` finds."""
    with Repo(str(root)) as repo, _scratch(root) as scratch:
        stages = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]  # not .dvc files
        of_settings = {stage for stage in stages if any(_path(out) == _settings(repo) for out in stage.outs)}
        as_locked = _Project(repo, stages, of_settings, None)
        if any(as_locked.differs(stage) or any(map(_is_changed, stage.outs)) for stage in of_settings):
            yield replace(as_locked, fresh=_fresh_settings(repo, scratch))
        else:
            yield as_locked


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """Make an empty folder for a while: beside the project where params.yaml has paths that lead out of it."""
    params = root / "params.yaml"
    leads_out = params.is_file() and "../" in params.read_text(encoding="utf-8", errors="replace")
    beside = root.resolve().parent if leads_out and os.access(root.resolve().parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".touchstone-", dir=beside) as folder:
        yield Path(folder)


def _is_result(root: Path, out: str) -> bool:
    return Path(out).is_relative_to(RESULTS) and (root / out).exists()


def _fresh_settings(repo: Repo, scratch: Path) -> Path:
    """The settings that their stage would write now, in a folder.

    It runs in `scratch`, with links to all that it may read, so that nothing in the project is touched.
    """
    root, outs = Path(repo.root_dir), {_path(out) for out in repo.index.outs}
    hidden = {root / "dvc.lock", *root.glob(".*")}
    _link(root, scratch, without=outs | hidden, folders={folder for out in outs for folder in out.parents})
    python(scratch, "stages/settings.py", PYTHONPATH=str(root / "src"))
    return scratch / FOLDER


def _link(folder: Path, to: Path, *, without: set[Path], folders: set[Path]) -> None:
    """Make links in `to` to what is in `folder`; of a folder in `folders`, to what is in it."""
    for path in (path for path in folder.iterdir() if path not in without):
        if path in folders:
            (to / path.name).mkdir()
            _link(path, to / path.name, without=without, folders=folders)
        else:
            (to / path.name).symlink_to(path)


def _is_changed(entry: Output) -> bool:
    return not entry.hash_info or any(word != "deleted" for word in entry.workspace_status().values())


def _settings(repo: Repo) -> Path:
    return Path(repo.root_dir) / FOLDER


def _path(entry: Output) -> Path:
    return Path(entry.fs_path)
