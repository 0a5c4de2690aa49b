import numpy as np
import pytest

from touchstone.compare import Verdict, paired_bootstrap


def answers(rates: list[float], n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(n) < rate for rate in rates])


def compare(run: np.ndarray, baseline: np.ndarray, **changes) -> Verdict:
    return paired_bootstrap(run, baseline, **({"num_resamples": 4000, "confidence": 0.95, "seed": 0} | changes))


def test_it_equals_a_plain_loop_over_seeds_and_items() -> None:
    run, baseline = answers([0.8, 0.75, 0.82], 400, 0), answers([0.7, 0.72, 0.71], 400, 1)
    rng = np.random.default_rng(9)
    gains = []
    for _ in range(10000):
        items = rng.integers(0, 400, 400)
        seeds = rng.integers(0, 3, 2)  # one less than there are
        gains.append(run[np.ix_(seeds, items)].mean() - baseline[np.ix_(seeds, items)].mean())
    low, high = np.quantile(gains, [0.025, 0.975])
    found = compare(run, baseline, num_resamples=10000)
    assert found.gain == pytest.approx(run.mean() - baseline.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def test_the_verdict_follows_the_interval() -> None:
    better, same = answers([0.9] * 3, 1000, 2), answers([0.8] * 3, 1000, 3)
    assert compare(better, same).word == "helps"
    assert compare(same, better).word == "hurts"
    assert compare(same, same).word == "inconclusive"
    assert compare(same, same) == Verdict(0.0, 0.0, 0.0)


def test_one_seed_and_wider_confidence() -> None:
    run, baseline = answers([0.8], 300, 4), answers([0.78], 300, 5)
    narrow, wide = compare(run, baseline, confidence=0.8), compare(run, baseline, confidence=0.99)
    assert wide.low < narrow.low < narrow.gain < narrow.high < wide.high


def test_the_same_seed_gives_the_same_interval_and_shapes_must_agree() -> None:
    run, baseline = answers([0.8, 0.7], 90, 6), answers([0.7, 0.7], 90, 7)
    assert compare(run, baseline) == compare(run, baseline)
    with pytest.raises(ValueError, match=r"got \(1, 90\), expected the baseline's \(2, 90\)"):
        compare(run[:1], baseline)


def test_seeds_that_disagree_widen_the_interval() -> None:
    baseline = np.zeros((3, 400), bool)
    steady = answers([0.1] * 3, 400, 8)
    unsteady = answers([0.0, 0.1, 0.2], 400, 8)
    width = lambda found: found.high - found.low  # noqa: E731
    assert width(compare(unsteady, baseline)) > 2 * width(compare(steady, baseline))
