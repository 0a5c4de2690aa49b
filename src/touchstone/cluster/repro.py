"""`touchstone repro`: what `dvc repro` does, several stages at a time, with the same dvc.lock in the end."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc.dvcfile import load_file
from dvc.exceptions import DvcException, ReproductionError
from dvc.repo import Repo
from dvc.stage.exceptions import StageCmdFailedError
from dvc.utils.serialize import modify_yaml

from touchstone import notes
from touchstone.cluster.engine import Outcome
from touchstone.cluster.engines import GRAPH, PARAMS, check_cluster, check_engine, start_engine
from touchstone.cluster.lock import locked, repaired, sort_lock
from touchstone.cluster.parts import seeds_of, with_parts, with_seeds
from touchstone.cluster.schedule import Graph, run_graph
from touchstone.cluster.screen import Screen
from touchstone.cluster.unfinished import changed_stages, stages_of, unfinished
from touchstone.config.load import load, load_cluster
from touchstone.config.resolved import FOLDER as SETTINGS
from touchstone.config.schema.generator import ADDED
from touchstone.data import findings
from touchstone.data.remote import probe
from touchstone.data.walk import check_names
from touchstone.errors import TouchstoneError, one_line
from touchstone.models.checks import ELSEWHERE
from touchstone.studies.alone import alone
from touchstone.studies.commands import search_path
from touchstone.studies.stale import OTHER, have_other_inputs, settings_are_current, stale_results

FOLDER = Path(".touchstone/repro")  # copies of the project, logs, and the lock
CHANGED = "params.yaml or a file that stages read has changed"


def repro(root: Path, targets: list[str], *, jobs: int | None, engine: str = "local") -> None:
    """Bring the targets, or all stages, up to date, `jobs` stages at a time, or as many as the engine can run.

    Stages whose outputs persist, with those before them, come first, one by one: DVC's run-cache leaves them out.

    Raises TouchstoneError at a mistake in params.yaml, where another `touchstone repro` runs in this folder, where the
    engine cannot start, and, once all others have ended, where a stage has failed.
    """
    check_engine(engine)
    load(root / PARAMS)  # before DVC, which would only miss a section with a typo in its name
    logging.getLogger("dvc").setLevel(logging.INFO)
    logging.getLogger("dvc.output").addFilter(lambda record: "is empty" not in str(record.msg))  # as some are by design
    if engine != "local":
        os.environ[ELSEWHERE] = engine  # for the stage `settings`
    os.environ["PATH"] = search_path()  # of the stages that DVC starts here and in workers
    refusal = "another `touchstone repro` is running in this folder; wait until it ends"
    lock = alone(root / FOLDER / "lock", refusal=refusal)  # workers inherit it, so it lasts until the last has ended
    with lock as held, _in_one_line(root), repaired(root, root / FOLDER / "dvc.lock"):
        repo = Repo(str(root))
        targets = targets or [GRAPH]  # not the graphs in other folders, which plain `dvc repro` leaves alone, too
        if not changed_stages(repo, targets):
            print("Everything is up to date.")
            _print_findings(root)
            return
        with _saying_what_is_stale(root):
            _bring_up_to_date(root, repo, targets, jobs=jobs, engine=engine, held=held)


def _bring_up_to_date(root: Path, repo: Repo, targets: list[str], *, jobs: int | None, engine: str, held: int) -> None:
    check_cluster(engine, root, root / FOLDER)
    report = root / "metrics/report.md"
    seen = report.stat().st_mtime_ns if report.is_file() else None
    if first := [stage.addressing for stage in stages_of(repo, targets) if any(out.persist for out in stage.outs)]:
        with _in_its_own_words():
            repo.reproduce(first)
        repo = Repo(str(root))  # what the graph depends on may have changed
    needs, entries = unfinished(repo, targets)
    reads_settings = any(
        out.fs_path == str(root / SETTINGS) for stage in stages_of(repo, targets) for out in stage.outs
    )
    failed = _run_others(repo, needs, entries, jobs=jobs, name=engine, held=held, reads_settings=reads_settings)
    is_other = False
    logging.getLogger("dvc").setLevel(logging.WARNING)  # no line for each stage that comes from the run-cache
    if entries or not failed:
        taken = _take_over(root, entries)
        if not (is_other := _were_edited(root, taken)):
            Repo(str(root)).reproduce(list(entries) if failed else targets)
        sort_lock(root, targets)
    if failed:
        name, *others = failed
        also = f"; also failed: {', '.join(others)}" if others else ""
        raise TouchstoneError(f"{name}: {failed[name]}; its log: {FOLDER / 'logs' / name}.log{also}")
    if is_other:
        raise TouchstoneError(f"{CHANGED} while the stages ran; their results are kept: run the same command again")
    _print_findings(root)
    if report.is_file() and report.stat().st_mtime_ns != seen:
        print(f"{_headline(report)}\nmetrics/report.html says more.")


def _print_findings(root: Path) -> None:
    """Print what was found out about the images, also when nothing had to run."""
    data = root / "data"
    for finding in (*findings.read(data / "prepared/findings/warnings.csv"), *findings.of_added(data / "collected")):
        print(f"images: {finding.text}")


def _headline(report: Path) -> str:
    """The sentence that a report in Markdown opens with, as plain text."""
    paragraphs = report.read_text(encoding="utf-8").split("\n\n")
    return re.sub(r"\*\*|\\(?=[^\w\s])", "", paragraphs[1])


def _run_others(
    repo: Repo,
    needs: Graph,
    entries: dict[str, Any],
    *,
    jobs: int | None,
    name: str,
    held: int,
    reads_settings: bool,
) -> dict[str, str]:
    """Run the stages of `needs` that have no entry, add those that end well, and return why others failed."""
    todo = needs.keys() - entries.keys()
    if not todo:
        return {}
    root, graph, found = Path(repo.root_dir), needs, dict(entries)
    if load_cluster(root / PARAMS).seeds == "apart":
        graph = with_seeds(needs, todo, seeds_of(load(root / PARAMS)))
    engine = start_engine(name, repo, root / FOLDER, stages=graph.keys() - entries.keys(), jobs=jobs, held=held)
    try:
        if reads_settings and not settings_are_current(root):
            raise TouchstoneError(f"{CHANGED} while this command began; run the same command again")
        seconds = with_parts(_expected(repo) | notes.seconds(root / notes.RUNTIME), graph, shared=True)

        def ended(outcome: Outcome) -> None:
            if not outcome.error and outcome.entry:
                made = {out["path"]: out["md5"] for out in outcome.entry.get("outs", ())}
                notes.tie(root / notes.RUNTIME, outcome.stage, made)
            screen.ended(outcome)

        with Screen(len(graph.keys() - entries.keys()), slots=engine.slots) as screen:
            outcomes = run_graph(
                graph,
                found,
                engine,
                before=with_parts(locked(root), graph),
                logs=root / FOLDER / "logs",
                seconds=seconds,
                ended=ended,
                show=screen.show,
            )
    finally:
        engine.close()
    entries |= {stage: entry for stage, entry in found.items() if entry}
    return {outcome.stage: outcome.error for outcome in outcomes if outcome.error}


@contextmanager
def _saying_what_is_stale(root: Path) -> Iterator[None]:
    """Say which reports are of other inputs as long as this runs, and again where it ends before they are renewed."""
    reports: list[Path] = []
    with suppress(TouchstoneError):  # what the stage `settings` is about to explain
        reports = [root / name for name in stale_results(root) if Path(name).stem in ("report", "verdict")]
    seen = {file: file.stat().st_mtime_ns for file in reports}
    _say_stale(root, reports)
    try:
        yield
    except BaseException:
        _say_stale(root, [file for file in reports if file.is_file() and file.stat().st_mtime_ns == seen[file]])
        raise


def _say_stale(root: Path, files: list[Path]) -> None:
    if files:
        names = ", ".join(file.relative_to(root).as_posix() for file in files)
        print(f"{names} {'is' if len(files) == 1 else 'are'} {OTHER}", flush=True)


@contextmanager
def _in_one_line(root: Path) -> Iterator[None]:
    try:
        yield
    except (DvcException, OSError) as error:  # a full disk, say; of a stage that fails, its own line says why
        cause = error.__cause__
        why = (
            f": {one_line(cause)}"
            if isinstance(cause, Exception) and not isinstance(cause, StageCmdFailedError)
            else ""
        )
        if isinstance(cause, UnicodeEncodeError):
            raise _not_utf8(root) from error
        if address := re.search(r"'([a-z][a-z0-9+]*://[^']+)' does not exist", why):
            probe(address[1])  # DVC says so of whatever it cannot read
        raise TouchstoneError(one_line(error) + why) from error
    except UnicodeEncodeError as error:
        raise _not_utf8(root) from error
    except KeyboardInterrupt:
        raise TouchstoneError("interrupted; the same command goes on from here") from None


def _not_utf8(root: Path) -> TouchstoneError:
    """The error where DVC cannot write the name of a file that it hashes."""
    try:
        check_names(root / ADDED)
    except TouchstoneError as error:
        return error
    lists = "`find . | grep -axv '.*'` in that folder lists such names"
    return TouchstoneError(f"source.path: a name in it is not UTF-8, which DVC cannot keep; rename it ({lists})")


@contextmanager
def _in_its_own_words() -> Iterator[None]:
    """Exit with 1 where a stage has, as it has said why in a line of its own (see errors.run)."""
    try:
        yield
    except ReproductionError as error:
        if isinstance(error.__cause__, StageCmdFailedError) and str(error.__cause__).endswith(", exited with 1"):
            sys.exit(1)
        raise


def _were_edited(root: Path, taken: list[str]) -> bool:
    """Whether inputs of stages that were taken over have changed since, for which DVC would run them again."""
    try:
        return have_other_inputs(root, taken)
    except TouchstoneError:  # params.yaml is half edited
        return True


def _take_over(root: Path, entries: dict[str, Any]) -> list[str]:
    """Take all outputs that are in DVC's cache, and write their stages' entries into dvc.lock at once.

    The `dvc repro` that follows would do the same, but write the whole file anew for each stage. Return these stages.
    """
    stages = [stage for stage in Repo(str(root)).index.stages if stage.addressing in entries]
    names = [stage.addressing for stage in stages if stage.outs and all(out.use_cache for out in stage.outs)]
    with modify_yaml(str(root / "dvc.lock")) as lock:
        lock.setdefault("schema", "2.0")
        lock.setdefault("stages", {}).update({name: entries[name] for name in names})
    repo = Repo(str(root))
    graph = load_file(repo, str(root / "dvc.yaml")).stages  # read once
    with repo.lock:
        for name in names:
            graph[name].checkout(force=True)
    return names


def _expected(repo: Repo) -> dict[str, float]:
    """Return about how long each stage takes, as dvc.yaml says for stages that have never run here."""
    return {stage.addressing: stage.meta["seconds"] for stage in repo.index.stages if stage.meta}
