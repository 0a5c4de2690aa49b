"""`touchstone init` and `touchstone plan` propose parameters that suit some images and estimate what a study takes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from touchstone.cluster.forecast import Counts, Forecast, duration, forecast, text, unfinished
from touchstone.cluster.lock import locked
from touchstone.config.load import load
from touchstone.config.settings import Settings
from touchstone.data.imageset import read_table
from touchstone.data.remote import is_remote
from touchstone.data.splits import LABELLED, UNLABELLED
from touchstone.data.wording import count
from touchstone.errors import TouchstoneError
from touchstone.studies.commands import git
from touchstone.studies.find_groups import Draw
from touchstone.studies.hashes import hash_of
from touchstone.studies.look import Seen, look
from touchstone.studies.new_project import is_unchanged, project_around
from touchstone.studies.opened import detected, opened
from touchstone.studies.peek import TABLES
from touchstone.studies.plan import plan, stored_spread
from touchstone.studies.propose import DRAW, WEIGHTS, Proposal, numbers, plans, propose
from touchstone.studies.published import published
from touchstone.studies.timing import Kind, measured

PARAMS, TEST = Path("params.yaml"), "data/prepared/test"
SHEET = Path(".touchstone/init/sheet.png")
LEAST, LEAST_TRAINING = 5, 3  # different images of a class, from which all splits are drawn or all but the test split
HEADER = (
    "# Written by `touchstone init`. Every number is yours to change; `touchstone plan` says what a change will cost,\n"
    "# and `touchstone repro` runs what depends on it.\n"
)


def init(root: Path, path: str, *, mirror: bool | None, minutes: float, jobs: int, force: bool) -> None:
    """Look at the images at `path`, say what was seen, and write a params.yaml for them with an estimate of its time.

    mirror: whether images may be mirrored; None lets the class names decide. minutes: what the study may take, about.
    jobs: stages at a time. force: replace a params.yaml with changes that are not committed. Raises TouchstoneError
    where there are no images that can be read, and on such a params.yaml.
    """
    if not (root / "dvc.yaml").is_file():
        if around := project_around(root):
            images = path if is_remote(path) else Path(path).resolve()
            raise TouchstoneError(
                f"this folder lies in the project {around}; run there: cd {quote(str(around))}, "
                f"touchstone init {quote(str(images))}"
            )
        raise TouchstoneError("there is no dvc.yaml here; `touchstone new FOLDER` lays out a project")
    _check_replaceable(root, force=force)
    _check_apart(root, path)
    if folder := _parent_of_table(path):
        print(
            f"{path} is read with its folder {folder}, where DVC hashes all files: the table and its images should "
            "have a folder of their own."
        )
    began = time.perf_counter()
    with detected(path) as (place, raw):
        seen, sheet = look(raw, DRAW)
    (root / SHEET).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(root / SHEET)
    print(*described(seen, path), sep="\n")
    _check(seen, path)
    print(f"{SHEET} shows some of them.")
    where = path if is_remote(path) else _source_path(place.path, root)
    given: Any = {"source": place.source, "path": where, "table": place.table, "mirror": mirror}
    given["pretrained"] = (root / WEIGHTS).is_file()
    with _restored_on_error(root / PARAMS):
        proposal, found = _fitting(root, seen, given, minutes=minutes, jobs=jobs)
    print("", *proposal.assumed, sep="\n")
    print(f"\n{PARAMS} is written: {summary(proposal)}")
    if found.total > 60 * minutes:
        print(f"No plan fits --minutes {minutes:g}: this is the quickest one.")
    took = time.perf_counter() - began
    print(f"`touchstone repro` will take about {duration(found.total, digits=0)}; looking took {took:.0f} seconds.")


def _fitting(root: Path, seen: Seen, given: dict[str, Any], *, minutes: float, jobs: int) -> tuple[Proposal, Forecast]:
    """Write the first of the plans that fits the time, or the last one, and return it with its forecast."""
    every, factor = plans(seen), 0.0
    for way in every:
        if factor * way.work > 60 * minutes and way is not every[-1]:
            continue  # what the first trial has shown rules it out
        proposal = propose(seen, way, **given)
        _write(root, proposal)
        found = estimate(root, load(root / PARAMS), seen=seen, jobs=jobs)
        factor = factor or found.total / way.work
        if found.total <= 60 * minutes:
            break
    return proposal, found


@contextmanager
def _restored_on_error(file: Path) -> Iterator[None]:
    """Put the file back as it was where the block fails."""
    before = file.read_bytes() if file.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(before)
        raise


def planned(root: Path, settings: Settings, metrics: Path, *, jobs: int) -> str:
    """Say which stages would run, for how long, and which gains the study could find by the spread of its last run.

    metrics: the metrics.json of that run, which counts only if the present settings are its own or have the same data.
    Raises TouchstoneError where there is neither a prepared data set nor one that can be read.
    """
    left = unfinished(root)[1]
    seen, assumed = _looked(settings) if "prepare" in left else (None, "")
    told = text(estimate(root, settings, seen=seen, jobs=jobs)) + assumed if left else "Everything is up to date."
    later = "Which gains the study could find is known after its first run, or with --seed-sd and --image-sd."
    if seen is not None or not (root / metrics).is_file() or len(settings.arms) < 2:
        return f"{told}\n\n{later}"
    spread = stored_spread(root / metrics, settings) if _is_of_these_images(root) else None
    if spread is None:
        return f"{told}\n\n{later}"
    return f"{told}\n\n{plan(settings, spread, num_images=len(read_table(root / TEST)))}"


def _is_of_these_images(root: Path) -> bool:
    """Whether the last evaluation was of the present test images, by dvc.lock."""
    deps = locked(root).get("evaluate", {}).get("deps", ())
    return any(dep["path"] == f"{TEST}/table.csv" and dep["md5"] == hash_of(root / dep["path"]) for dep in deps)


def _looked(settings: Settings) -> tuple[Seen, str]:
    """Return what is seen of the data set of the settings, or published of one to be fetched, which a sentence says."""
    data, source = settings.data, settings.source
    name = data.source
    known = published(name)
    if known is not None and not (source.mirror and Path(source.mirror).is_dir()):
        splits = ", ".join(f"{number:,} {split}" for split, number in known.splits.items())
        return known, f"\nThis assumes the images that are published of {name} ({splits}); none are fetched for a plan."
    with opened(name, source.path, source.mirror, data.columns) as raw:
        return look(raw, Draw(data.test_fraction, data.val_fraction, data.split_seed))[0], ""


def estimate(root: Path, settings: Settings, *, seen: Seen | None = None, jobs: int) -> Forecast:
    """Estimate what `touchstone repro` would take, from the images at hand or those that were seen."""
    if seen is None:
        counts, num_classes, multi_label, decode = _prepared(settings)
    else:
        counts, num_classes, multi_label = _expected(seen, settings), len(seen.classes), seen.multi_label
        decode = seen.seconds
    data = settings.data
    kind = Kind(data.image_size, data.channels, num_classes, multi_label)
    pace = measured(kind, arithmetic=settings.arithmetic, processes=jobs)
    pixels = data.image_size**2 * data.channels * data.bits // 8
    return forecast(root, settings, counts, pace, jobs=jobs, pixels=pixels, num_classes=num_classes, decode=decode)


def described(seen: Seen, path: str) -> list[str]:
    """Describe what was seen, a line for each fact."""
    splits = ", ".join(f"{number:,} {split}" for split, number in seen.splits.items() if split)
    lines = [
        f"{path}: {count(seen.num_images, 'image')} of {count(len(seen.classes), 'class', 'classes')}"
        + (f" ({splits})" if splits else "")
    ]
    if seen.counts:
        most = sorted(seen.counts.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {number:,}" for name, number in most[:8])
        lines.append(f"  classes: {shown}" + (f" and {len(most) - 8} more" if len(most) > 8 else ""))
    if len(seen.heights):
        low, high = (int(each) for each in (seen.heights.min(), seen.heights.max()))
        wide = f"{int(seen.widths.min())} to {int(seen.widths.max())}"
        lines.append(f"  sizes: {wide} px wide, {low} to {high} px high; {seen.kind}")
    if seen.multi_label:
        lines.append("  an image may have several labels, or none")
    if seen.unreadable:
        tried = f"{len(seen.unreadable)} of {seen.num_tried} that were tried"
        lines.append(f"  {tried} cannot be read, such as {seen.unreadable[0]}")
    if seen.repeats:
        lines.append(f"  {count(seen.repeats, 'copy', 'copies')} of another file")
    return lines + [f"  {note}" for note in (*seen.conflicts, *seen.notes)]


def summary(proposal: Proposal) -> str:
    """The study in a few words."""
    params = proposal.params
    train = params["train"]
    models = [f"{name} ({model['net']} at {model['input_size']} px)" for name, model in params["models"].items()]
    return (
        f"{', '.join(models)}, each on the arms {', '.join(params['arms'])}, {train['replicates']} times for "
        f"{train['num_steps']} steps, images of {params['data']['image_size']} px."
    )


def _source_path(path: Path, root: Path) -> str:
    """The path in params.yaml: relative to the project where it lies in it."""
    inside = path.resolve().is_relative_to(root.resolve())
    return os.path.relpath(path, root) if inside else str(path.resolve())


def _check_replaceable(root: Path, *, force: bool) -> None:
    try:
        git(root, "rev-parse", "--git-dir", LC_ALL="C")
    except TouchstoneError as error:
        if "not a git repository" not in str(error):
            raise
        raise TouchstoneError("this folder is in no git repository, which DVC needs; run `git init`") from None
    if force or not (root / PARAMS).is_file() or is_unchanged(root):
        return
    if git(root, "status", "--porcelain", "--", str(PARAMS)).strip():
        raise TouchstoneError(
            f"{PARAMS} has changes that are not committed; commit them, or give --force to replace it"
        )


def _parent_of_table(path: str) -> Path | None:
    """Return the folder of a table that is given alone, which is read with it; None for other paths."""
    own = Path(path)
    return own.resolve().parent if own.suffix.lower() in TABLES and own.is_file() else None


def _check_apart(root: Path, path: str) -> None:
    """Raise TouchstoneError where the images' folder holds the project: DVC watches it, and results would change it."""
    folder = _parent_of_table(path) or Path(path)
    if not is_remote(path) and root.resolve().is_relative_to(folder.resolve()):
        raise TouchstoneError(f"{path}: its folder holds this project; put the images into data/external, or beside it")


def _check(seen: Seen, path: str) -> None:
    if not len(seen.heights):
        raise TouchstoneError(f"{path}: none of {seen.num_tried} images can be read; the first: {seen.unreadable[0]}")
    label, number = seen.fewest
    least = LEAST_TRAINING if seen.splits.get("test") else LEAST
    if number < least and not seen.multi_label:
        raise TouchstoneError(
            f"{path}: class {label} has {count(number, 'different image')} to train and validate with; add some, or "
            f"remove the class, since a study needs {least} at least"
        )
    if len(seen.classes) < 2:
        raise TouchstoneError(
            f"{path}: {count(len(seen.classes), 'class', 'classes')}; a classifier needs at least two"
        )


def _write(root: Path, proposal: Proposal) -> None:
    new = root / ".params.yaml.new"
    content = yaml.safe_dump(proposal.params, sort_keys=False, allow_unicode=True, width=100)
    new.write_text(HEADER + content, encoding="utf-8")
    new.replace(root / PARAMS)


def _expected(seen: Seen, settings: Settings) -> Counts:
    """The numbers of images after the splits by the settings."""
    data = settings.data
    of = numbers(seen, test=data.test_fraction, val=data.val_fraction, fold=data.fold)
    return _counts(of["train"], of["val"], of["test"], seen.splits.get(UNLABELLED, 0), settings)


def _prepared(settings: Settings) -> tuple[Counts, int, bool, float]:
    import json

    folder = Path("data/prepared")
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        sizes = [len(read_table(folder / split)) for split in (*LABELLED, UNLABELLED)]
    except (OSError, ValueError) as error:
        raise TouchstoneError(f"{folder}: {error}; run `touchstone repro prepare`") from error
    train, val, test, unlabelled = sizes
    counts = _counts(train // max(1, settings.train.num_draws), val, test, unlabelled, settings)
    return counts, len(meta["classes"]), bool(meta.get("multi_label")), 0.0


def _counts(pool: int, val: int, test: int, unlabelled: int, settings: Settings) -> Counts:
    train = min(pool, settings.data.train_size) if settings.data.train_size else pool
    return Counts(train, min(pool, train * settings.train.num_draws), val, test, unlabelled)
