"""Estimate the stages, the minutes and the disk that a run of the graph needs, before anything runs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from touchstone.audit.pairs import PLANTED
from touchstone.cluster.engine import Job, Outcome
from touchstone.cluster.schedule import Graph, run_graph
from touchstone.config.probes import repeated
from touchstone.config.schema.data import Arm
from touchstone.config.schema.explain import MOST_IMAGES
from touchstone.config.schema.model import Model
from touchstone.config.settings import Settings
from touchstone.report.table import Table, grid
from touchstone.studies.stale import stale_stages
from touchstone.studies.timing import Pace

OVERHEAD = 0.5  # seconds of any stage beside its work: its start and its files
START = 6.0  # seconds until the first stage runs, and after the last one
KINDS = 4  # of planted copies
AUDIT = 8e-7  # seconds for a pair of a training and a test image, each generated set
COMPARED = 2.5e-8  # seconds for such a pair, once: nearest training images, natural copies
FILED = 5e-5  # seconds for an image that `download` hashes
STORED = 3e-4  # seconds for an image that `prepare` resizes, compares and stores, beside its decoding
DECODED = 1.5e-8  # seconds for each value of a prepared image that a transform makes
TRAINS = ("train", "finetune", "student")  # stages that train runs
FINDER = 100  # steps of the learning-rate finder, about
PRUNED = 0.65  # share of the steps of all trials that a search takes, as it ends the worse ones early
EXPLAINED = 1500  # passes that explaining an image takes with its share of the sanity check, about
SPEED = 2.5e10  # operations a second, which bounds an explanation (`explain.max_teraflop`)


@dataclass(frozen=True)
class Counts:
    """Numbers of images. train: of one replicate; pool: of all replicates together."""

    train: int
    pool: int
    val: int
    test: int
    unlabelled: int

    @property
    def predicted(self) -> int:
        return self.val + self.test + self.unlabelled


@dataclass(frozen=True)
class Forecast:
    """The work that is left."""

    seconds: dict[str, float]
    """Stage -> its seconds."""
    jobs: int
    """Stages at a time."""
    total: float
    """Seconds until the last stage ends."""
    disk: float
    """Bytes that the outputs of these stages take."""


def forecast(
    root: Path,
    settings: Settings,
    counts: Counts,
    pace: Pace,
    *,
    jobs: int,
    pixels: int,
    num_classes: int,
    decode: float,
) -> Forecast:
    """Estimate a run of all stages that are not up to date in the project at `root`.

    pixels: bytes of a prepared image. decode: seconds to decode an image. Raises TouchstoneError where DVC cannot read
    its files, or params.yaml has a mistake.
    """
    needs, left = unfinished(root)
    work = Work(settings, counts, pace, pixels, num_classes, decode)
    seconds = {stage: OVERHEAD + work.seconds(stage) for stage in sorted(left)}
    done: dict[str, Any] = {stage: {} for stage in needs.keys() - left}
    total = START + makespan(needs, done, seconds, jobs) if left else 0.0
    return Forecast(seconds, jobs, total, work.disk(seconds))


def unfinished(root: Path) -> tuple[Graph, set[str]]:
    """Stage -> what it directly depends on; and the stages that would run.

    These are the stale ones, and those of which an output is neither here nor in DVC's cache. Raises TouchstoneError as
    `stale_stages` does.
    """
    left = set(stale_stages(root))
    with Repo(str(root)) as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages if stage.cmd}
        needs = {
            name: {other.addressing for other in repo.index.graph.successors(stage) if other.cmd}
            for name, stage in stages.items()
        }
        for name, stage in stages.items():
            if any(out.use_cache and not out.exists and out.changed_cache() for out in stage.outs):
                left.add(name)
    return needs, left


def makespan(needs: Graph, entries: dict[str, Any], seconds: Mapping[str, float], jobs: int) -> float:
    """The seconds until all stages have ended, in the order in which they would be run."""
    clock = _Clock(seconds, jobs)
    quiet: Any = {"ended": lambda outcome: None, "show": lambda lines: None}
    run_graph(needs, dict(entries), clock, before={}, logs=Path(), seconds=seconds, **quiet)
    return clock.now


class _Clock:
    """An engine that runs nothing: it counts the seconds."""

    def __init__(self, seconds: Mapping[str, float], slots: int) -> None:
        self.seconds, self.slots, self.now = seconds, slots, 0.0
        self.ends: dict[str, float] = {}

    def submit(self, job: Job) -> None:
        self.ends[job.stage] = self.now + self.seconds[job.stage]

    def wait(self, seconds: float) -> list[Outcome]:
        stage = min(self.ends, key=lambda each: (self.ends[each], each))
        self.now = self.ends.pop(stage)
        return [Outcome(stage, {"stage": stage}, "", 0.0)]

    def progress(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


class Work:
    """The seconds and the bytes of each stage, from the settings and the machine's pace."""

    def __init__(
        self, settings: Settings, counts: Counts, pace: Pace, pixels: int, num_classes: int, decode: float
    ) -> None:
        self.settings, self.counts, self.pace = settings, counts, pace
        self.pixels, self.num_classes, self.decode = pixels, num_classes, decode
        self.runs = {f"{model}-{arm}": (model, arm) for model in settings.trained for arm in settings.arms}
        self.replicates, self.fits = settings.train.replicates, settings.train.num_fits

    def seconds(self, stage: str) -> float:
        kind, _, name = stage.partition("@")
        settings, counts, pace = self.settings, self.counts, self.pace
        if kind in TRAINS:
            return self._num_fitted(self.runs[name][0]) * self._training(*self.runs[name])
        if kind in ("tune", "tune_finetuned", "tune_student"):
            model, arm = self.runs[name]
            tuned = settings.trained[model].budget == "tuned"
            return settings.train.tune.trials * PRUNED * self._training(model, arm) if tuned else 0.0
        if kind == "find_lr":
            auto = any(phase.lr == "auto" for phase in settings.trained[name].phases)
            return FINDER * pace.step[name] if auto else 0.0
        if kind.startswith("predict"):
            return self.replicates * counts.predicted * pace.predicted[self.runs[name][0]]
        if kind == "fit" and name in settings.fitted:
            fit = settings.fitted[name].fit
            return self.fits * fit.steps(counts.train, fit.batch_size) * pace.fit_step.get(name, 0.0)
        if kind == "synthesize":
            return self._samples(name) * pace.sampled.get(name, self.decode)
        if kind == "transform":
            return counts.pool * self.pixels * DECODED
        if kind == "encoder" and settings.generators:
            encoder = settings.audit.encoder
            steps = sum(phase.steps(counts.train, encoder.batch_size) for phase in encoder.phases)
            return len(encoder.seeds) * steps * pace.step["encoder"]
        if kind == "download":
            return FILED * (counts.pool + counts.predicted)
        if kind == "prepare":
            return (STORED + self.decode) * (counts.pool + counts.predicted)
        if kind == "audit":
            return self._audited()
        if kind == "explain":
            return self._explained()
        return 1.0 if kind in ("evaluate", "report", "verdict", "ensemble") else 0.0

    def _num_fitted(self, model: str) -> int:
        """The replicates that are trained; those of a probe that are the same are fitted once."""
        return 1 if model in repeated(self.settings) else self.replicates

    def _training(self, model: str, arm: str) -> float:
        """The seconds of one training: its steps, its validations, and features that are computed once."""
        real, added = self._size(self.settings.arms[arm])
        how: Model = self.settings.trained[model].on_images(real + added, num_real=max(1, self.counts.train))
        if how.probe is not None:
            return (real + added) * (self.pace.cached[model] + self.pace.step[model])
        steps = sum(phase.steps(real + added, how.batch_size) for phase in how.phases)
        every = how.eval_steps or max(1, math.ceil((real + added) / how.batch_size))
        validated = math.ceil(steps / every) * self.counts.val
        cached = self.pace.cached[model]
        once = cached * (real + added + self.counts.val)
        taught = how.batch_size * sum(self.pace.predicted[teacher] for teacher in how.teachers)
        return (
            steps * (self.pace.step[model] + taught) + (0 if cached else validated * self.pace.predicted[model]) + once
        )

    def _size(self, arm: Arm) -> tuple[int, int]:
        """The real and the added training images of a replicate."""
        train = self.counts.train
        sizes = [self._added(name) for name in arm.add]
        added = sum(sizes)
        added = min(added, round(arm.ratio * train)) if arm.ratio else added
        added = min(added, arm.per_class * self.num_classes) if arm.per_class else added
        return (train if arm.real else 0), added

    def _added(self, name: str) -> int:
        """The images of an added set that a replicate has; a folder is taken to have as many as there are real ones."""
        fitted = self.settings.fitted.get(name)
        return fitted.sample.per_class * self.num_classes if fitted else self.counts.train

    def _samples(self, name: str) -> int:
        """The images that a generator samples for all replicates."""
        if name not in self.settings.fitted:
            return self.counts.train
        sample = self.settings.fitted[name].sample
        return self.fits * math.ceil(sample.per_class / sample.block) * sample.block * self.num_classes

    def _audited(self) -> float:
        """Searches for copies in added sets, those that set their limits and their recall, and other figures."""
        counts, settings = self.counts, self.settings
        generated = [self._added(name) for name in settings.generators]
        of_test = [counts.train, *[counts.pool] * len(settings.transforms), *generated]
        planted = [min(PLANTED, counts.train)] * KINDS
        of_training = [counts.test, *planted, *generated] if generated else []
        seconds = sum(self._search(images, counts.test) for images in of_test)
        seconds += sum(self._search(images, counts.train) for images in of_training)
        return seconds + (AUDIT * len(settings.generators) + COMPARED) * counts.train * counts.test

    def _search(self, images: int, originals: int) -> float:
        """The seconds of a search for copies of `originals` images among `images` others."""
        pace = self.pace.searched
        return images * pace["image"] + originals * pace["original"] + images * originals * pace["pair"]

    def _explained(self) -> float:
        explain = self.settings.explain
        if not explain.attributes:
            return 0.0
        most = explain.max_teraflop * 1e12 / SPEED
        models = [self.runs[run][0] for run in explain.runs]
        passes = EXPLAINED * ((len(explain.files) or explain.images) + _num_pictures(explain.pictures))
        return sum(min(most, 3 * passes * self.pace.predicted[model]) for model in models)

    def disk(self, stages: Iterable[str]) -> float:
        """Bytes of pixels, of the images that are prepared and added, and of weights and predictions, about."""
        counts, images = self.counts, 0.0
        for stage in stages:
            kind, _, name = stage.partition("@")
            if kind == "prepare":
                images += counts.pool + counts.predicted
            elif kind == "transform":
                images += counts.pool
            elif kind == "synthesize":
                images += self._samples(name)
        weights = sum(
            4 * self.replicates * self.pace.parameters[self.runs[name][0]]
            for kind, _, name in (stage.partition("@") for stage in stages)
            if kind in TRAINS
        )
        return images * self.pixels + weights


def _num_pictures(path: str) -> int:
    """The number of pictures at a path, about: a file is one, a folder has as many as files; 0 without a path."""
    files = Path(path).rglob("*") if path else ()
    return min(MOST_IMAGES, sum(file.is_file() for file in files) or int(bool(path)))


def text(found: Forecast) -> str:
    """The stages by kind, their number and their minutes, then the sums."""
    kinds: dict[str, list[float]] = {}
    for stage, seconds in found.seconds.items():
        kinds.setdefault(stage.partition("@")[0], []).append(seconds)
    rows = [
        [kind, str(len(each)), f"{sum(each) / 60:.1f}"]
        for kind, each in sorted(kinds.items(), key=lambda item: -sum(item[1]))
        if sum(each) >= 3
    ]
    shown = sum(len(kinds[row[0]]) for row in rows)
    rest = len(found.seconds) - shown
    rows += (
        [["others", str(rest), f"{sum(sum(each) for kind, each in kinds.items() if sum(each) < 3) / 60:.1f}"]]
        if rest
        else []
    )
    table = grid(Table("lrr", ["stage", "number", "minutes of a core"], rows))
    at_once = f"{found.jobs} at a time" if found.jobs > 1 else "one at a time"
    takes = f"About {duration(found.total, digits=1)} with {at_once}, and {_size(found.disk)} of disk."
    return f"{table}\n\n{takes} The minutes are estimated from short trials of each net on this machine."


def duration(seconds: float, *, digits: int) -> str:
    """Return `45 seconds`, `7.3 minutes` or `2.5 hours`. digits: of the minutes, after the point."""
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5):.0f} seconds"
    return f"{seconds / 60:.{digits}f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(1, round(number / 1e6))} MB"
