"""The audit of added sets: likeness and copies of generated ones, test images among those made by design, verdicts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits

from touchstone.audit.copying import copying
from touchstone.audit.features import Features
from touchstone.audit.nearness import Nearness, nearness
from touchstone.audit.pairs import Calibration, Copies, Matches, calibrate, closest, find_copies, recall
from touchstone.audit.quality import quality
from touchstone.audit.verdicts import Evidence, judge, num_found, upper_bound
from touchstone.config.schema.audit import Audit
from touchstone.data.sheets import gallery, spread
from touchstone.seeds import derive

DIGITS = 4  # of the figures
STRIP = 8  # generated images shown beside their neighbours


@dataclass(frozen=True)
class RealImages:
    """The images that every added set is compared with."""

    train: Features
    test: Features
    settings: Audit

    @cached_property
    def near_train(self) -> Calibration:
        """The limit for near copies of training images, learnt from test images."""
        return calibrate(self.test.images, self.train.images, seed=derive(self.settings.seed, "near"))

    @cached_property
    def near_test(self) -> Calibration:
        """The limit for near copies of test images, learnt from training images."""
        return calibrate(self.train.images, self.test.images, seed=derive(self.settings.seed, "near"))

    @threadpool_limits.wrap(limits=1)
    def recall(self) -> dict[str, float]:
        """The share of planted copies of training images that the search finds, by kind."""
        found = recall(self.train.images, self.near_train, seed=self.settings.seed)
        return {f"recall_{kind}": rounded(share) for kind, share in found.items()}


@dataclass(frozen=True)
class SetAudit:
    """The audit of one added set, without the verdict."""

    figures: dict[str, Any]
    """Flat, for metrics/audit.json."""
    evidence: Evidence
    pairs: pd.DataFrame
    """One row per pair that is a copy or among the closest."""
    gallery: Image.Image
    """The closest pairs: an image of the set and the real image beside it."""
    strip: Image.Image | None = None
    """Some generated images and, beneath each, the training image nearest to it in the features."""


@threadpool_limits.wrap(limits=1)
def audit_generated(added: Features, real: RealImages) -> SetAudit:
    """Audit a generated set. Nothing is chosen by the audit, so it may use the test images.

    It runs in one thread: the matrices are small, and threads that wait for one another take ten times as long.
    """
    settings = real.settings
    against = {
        "training": find_copies(added.images, real.train.images, real.near_train),
        "test": find_copies(added.images, real.test.images, real.near_test),
    }
    near = nearness(added, real.train, real.test, seed=settings.seed, num_splits=settings.num_splits)
    figures = {
        "num_images": len(added.ids),
        "label_agreement": added.agreement,
        "label_agreement_floor": real.test.agreement,
        **_quality(added, real),
        **asdict(copying(added, real.train, real.test, seed=settings.seed)),
        **_named(near),
        **_counts("training", against["training"]),
        **_counts("test", against["test"]),
        "copies_bound": upper_bound(num_found(against["training"]), len(added.ids)),
    }
    tables = [
        _pairs("training", against["training"], added.ids, real.train.ids, settings.pairs),
        _pairs("test", against["test"], added.ids, real.test.ids, settings.pairs),
    ]
    picture = _gallery("training", added, real.train, against["training"].matches, settings.pairs)
    return SetAudit(
        figures, Evidence(against, near), pd.concat(tables, ignore_index=True), picture, _strip(added, real.train)
    )


@threadpool_limits.wrap(limits=1)
def audit_derived(added: Features, real: RealImages) -> SetAudit:
    """Audit a set that is made of training images by design: search it for copies of test images alone."""
    copies = find_copies(added.images, real.test.images, real.near_test)
    count = real.settings.pairs
    return SetAudit(
        {"num_images": len(added.ids), **_counts("test", copies)},
        Evidence({"test": copies}),
        _pairs("test", copies, added.ids, real.test.ids, count),
        _gallery("test", added, real.test, copies.matches, count),
    )


def judged(sets: Mapping[str, SetAudit]) -> dict[str, dict[str, Any]]:
    """The figures of generated sets, or of derived ones, with the verdict on each: they are judged as one family."""
    verdicts = judge({name: each.evidence for name, each in sets.items()})
    found = {}
    for name, each in sets.items():
        one = verdicts[name]
        p_values = {f"{test}_p_holm": p for test, p in one.p_values.items()}
        figures = {"verdict": one.word, "reasons": " ".join(one.reasons), **each.figures, **p_values}
        found[name] = {key: rounded(value) for key, value in figures.items()}
    return found


def _named(near: Nearness) -> dict[str, float]:
    return {
        "nearer": near.nearer,
        "nearness": near.lean,
        "nearness_sd": near.lean_sd,
        "nearness_z": near.z,
        "nearness_p": near.p,
    }


def _quality(added: Features, real: RealImages) -> dict[str, Any]:
    """`frechet`, `frechet_sd`, `frechet_floor`, `frechet_floor_sd` and so on for each of the figures."""
    settings = real.settings
    options = {"seed": settings.seed, "num_draws": settings.num_draws, "neighbours": settings.neighbours}
    found = quality(added, real.train, real.test, **options)
    parts = {"": found.generated, "_sd": found.generated_std, "_floor": found.floor, "_floor_sd": found.floor_std}
    named = {f"{key}{end}": value for end, part in parts.items() for key, value in asdict(part).items()}
    return {"num_matched": found.num_images, **named, "frechet_gap": found.gap, "frechet_gap_sd": found.gap_std}


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


def _strip(added: Features, train: Features) -> Image.Image:
    rows = spread([str(label) for label in added.labels], STRIP)
    near = [int(np.square(train.values - added.values[row]).sum(1).argmin()) for row in rows] if len(train.ids) else []
    return gallery(
        [*added.images[rows], *train.images[near]], columns=max(1, len(rows)), beside=list(train.images[near])
    )


def _gallery(name: str, added: Features, real: Features, matches: Matches, count: int) -> Image.Image:
    """Pairs side by side, four a row: the set's image and the image `name`, mirrored where it matches mirrored."""
    tiles, captions = [], []
    for row in closest(matches, count=count):
        twin = np.asarray(real.images[matches.row[row]])
        tiles += [np.asarray(added.images[row]), twin[:, ::-1] if matches.mirrored[row] else twin]
        captions += [f"{matches.distance[row]:.1f}", "mirrored" if matches.mirrored[row] else name]
    return gallery(tiles, captions)


def rounded(value: Any) -> Any:
    """Return a value for JSON: numbers rounded to DIGITS, None for NaN and infinity."""
    if not isinstance(value, float):
        return value
    return round(value, DIGITS) if np.isfinite(value) else None
