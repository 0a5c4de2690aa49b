"""The audit of one added set: its likeness to real images, its labels, its copies; as figures, a table, a gallery."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits

from touchstone.audit.copying import copying
from touchstone.audit.features import Features
from touchstone.audit.pairs import Calibration, Copies, Matches, calibrate, closest, find_copies
from touchstone.audit.quality import quality
from touchstone.audit.verdicts import verdict
from touchstone.config.schema.audit import Audit
from touchstone.data.sheets import gallery
from touchstone.seeds import derive

DIGITS = 4  # of the figures


@dataclass(frozen=True)
class RealImages:
    """The images that every added set is compared with."""

    train: Features
    test: Features
    near_train: Calibration
    """What counts as near a training image, learnt from test images."""
    near_test: Calibration
    """What counts as near a test image, learnt from training images."""


@dataclass(frozen=True)
class SetAudit:
    """What the audit says about one added set."""

    figures: dict[str, float | int | str]
    """Flat, for metrics/audit.json."""
    pairs: pd.DataFrame
    """One row per pair that is a copy or among the closest."""
    gallery: Image.Image
    """The closest pairs: an image of the set and the training image beside it."""


@threadpool_limits.wrap(limits=1)
def real_images(train: Features, test: Features, *, settings: Audit) -> RealImages:
    """Learn what is near among real images."""
    seed = derive(settings.seed, "near")
    return RealImages(
        train,
        test,
        near_train=calibrate(test.images, train.images, seed=seed),
        near_test=calibrate(train.images, test.images, seed=seed),
    )


@threadpool_limits.wrap(limits=1)
def audit(added: Features, real: RealImages, *, settings: Audit) -> SetAudit:
    """Audit one added set. The test images serve this alone: nothing is chosen by it.

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
        **{key: value for name, copies in against.items() for key, value in _counts(name, copies).items()},
    }
    pairs = pd.concat(
        [
            _pairs(name, against[name], added.ids, originals.ids, settings.pairs)
            for name, originals in (("training", real.train), ("test", real.test))
        ],
        ignore_index=True,
    )
    picture = _gallery(added, real.train, against["training"].matches, settings.pairs)
    return SetAudit({key: rounded(value) for key, value in figures.items()}, pairs, picture)


def _quality(added: Features, real: RealImages, settings: Audit) -> dict[str, Any]:
    """`frechet`, `frechet_sd`, `frechet_floor`, `frechet_floor_sd` and so on for each of the figures."""
    measured = quality(
        added,
        real.train,
        real.test,
        seed=settings.seed,
        num_draws=settings.num_draws,
        neighbours=settings.neighbours,
    )
    parts = {
        "": measured.generated,
        "_sd": measured.generated_std,
        "_floor": measured.floor,
        "_floor_sd": measured.floor_std,
    }
    return {"num_matched": measured.num_images} | {
        f"{key}{end}": value for end, part in parts.items() for key, value in asdict(part).items()
    }


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
    """Copies and the closest pairs, the closest first. distance: root mean square of grey levels, aligned."""
    matches = copies.matches
    shown = np.union1d(np.flatnonzero(matches.exact | copies.near), closest(matches, count=count))
    rows = shown[np.argsort(matches.distance[shown], kind="stable")]
    kind = np.where(matches.exact, "exact", np.where(copies.near, "near", ""))
    return pd.DataFrame(
        {
            "of": name,
            "id": [ids[row] for row in rows],
            "known_id": [original_ids[matches.row[row]] for row in rows],
            "copy": kind[rows],
            "mirrored": matches.mirrored[rows],
            "distance": matches.distance[rows].round(2),
            "ratio": matches.ratio[rows].round(3),
        }
    )


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
