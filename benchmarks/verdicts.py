"""Counts how often verdicts are right, in simulated studies with a known truth.

    python benchmarks/verdicts.py --studies 1000 --jobs 2

Each study has a baseline and some arms with an average accuracy of .8; accuracies vary by SD from seed to seed, and
images are hard or easy for all runs alike. It is drawn twice: without any effect, and with a true gain of 2 points of
the first arm. false: the share of studies without effect in which at least one arm helps or hurts. coverage: the share
of 95 % intervals of the first arm, alone, that hold its true gain; half-width: that of these intervals, in points.
found: the share of studies in which the first arm helps, among all arms. odd: what is unlike in the last rows: the
seeds of the first arm or of the baseline vary by UNSTEADY, or one seed in ten loses LOST points.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from scipy import stats

from touchstone.evaluation.compare import HELPS, INCONCLUSIVE, TOO_FEW, compare_paired, judge, paired_accuracy

RATE, GAIN, SD, SHARED, CONFIDENCE = 0.8, 0.02, 0.008, 0.8, 0.95
UNSTEADY, LOST, FAILS = 0.03, 0.05, 0.1
CELLS = [(seeds, images, arms, "") for seeds in (2, 3, 5, 10) for images in (200, 1000, 10000) for arms in (1, 5)]
ODD = [(seeds, 10000, 5, odd) for odd in ("arm", "baseline", "fails") for seeds in (3, 5, 10)]


def study(number: int, *, num_seeds: int, num_images: int, num_arms: int, odd: str) -> tuple[bool, bool, float, bool]:
    """Whether a verdict is false, an interval holds the true gain, its half-width, and whether the gain is found."""
    rng = np.random.default_rng([number, num_seeds, num_images, num_arms])

    def judged(gain: float):  # type: ignore[no-untyped-def]
        hardness = np.sqrt(SHARED) * rng.normal(size=num_images)

        def answers(rate: float, *, unsteady: bool) -> np.ndarray:
            accuracy = rate + rng.normal(0, UNSTEADY if unsteady else SD, (num_seeds, 1))
            if odd == "fails":
                accuracy -= LOST * (rng.random((num_seeds, 1)) < FAILS)
            own = np.sqrt(1 - SHARED) * rng.normal(size=(num_seeds, num_images))
            return hardness + own < stats.norm.ppf(accuracy)

        baseline = answers(RATE, unsteady=odd == "baseline")
        rates = [RATE + gain, *[RATE] * (num_arms - 1)]
        arms = [answers(rate, unsteady=odd == "arm" and i == 0) for i, rate in enumerate(rates)]
        paired = [paired_accuracy(arm, baseline) for arm in arms]
        compared = [compare_paired(one, confidence=CONFIDENCE, pooled_with=paired) for one in paired]
        return compared[0], [verdict.word for verdict in judge(compared)]

    false = any(word not in (INCONCLUSIVE, TOO_FEW) for word in judged(0)[1])
    first, words = judged(GAIN)
    return false, first.low <= GAIN <= first.high, (first.high - first.low) / 2, words[0] == HELPS


def cell(
    num_seeds: int, num_images: int, num_arms: int, odd: str, *, studies: int, jobs: int
) -> tuple[float, float, float, float]:
    """The shares of studies with a false verdict and of intervals that hold the truth, half-width, share found."""
    simulated = partial(study, num_seeds=num_seeds, num_images=num_images, num_arms=num_arms, odd=odd)
    if jobs == 1:
        outcomes = [simulated(number) for number in range(studies)]
    else:
        with ProcessPoolExecutor(jobs) as pool:
            outcomes = list(pool.map(simulated, range(studies), chunksize=10))
    false, covered, width, found = np.mean(np.array(outcomes, float), axis=0).tolist()
    return false, covered, 100 * width, found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    print("| seeds | test images | arms | odd | false | coverage | half-width, points | found |")
    print("| ---: | ---: | ---: | :--- | ---: | ---: | ---: | ---: |")
    for num_seeds, num_images, num_arms, odd in [*CELLS, *ODD]:
        sizes = {"studies": arguments.studies, "jobs": arguments.jobs}
        false, covered, width, found = cell(num_seeds, num_images, num_arms, odd, **sizes)
        shares = f"{false:.1%} | {covered:.1%} | {width:.2f} | {found:.0%}"
        print(f"| {num_seeds} | {num_images:,} | {num_arms} | {odd} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
