"""The audit of an added set: its likeness to real images, its labels, its copies and the verdict, clean or copies."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import fisher_exact
from threadpoolctl import threadpool_limits

from touchstone.audit.copying import copying
from touchstone.audit.features import Features
from touchstone.audit.pairs import Calibration, Copies, Matches, calibrate, closest, find_copies
from touchstone.audit.quality import quality
from touchstone.config.schema.audit import Audit
from touchstone.data.sheets import gallery
from touchstone.seeds import derive

DIGITS = 4  # of the figures
SIGNIFICANT = 0.01  # p of a share of near copies above that of real images
COPYING = -3  # C_T and its excess


@dataclass(frozen=True)
class RealImages:
    """The images that every added set is compared with."""

    train: Features
    test: Features
    near_train: Calibration
    """The limit for near copies of training images, learnt from test images."""
    near_test: Calibration
    """The limit for near copies of test images, learnt from training images."""


@dataclass(frozen=True)
class SetAudit:
    """The audit of one added set."""

    figures: dict[str, float | int | str]
    """Flat, for metrics/audit.json."""
    pairs: pd.DataFrame
    """One row per pair that is a copy or among the closest."""
    gallery: Image.Image
    """The closest pairs: an image of the set and the training image beside it."""


@threadpool_limits.wrap(limits=1)
def real_images(train: Features, test: Features, *, settings: Audit) -> RealImages:
    """Learn from real images how near a near copy is."""
    seed = derive(settings.seed, "near")
    near_train = calibrate(test.images, train.images, seed=seed)
    return RealImages(train, test, near_train, calibrate(train.images, test.images, seed=seed))


@threadpool_limits.wrap(limits=1)
def audit(added: Features, real: RealImages, *, settings: Audit) -> SetAudit:
    """Audit one added set. Nothing is chosen by the audit, so it may use the test images.

    It runs in one thread: the matrices are small, and threads that wait for one another take ten times as long.
    """
    against = {
        "training": find_copies(added.images, real.train.images, real.near_train),
        "test": find_copies(added.images, real.test.images, real.near_test),
    }
    distances = copying(added, real.train, real.test, seed=settings.seed)
    word, reasons = verdict(against, c_t=distances.c_t, c_t_excess=distances.c_t_excess)
    figures = {
        "verdict": word,
        "reasons": " ".join(reasons),
        "num_images": len(added.ids),
        "label_agreement": added.agreement,
        "label_agreement_floor": real.test.agreement,
        **_quality(added, real, settings),
        **asdict(distances),
        **_counts("training", against["training"]),
        **_counts("test", against["test"]),
    }
    tables = [
        _pairs("training", against["training"], added.ids, real.train.ids, settings.pairs),
        _pairs("test", against["test"], added.ids, real.test.ids, settings.pairs),
    ]
    pairs = pd.concat(tables, ignore_index=True)
    picture = _gallery(added, real.train, against["training"].matches, settings.pairs)
    return SetAudit({key: rounded(value) for key, value in figures.items()}, pairs, picture)


def verdict(against: Mapping[str, Copies], *, c_t: float, c_t_excess: float) -> tuple[str, list[str]]:
    """Return "copies" or "clean", and the reasons, a sentence each. against: "training" or "test" -> the copies found.

    A set holds copies where any is exact, or where the share of near ones is above that of real images against the same
    originals (Fisher's exact test, one-sided, p below SIGNIFICANT), or where both C_T and its excess are below COPYING:
    images that are merely more alike than real ones are not copies.
    """
    reasons: list[str] = []
    notes: list[str] = []
    for name, copies in against.items():
        count, exact, near = len(copies.near), int(copies.matches.exact.sum()), int(copies.near.sum())
        noun = "exact copy" if exact == 1 else "exact copies"
        (reasons if exact else notes).append(f"{exact or 'No'} {noun} of {name} images among {count}.")
        num_near, num_real = copies.calibration.num_near, copies.calibration.num_real
        table = [[near, count - near], [num_near, num_real - num_near]]
        p = float(fisher_exact(table, alternative="greater").pvalue)
        against_real = f"{near} of {count} against {num_near} of {num_real} real images (p = {p:.2g})"
        (reasons if p < SIGNIFICANT else notes).append(f"Near copies of {name} images: {against_real}.")
    measured = f"C_T is {c_t:.1f}, {c_t_excess:.1f} of it due to the training images"
    if np.isnan(c_t):
        notes.append("C_T says nothing: there are too few images.")
    elif c_t < COPYING and c_t_excess < COPYING:
        reasons.append(f"{measured}: nearer to them than unseen ones.")
    else:
        notes.append(f"{measured}; copying shows below {COPYING}.")
    return ("copies", reasons) if reasons else ("clean", notes)


def _quality(added: Features, real: RealImages, settings: Audit) -> dict[str, Any]:
    """`frechet`, `frechet_sd`, `frechet_floor`, `frechet_floor_sd` and so on for each of the figures."""
    options = {"seed": settings.seed, "num_draws": settings.num_draws, "neighbours": settings.neighbours}
    found = quality(added, real.train, real.test, **options)
    parts = {"": found.generated, "_sd": found.generated_std, "_floor": found.floor, "_floor_sd": found.floor_std}
    named = {f"{key}{end}": value for end, part in parts.items() for key, value in asdict(part).items()}
    return {"num_matched": found.num_images, **named}


def _counts(name: str, copies: Copies) -> dict[str, Any]:
    """Copies of the images `name`: exact, near, mirrored among both; and the share of near ones among real images."""
    either = copies.matches.exact | copies.near
    return {
        f"exact_{name}": int(copies.matches.exact.sum()),
        f"near_{name}": int(copies.near.sum()),
        f"mirrored_{name}": int((either & copies.matches.mirrored).sum()),
        f"near_{name}_share": float(copies.near.mean()) if len(copies.near) else float("nan"),
        f"near_{name}_floor": copies.calibration.num_near / max(1, copies.calibration.num_real),
    }


def _pairs(name: str, copies: Copies, ids: list[str], original_ids: list[str], count: int) -> pd.DataFrame:
    """Copies and the closest pairs, the closest first."""
    matches = copies.matches
    shown = np.union1d(np.flatnonzero(matches.exact | copies.near), closest(matches, count=count))
    rows = shown[np.argsort(matches.distance[shown], kind="stable")]
    kind = np.where(matches.exact, "exact", np.where(copies.near, "near", ""))
    columns = {
        "of": name,
        "id": [ids[row] for row in rows],
        "known_id": [original_ids[matches.row[row]] for row in rows],
        "copy": kind[rows],
        "mirrored": matches.mirrored[rows],
        "distance": matches.distance[rows].round(2),
        "ratio": matches.ratio[rows].round(3),
    }
    return pd.DataFrame(columns)


def _gallery(added: Features, train: Features, matches: Matches, count: int) -> Image.Image:
    """Pairs side by side, four a row: the set's image and the training image, mirrored where it matches mirrored."""
    tiles, captions = [], []
    for row in closest(matches, count=count):
        twin = np.asarray(train.images[matches.row[row]])
        tiles += [np.asarray(added.images[row]), twin[:, ::-1] if matches.mirrored[row] else twin]
        captions += [f"{matches.distance[row]:.1f}", "mirrored" if matches.mirrored[row] else "training"]
    return gallery(tiles, captions)


def rounded(value: Any) -> Any:
    """Return a value for JSON: numbers rounded to DIGITS, None for NaN and infinity."""
    if not isinstance(value, float):
        return value
    return round(value, DIGITS) if np.isfinite(value) else None
