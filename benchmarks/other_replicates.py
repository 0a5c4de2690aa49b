"""Counts how often a study with other replicates of the same kind says another word, on real nets.

    dvc exp run -S train.replicates=10 -S data.train_size=100 predict
    python benchmarks/other_replicates.py

The replicates of a pipeline are divided into two studies of equal size, in every way or in `--draws` random ways, and
both studies judge every arm of every model as `evaluate` does, without ensembles. differ: the share of (arm, model,
division) in which the two words differ. against: the share in which one says helps and the other hurts. Figures:
docs/evidence.md.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path

from touchstone.config.load import load
from touchstone.data.imageset import read_table  # before NumPy, whose arithmetic touchstone ties
from touchstone.data.labels import encode
from touchstone.evaluation.evaluate import evaluate
from touchstone.evaluation.measures import measure
from touchstone.evaluation.probs import load_probs
from touchstone.evaluation.results import results

# isort: split
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    settings = load().model_copy(update={"ensembles": {}})
    prepared = arguments.data / "prepared"
    labels = encode(read_table(prepared / "test"), json.loads((prepared / "meta.json").read_text()))
    overlap = json.loads((prepared / "findings/summary.json").read_text()).get("overlap", 0.0)
    probs = load_probs(arguments.data / "probs", settings.runs, "test")
    number = len(next(iter(probs.values())))
    half, rng = number // 2, np.random.default_rng(0)
    ways = [first for first in combinations(range(number), half) if 0 in first]
    chosen = [ways[k] for k in sorted(rng.permutation(len(ways))[: arguments.draws])]
    judge = measure(labels, settings.compare, seed=settings.seed, overlap=overlap, own_images=True)

    def words(rows: list[int]) -> dict[str, str]:
        """Run -> its verdict, from these replicates alone."""
        part = {name: each[rows] for name, each in probs.items()}
        never: dict[str, dict[str, str]] = {name: {} for name in settings.runs}
        rows_of_metrics = evaluate(results(settings, part, {}, labels[:0], never, measure=judge), judge)
        return {name: str(row["verdict"]) for name, row in rows_of_metrics.items() if "verdict" in row}

    pairs = []
    for first in chosen:
        others = [k for k in range(number) if k not in first][:half]
        pairs.append((words(list(first)), words(others)))
    print(f"{number} replicates, {len(chosen)} divisions into two studies of {half}\n")
    print("| run | gain of all, points | helps | hurts | words differ | helps against hurts |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: |")
    whole = evaluate(results(settings, probs, {}, labels[:0], {n: {} for n in settings.runs}, measure=judge), judge)
    total = []
    for name in pairs[0][0]:
        said = [(one[name], other[name]) for one, other in pairs]
        each = [word for both in said for word in both]
        differ = [a != b for a, b in said]
        against = [{a, b} == {"helps", "hurts"} for a, b in said]
        total.append((np.mean(differ), np.mean(against)))
        shares = " | ".join(f"{each.count(word) / len(each):.0%}" for word in ("helps", "hurts"))
        gain = 100 * float(whole[name]["gain"])
        print(f"| {name} | {gain:+.2f} | {shares} | {np.mean(differ):.1%} | {np.mean(against):.1%} |")
    differ, against = np.mean(total, axis=0)
    print(f"| all | | | | {differ:.1%} | {against:.1%} |")


if __name__ == "__main__":
    main()
