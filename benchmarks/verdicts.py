"""How often verdicts are right, in simulated studies with a known truth.

    python benchmarks/verdicts.py --studies 1000 --jobs 2

Each study has a baseline and five arms with an average accuracy of .8; the accuracies vary by SD from seed to seed, and
images are hard or easy for all runs alike. coverage: the share of 95 % intervals that hold the true gain of 2 points of
a sixth arm. half-width: that of these intervals, in points. false: the share of studies without any effect in which at
least one of the five arms helps or hurts, by Holm's adjustment and the interval together. alone: by the interval only.
In the rows of one unsteady arm, the sixth arm and one of the five vary by UNSTEADY from seed to seed. The table is in
docs/evidence.md; it takes about 20 minutes on two cores, half of them for the rows of 10 seeds.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from scipy import stats

from touchstone.evaluation.compare import compare_paired, holm, paired_bootstrap

RATE, GAIN, SD, SHARED, NUM_ARMS, ALPHA = 0.8, 0.02, 0.008, 0.8, 5, 0.05
SEEDS, IMAGES = (3, 5, 10), (200, 1000, 10000)
UNSTEADY, UNSTEADY_CELLS = 0.03, ((3, 1000), (3, 10000), (5, 10000))


def study(
    number: int, *, num_seeds: int, num_images: int, num_resamples: int, odd_sd: float = SD
) -> tuple[bool, float, bool, bool]:
    """Whether the interval holds the true gain, its half-width, whether a verdict is false with Holm, and without."""
    rng = np.random.default_rng([number, num_seeds, num_images])
    hardness = np.sqrt(SHARED) * rng.normal(size=num_images)

    def answers(rate: float, sd: float = SD) -> np.ndarray:
        limit = stats.norm.ppf(rate + rng.normal(0, sd, (num_seeds, 1)))
        return hardness + np.sqrt(1 - SHARED) * rng.normal(size=(num_seeds, num_images)) < limit

    baseline = answers(RATE)
    paired = [
        paired_bootstrap(
            answers(RATE + gain, odd_sd if i < 2 else SD), baseline, num_resamples=num_resamples, seed=number
        )
        for i, gain in enumerate((GAIN, *[0] * NUM_ARMS))
    ]
    better = compare_paired(paired[0], confidence=1 - ALPHA, pooled_with=[paired[0], *paired[2:]])
    others = [compare_paired(arm, confidence=1 - ALPHA, pooled_with=paired[1:]) for arm in paired[1:]]
    significant = [arm.verdict != "inconclusive" for arm in others]
    adjusted = holm([arm.p_value for arm in others])
    false = any(alone and p <= ALPHA for alone, p in zip(significant, adjusted, strict=True))
    return better.low <= GAIN <= better.high, (better.high - better.low) / 2, false, any(significant)


def cell(
    num_seeds: int, num_images: int, *, studies: int, num_resamples: int, jobs: int, odd_sd: float = SD
) -> list[float]:
    """Coverage, half-width in points, the shares of studies with false verdicts: with Holm, by intervals alone."""
    simulated = partial(study, num_seeds=num_seeds, num_images=num_images, num_resamples=num_resamples, odd_sd=odd_sd)
    if jobs == 1:
        outcomes = np.array([simulated(number) for number in range(studies)], float)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            outcomes = np.array(list(pool.map(simulated, range(studies), chunksize=10)), float)
    return (outcomes.mean(0) * [1, 100, 1, 1]).tolist()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    print("| seeds | test images | coverage | half-width, points | false, of 5 arms | alone |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    cells = [(num_seeds, num_images, SD) for num_seeds in SEEDS for num_images in IMAGES]
    cells += [(num_seeds, num_images, UNSTEADY) for num_seeds, num_images in UNSTEADY_CELLS]
    for num_seeds, num_images, odd_sd in cells:
        sizes = {"studies": arguments.studies, "num_resamples": arguments.resamples, "jobs": arguments.jobs}
        coverage, width, false, alone = cell(num_seeds, num_images, odd_sd=odd_sd, **sizes)
        name = f"{num_seeds}, one arm unsteady" if odd_sd != SD else f"{num_seeds}"
        print(f"| {name} | {num_images:,} | {coverage:.1%} | {width:.2f} | {false:.1%} | {alone:.1%} |", flush=True)


if __name__ == "__main__":
    main()
