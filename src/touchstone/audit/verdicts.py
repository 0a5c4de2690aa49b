"""The verdict on each added set, with its reasons, from copies by pixels and nearness in features.

Generated sets: `leak` (copies of test images, or groups of held-out ones), `copies` (of training images), `nearer` (to
training images than unseen images are) or `no copying found`. Sets that are made of training images by design, such as
turned ones, are searched for copies of test images alone: `leak` or `no leak found`. All tests of the generated sets
are one family, adjusted by Holm; those of the derived sets are another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, fisher_exact

from touchstone.audit.groups import SharedGroups
from touchstone.audit.nearness import Nearness
from touchstone.audit.pairs import Copies
from touchstone.evaluation.compare import holm

COPIES, NEARER, NO_COPYING = "copies", "nearer", "no copying found"
LEAK, NO_LEAK = "leak", "no leak found"
LEVEL = 0.05  # of false verdicts in a family


@dataclass(frozen=True)
class Evidence:
    """The copies that the search found in a set, and how near the set lies to the training images."""

    against: Mapping[str, Copies]
    """The copies of these images: of `training`, for generated sets, and of `test`."""
    nearness: Nearness | None = None
    """None for derived sets."""
    groups: SharedGroups | None = None
    """None for sets whose images have no groups."""

    def p_values(self) -> dict[str, float]:
        """The p-values of `near_training`, `near_test` and `nearness`, of those that were tested."""
        found = {f"near_{name}": _p_of_near(copies) for name, copies in self.against.items()}
        if self.nearness is not None and not math.isnan(self.nearness.p):
            found["nearness"] = self.nearness.p
        return found


@dataclass(frozen=True)
class Verdict:
    """A word and its reasons, a sentence each."""

    word: str
    reasons: list[str]
    p_values: dict[str, float]
    """The p-values of the evidence, adjusted by Holm."""


def judge(sets: Mapping[str, Evidence]) -> dict[str, Verdict]:
    """Judge generated sets, or derived ones, as one family.

    A set holds copies where any is exact, or where its share of near ones is above that of real images against the same
    originals (Fisher's exact test, one-sided). Otherwise it is nearer where its nearness is significant. A reason that
    decides stands alone with others that would; without one, all that was looked for is listed. Copies of test images
    are a leak, whatever else is copied, and so are images of a group that is held out.
    """
    plain = {(name, test): p for name, evidence in sets.items() for test, p in evidence.p_values().items()}
    adjusted = dict(zip(plain, holm(list(plain.values())), strict=True))
    return {
        name: _verdict(evidence, {test: adjusted[name, test] for test in evidence.p_values()})
        for name, evidence in sets.items()
    }


def upper_bound(found: int, count: int) -> float:
    """The 95 % one-sided upper bound of a share (Clopper & Pearson 1934), such as .005 for 0 of 600; NaN for 0 of 0."""
    if not count:
        return math.nan
    return 1.0 if found == count else float(beta.ppf(0.95, found + 1, count - found))


def num_found(copies: Copies) -> int:
    """The number of exact and near copies."""
    return int((copies.matches.exact | copies.near).sum())


def _p_of_near(copies: Copies) -> float:
    near, count = int(copies.near.sum()), len(copies.near)
    num_near, num_real = copies.calibration.num_near, copies.calibration.num_real
    table = [[near, count - near], [num_near, num_real - num_near]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _verdict(evidence: Evidence, p_values: dict[str, float]) -> Verdict:
    copied: list[str] = []
    notes: list[str] = []
    leaks = False
    for name, copies in evidence.against.items():
        exact = int(copies.matches.exact.sum())
        noun = "exact copy" if exact == 1 else "exact copies"
        (copied if exact else notes).append(f"{exact or 'No'} {noun} of {name} images among {len(copies.near)}.")
        p = p_values[f"near_{name}"]
        leaks |= name == "test" and (exact > 0 or p <= LEVEL)
        (copied if p <= LEVEL else notes).append(_near(name, copies, p))
    if evidence.nearness is None:
        return Verdict(LEAK if leaks else NO_LEAK, copied or notes, p_values)
    if evidence.groups is not None:
        leaks |= evidence.groups.is_leak
        (copied if evidence.groups.is_leak else notes).extend(evidence.groups.reasons)
    sentence = _nearer(evidence.nearness, p_values.get("nearness", math.nan))
    is_nearer = p_values.get("nearness", 1) <= LEVEL
    if copied:
        return Verdict(LEAK if leaks else COPIES, [*copied, sentence] if is_nearer else copied, p_values)
    if is_nearer:
        return Verdict(NEARER, [sentence, *notes], p_values)
    return Verdict(NO_COPYING, [*notes, sentence, *_bound(evidence.against["training"])], p_values)


def _near(name: str, copies: Copies, p: float) -> str:
    calibration = copies.calibration
    return (
        f"{int(copies.near.sum())} of {len(copies.near)} images are near copies of {name} images, against "
        f"{calibration.num_near} of {calibration.num_real} real images (p = {p:.2g})."
    )


def _nearer(found: Nearness, p: float) -> str:
    if math.isnan(p):
        return "There are too few images to tell whether they lie nearer to training images than unseen images do."
    return (
        f"{100 * found.nearer:.0f} % of the images lie nearer to a training image than to any of as many unseen ones; "
        f"their distances are {found.z:.1f} standard deviations from the mean of honest splits (p = {p:.2g})."
    )


def _bound(copies: Copies) -> list[str]:
    """Return a sentence with the largest share of copies that the search leaves possible, or nothing."""
    bound = upper_bound(num_found(copies), len(copies.near))
    if np.isnan(bound):
        return []
    return [f"With 95 % confidence, the search would find copies in fewer than {100 * bound:.1f} % of such images."]
