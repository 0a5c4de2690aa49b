"""The audit of one addition set: how like real images, how labelled, how copied; figures, a table, a gallery."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits

from touchstone.audit.copying import copying
from touchstone.audit.features import Seen
from touchstone.audit.pairs import Calibration, Copies, Matches, calibrate, closest, find_copies
from touchstone.audit.quality import quality
from touchstone.audit.verdicts import verdict
from touchstone.config.sections import Audit
from touchstone.data.sheets import gallery
from touchstone.seeds import derive

DIGITS = 4  # of the figures


@dataclass(frozen=True)
class Real:
    """The real images, and what is near among them: to training images, to test images."""

    train: Seen
    test: Seen
    near_train: Calibration
    near_test: Calibration


@dataclass(frozen=True)
class Audited:
    """figures: flat, for metrics/audit.json. pairs: a row a pair that is a copy or among the closest. gallery: of the
    closest pairs, an image of the set and the training image beside it."""

    figures: dict[str, float | int | str]
    pairs: pd.DataFrame
    gallery: Image.Image


@threadpool_limits.wrap(limits=1)
def real(train: Seen, test: Seen, *, settings: Audit) -> Real:
    """What every set is held against. Test images tell what is near to training images, and the reverse."""
    seed = derive(settings.seed, "near")
    return Real(
        train,
        test,
        near_train=calibrate(test.images, train.images, seed=seed),
        near_test=calibrate(train.images, test.images, seed=seed),
    )


@threadpool_limits.wrap(limits=1)
def audit(made: Seen, real: Real, *, settings: Audit) -> Audited:
    """Everything about one set. The test images are looked at for this alone: nothing is chosen by it.

    In one thread: the matrices are small, and threads that wait for one another take ten times as long.
    """
    against = {
        "training": find_copies(made.images, real.train.images, real.near_train),
        "test": find_copies(made.images, real.test.images, real.near_test),
    }
    moved = copying(made.features, real.train.features, real.test.features, seed=settings.seed)
    word, reasons = verdict(against, c_t=moved.c_t, c_t_excess=moved.c_t_excess)
    figures = {
        "verdict": word,
        "reasons": " ".join(reasons),
        "num_images": len(made.ids),
        "label_agreement": made.agreement,
        "label_agreement_floor": real.test.agreement,
        **_quality(made, real, settings),
        **asdict(moved),
        **{key: value for name, copies in against.items() for key, value in _counted(name, copies).items()},
    }
    pairs = pd.concat(
        [
            _pairs(name, against[name].matches, against[name].near, made.ids, known.ids, settings.pairs)
            for name, known in (("training", real.train), ("test", real.test))
        ],
        ignore_index=True,
    )
    picture = _gallery(made, real.train, against["training"].matches, settings.pairs)
    return Audited({key: rounded(value) for key, value in figures.items()}, pairs, picture)


def _quality(made: Seen, real: Real, settings: Audit) -> dict[str, Any]:
    """`frechet`, `frechet_sd`, `frechet_floor`, `frechet_floor_sd` and so on for each of the figures."""
    found = quality(
        made.features,
        real.train.features,
        real.test.features,
        seed=settings.seed,
        num_draws=settings.num_draws,
        neighbours=settings.neighbours,
    )
    parts = {"": found.generated, "_sd": found.generated_std, "_floor": found.floor, "_floor_sd": found.floor_std}
    return {"num_matched": found.num_images} | {
        f"{key}{end}": value for end, part in parts.items() for key, value in asdict(part).items()
    }


def _counted(name: str, copies: Copies) -> dict[str, Any]:
    """Copies of the known images `name`: exact, near, of both the mirrored ones; beside the share of real images."""
    found = copies.matches.exact | copies.near
    return {
        f"exact_{name}": int(copies.matches.exact.sum()),
        f"near_{name}": int(copies.near.sum()),
        f"mirrored_{name}": int((found & copies.matches.mirrored).sum()),
        f"near_{name}_share": float(copies.near.mean()) if len(copies.near) else float("nan"),
        f"near_{name}_floor": copies.calibration.found / max(1, copies.calibration.count),
    }


def _pairs(
    name: str, matches: Matches, near: np.ndarray, ids: list[str], known_ids: list[str], count: int
) -> pd.DataFrame:
    """Copies and the closest pairs, the closest first. distance: root mean square of grey levels, aligned."""
    shown = np.union1d(np.flatnonzero(matches.exact | near), closest(matches, count=count))
    rows = shown[np.argsort(matches.distance[shown], kind="stable")]
    kind = np.where(matches.exact, "exact", np.where(near, "near", ""))
    return pd.DataFrame(
        {
            "of": name,
            "id": [ids[row] for row in rows],
            "known_id": [known_ids[matches.row[row]] for row in rows],
            "copy": kind[rows],
            "mirrored": matches.mirrored[rows],
            "distance": matches.distance[rows].round(2),
            "ratio": matches.ratio[rows].round(3),
        }
    )


def _gallery(made: Seen, known: Seen, matches: Matches, count: int) -> Image.Image:
    """Pairs side by side, four a row: the set's image, the training image as it matches (mirrored where that does)."""
    tiles, captions = [], []
    for row in closest(matches, count=count):
        twin = np.asarray(known.images[matches.row[row]])
        tiles += [np.asarray(made.images[row]), twin[:, ::-1] if matches.mirrored[row] else twin]
        captions += [f"{matches.distance[row]:.1f}", "mirrored" if matches.mirrored[row] else "training"]
    return gallery(tiles, captions)


def rounded(value: Any) -> Any:
    """For JSON: numbers to DIGITS, None for what is not a number."""
    if not isinstance(value, float):
        return value
    return round(value, DIGITS) if np.isfinite(value) else None
