"""Counts how often verdicts are right on real nets: studies without any effect, drawn from many seeds of one run.

    dvc exp run -S train.replicates=60 -S train.vary=seed train@lenet-real predict@lenet-real
    python benchmarks/real_seeds.py lenet-real --draws 2000

Every study is a baseline and some arms of a few seeds each, all drawn from the seeds of one run without replacement, on
test images drawn with replacement; so nothing is true but chance. false: the share of studies with any verdict.
coverage: the share of 95 % intervals of the first arm, alone, that hold 0; half-width: that of these intervals, in
points. found: the share of studies in which the first arm helps, where as many of its wrong answers, at random, are
made right as give it a gain of GAIN. odd: what is unlike in the last rows: wrong answers at random are made right, or
right ones wrong, so that the seeds of the first arm or of the baseline vary by UNSTEADY more, or that one seed in ten
loses LOST. Figures: docs/evidence.md.
"""

import argparse
from functools import partial
from pathlib import Path

from touchstone.data.imageset import class_indices, read_table  # before NumPy, whose arithmetic touchstone ties
from touchstone.evaluation.compare import HELPS, INCONCLUSIVE, TOO_FEW, compare_paired, judge, paired_accuracy

# isort: split
import numpy as np

SEEDS, ARMS, CONFIDENCE, GAIN = (2, 3, 5, 10), (1, 2, 5, 8), 0.95, 0.02
UNSTEADY, LOST, FAILS = 0.03, 0.05, 0.1
ODD = ("arm unsteady", "baseline unsteady", "one seed in ten fails")


def shifted(rng: np.random.Generator, right: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The answers, bool (S, N), with as many changed at random as shift the accuracy of each seed by `by`, (S,)."""
    changed = np.where(by[:, None] > 0, ~right, right)  # the answers that may change
    share = np.abs(by) / np.maximum(changed.mean(1), np.abs(by) + 1e-9)
    return right ^ (changed & (rng.random(right.shape) < share[:, None]))


def study(
    rng: np.random.Generator, right: np.ndarray, *, num_seeds: int, num_arms: int, gain: float = 0.0, odd: str = ""
) -> tuple[list[str], tuple[float, float]]:
    """The words of a study's verdicts and the first arm's interval alone. right: bool (all seeds, N)."""
    seeds = rng.permutation(len(right))[: (num_arms + 1) * num_seeds].reshape(num_arms + 1, num_seeds)
    images = rng.integers(right.shape[1], size=right.shape[1])
    shifts = np.zeros(seeds.shape)
    shifts[1] += gain
    if odd == ODD[2]:
        shifts -= LOST * (rng.random(seeds.shape) < FAILS)
    elif odd:
        shifts[1 if odd == ODD[0] else 0] += rng.normal(0, UNSTEADY, num_seeds)
    baseline, *arms = [shifted(rng, right[run][:, images], by) for run, by in zip(seeds, shifts, strict=True)]
    paired = [paired_accuracy(arm, baseline) for arm in arms]
    compared = [compare_paired(one, confidence=CONFIDENCE, pooled_with=paired) for one in paired]
    return [verdict.word for verdict in judge(compared)], (compared[0].low, compared[0].high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="such as lenet-real, with many seeds")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    probs = np.load(arguments.data / f"probs/{arguments.run}/test.npy")
    labels = read_table(arguments.data / "prepared/test")["label"]
    right = probs.argmax(2) == class_indices(labels, sorted(set(labels)))
    sd = 100 * right.mean(1).std(ddof=1)
    print(f"{arguments.run}: {len(right)} seeds, accuracy {right.mean():.1%}, sd {sd:.2f} points over seeds\n")
    print(f"| seeds | arms | odd | false | coverage | half-width, points | found, of {100 * GAIN:g} points |")
    print("| ---: | ---: | :--- | ---: | ---: | ---: | ---: |")
    even = [(seeds, arms, "") for seeds in SEEDS for arms in ARMS]
    for num_seeds, num_arms, odd in [*even, *((seeds, 5, odd) for odd in ODD for seeds in SEEDS[1:])]:
        if (num_arms + 1) * num_seeds > len(right) or (num_seeds == 2 and num_arms == 1):
            continue
        rng = np.random.default_rng([num_seeds, num_arms])
        drawn = partial(study, rng, right, num_seeds=num_seeds, num_arms=num_arms, odd=odd)
        studies = [drawn() for _ in range(arguments.draws)]
        false = np.mean([any(word not in (INCONCLUSIVE, TOO_FEW) for word in words) for words, _ in studies])
        low, high = np.array([interval for _, interval in studies]).T
        covered, width = ((low <= 0) & (high >= 0)).mean(), 50 * (high - low).mean()
        found = np.mean([drawn(gain=GAIN)[0][0] == HELPS for _ in range(arguments.draws // 4)])
        shares = f"{false:.1%} | {covered:.1%} | {width:.2f} | {found:.0%}"
        print(f"| {num_seeds} | {num_arms} | {odd} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
