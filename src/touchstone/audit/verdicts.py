"""The audit's word on a set, clean or copies, and its reasons."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import fisher_exact

from touchstone.audit.pairs import Copies

SIGNIFICANT = 0.01  # p of a share of near copies above that of real images
COPYING = -3  # C_T and its excess


def verdict(against: Mapping[str, Copies], *, c_t: float, c_t_excess: float) -> tuple[str, list[str]]:
    """ "copies" or "clean", and why, a sentence each; `against` names the known images, such as "training", "test".

    Copies: any exact one, or a share of near ones above that of real images against the same known ones (Fisher's
    exact test, one-sided, p below SIGNIFICANT), or C_T below COPYING both as it is and less what it would be
    without anything to copy (`Copying.c_t_excess`): images that are merely more alike than real ones are no copies.
    """
    reasons: list[str] = []
    notes: list[str] = []
    for name, copies in against.items():
        count, exact, near = len(copies.near), int(copies.matches.exact.sum()), int(copies.near.sum())
        real = copies.calibration
        exactly = f"{exact or 'No'} exact {'copy' if exact == 1 else 'copies'} of {name} images among {count}"
        nearly = f"Near copies of {name} images: {near} of {count} against {real.found} of {real.count} real images"
        table = [[near, count - near], [real.found, real.count - real.found]]
        p = float(fisher_exact(table, alternative="greater").pvalue)
        (reasons if exact else notes).append(f"{exactly}.")
        (reasons if p < SIGNIFICANT else notes).append(f"{nearly} (p = {p:.2g}).")
    if np.isnan(c_t):
        notes.append("C_T says nothing: there are too few images.")
    elif c_t < COPYING and c_t_excess < COPYING:
        reasons.append(
            f"C_T is {c_t:.1f}, {c_t_excess:.1f} of it due to the training images: nearer to them than unseen ones."
        )
    else:
        notes.append(
            f"C_T is {c_t:.1f}, {c_t_excess:.1f} of it due to the training images; copying shows below {COPYING}."
        )
    return ("copies", reasons) if reasons else ("clean", notes)
