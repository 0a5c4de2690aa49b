"""The audit's verdict on an added set, clean or copies, and its reasons."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import fisher_exact

from touchstone.audit.pairs import Copies

SIGNIFICANT = 0.01  # p of a share of near copies above that of real images
COPYING = -3  # C_T and its excess


def verdict(against: Mapping[str, Copies], *, c_t: float, c_t_excess: float) -> tuple[str, list[str]]:
    """Return "copies" or "clean", and the reasons, a sentence each; `against`: "training" or "test" -> what was found.

    A set holds copies where any is exact, or where the share of near ones is above that of real images against the same
    originals (Fisher's exact test, one-sided, p below SIGNIFICANT), or where both C_T and its excess over what it would
    be without anything to copy (`Copying.c_t_excess`) are below COPYING: images that are merely more alike than real
    ones are not copies.
    """
    reasons: list[str] = []
    notes: list[str] = []
    for name, copies in against.items():
        count, exact, near = len(copies.near), int(copies.matches.exact.sum()), int(copies.near.sum())
        real = copies.calibration
        exactly = f"{exact or 'No'} exact {'copy' if exact == 1 else 'copies'} of {name} images among {count}"
        nearly = (
            f"Near copies of {name} images: {near} of {count} against {real.num_near} of {real.num_real} real images"
        )
        table = [[near, count - near], [real.num_near, real.num_real - real.num_near]]
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
