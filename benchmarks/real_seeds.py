"""How often verdicts are right on real nets: studies without any effect, drawn from many seeds of one run.

    dvc exp run -S train.replicates=60 train@lenet-real predict@lenet-real
    python benchmarks/real_seeds.py lenet-real --draws 2000

Every study is a baseline and some arms of a few seeds each, all drawn from the seeds of one run without replacement, on
test images drawn with replacement; so nothing is true but chance. false: the share of studies with any verdict.
coverage: the share of simultaneous intervals that hold 0. half-width: of the first arm's interval, in points. found:
the share of studies in which the first arm helps, where as many of its wrong answers, at random, are made right as give
it a gain of GAIN. Figures: docs/evidence.md.
"""

import argparse
from pathlib import Path

from touchstone.data.imageset import class_indices, read_table  # before NumPy, whose arithmetic touchstone ties
from touchstone.evaluation.compare import HELPS, INCONCLUSIVE, TOO_FEW, compare_paired, judge, paired_accuracy

# isort: split
import numpy as np

SEEDS, ARMS, CONFIDENCE, GAIN = (2, 3, 5, 10), (1, 2, 5, 8), 0.95, 0.02


def study(
    rng: np.random.Generator, right: np.ndarray, *, num_seeds: int, num_arms: int, gain: float = 0.0
) -> tuple[list[str], np.ndarray]:
    """The words of a study's verdicts and its intervals (arms, 2). right: bool (all seeds, N)."""
    seeds = rng.permutation(len(right))[: (num_arms + 1) * num_seeds].reshape(num_arms + 1, num_seeds)
    images = rng.integers(right.shape[1], size=right.shape[1])
    answers = right[seeds][:, :, images]
    wrong = ~answers[1]
    answers[1] |= wrong & (rng.random(wrong.shape) < gain / max(wrong.mean(), gain))
    paired = [paired_accuracy(arm, answers[0]) for arm in answers[1:]]
    compared = [compare_paired(one, confidence=CONFIDENCE, pooled_with=paired) for one in paired]
    verdicts = judge(compared)
    return [verdict.word for verdict in verdicts], np.array([(verdict.low, verdict.high) for verdict in verdicts])


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
    print(f"| seeds | arms | false | coverage | half-width, points | found, of {100 * GAIN:g} points |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for num_seeds in SEEDS:
        for num_arms in ARMS:
            if (num_arms + 1) * num_seeds > len(right) or (num_seeds == 2 and num_arms == 1):
                continue
            rng = np.random.default_rng([num_seeds, num_arms])
            sizes = {"num_seeds": num_seeds, "num_arms": num_arms}
            studies = [study(rng, right, **sizes) for _ in range(arguments.draws)]
            false = np.mean([any(word not in (INCONCLUSIVE, TOO_FEW) for word in words) for words, _ in studies])
            ends = np.array([intervals for _, intervals in studies])  # (draws, arms, 2)
            covered = ((ends[..., 0] <= 0) & (ends[..., 1] >= 0)).mean()
            width = 50 * (ends[:, 0, 1] - ends[:, 0, 0]).mean()
            found = np.mean([study(rng, right, **sizes, gain=GAIN)[0][0] == HELPS for _ in range(arguments.draws // 4)])
            print(f"| {num_seeds} | {num_arms} | {false:.1%} | {covered:.1%} | {width:.2f} | {found:.0%} |", flush=True)


if __name__ == "__main__":
    main()
