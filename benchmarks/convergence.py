"""Counts how often flat noisy curves of the validation loss get a false word, and a planted course is found.

    python benchmarks/convergence.py --curves 1000

Every seed's loss falls steeply at first, has a level of its own (sd 10 %), and a noise of so much a validation, white
or correlated by .7 from one validation to the next. false: the share of flat curves that are called overfitted or still
falling. overfitted: the share that are where the loss rises by 32 % over the last 70 % of the training, at a noise of
4 %. falling: the share that are still falling where it falls by 8 % a tenth, at a noise of 2 %. Each run is alone, so
no variance is pooled.
"""

import argparse

import numpy as np
import pandas as pd

from touchstone.evaluation.convergence import OVERFITTED, STILL_FALLING, course_of, word

RISE, FALL, LEVEL_SD, CORRELATION = 0.4, 0.8, 0.1, 0.7


def curve(
    shape: str, rng: np.random.Generator, *, num_seeds: int, num_steps: int, noise: float, correlation: float = 0.0
) -> pd.DataFrame:
    """Losses, step x seed. shape: flat, rising or falling."""
    x = np.linspace(0, 1, num_steps + 1)[1:]
    late = {"flat": 0 * x, "rising": RISE * np.maximum(0, x - 0.3), "falling": -FALL * x}[shape]
    wobble = rng.normal(0, noise, (num_steps, num_seeds))
    for t in range(1, num_steps):
        wobble[t] = correlation * wobble[t - 1] + np.sqrt(1 - correlation**2) * wobble[t]
    logs = np.log(0.4) + 3 * np.exp(-30 * x) + late
    return pd.DataFrame(np.exp(logs[:, None] + rng.normal(0, LEVEL_SD, num_seeds) + wobble), index=range(1, len(x) + 1))


def share(words: tuple[str, ...], shape: str, *, curves: int, **size: float) -> float:
    """The share of curves of a shape that get one of the words."""
    rng = np.random.default_rng(0)
    courses = (course_of(curve(shape, rng, **size)) for _ in range(curves))  # type: ignore[arg-type]
    return float(np.mean([course is not None and word(course, [course]) in words for course in courses]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=1000)
    curves = parser.parse_args().curves
    any_word = (OVERFITTED, STILL_FALLING)
    print("| seeds | validations | false, noise 3 % | noise 10 % | correlated, 3 % | 10 % | overfitted | falling |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for num_seeds in (1, 2, 3, 5, 10):
        for num_steps in (10, 30, 100):
            size = {"num_seeds": num_seeds, "num_steps": num_steps, "curves": curves}
            cells = [
                share(any_word, "flat", noise=noise, correlation=correlation, **size)
                for correlation in (0.0, CORRELATION)
                for noise in (0.03, 0.1)
            ]
            cells.append(share((OVERFITTED,), "rising", noise=0.04, **size))
            cells.append(share((STILL_FALLING,), "falling", noise=0.02, **size))
            print(f"| {num_seeds} | {num_steps} | {' | '.join(f'{cell:.1%}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
