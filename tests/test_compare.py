import numpy as np
import pytest
from scipy import stats

from touchstone.compare import Verdict, paired_bootstrap

SLOW = [pytest.param(5, 0.008, marks=pytest.mark.slow), pytest.param(10, 0.008, marks=pytest.mark.slow)]
SEEDS_AND_SD = [(2, 0.007), (3, 0.008), *SLOW]


def answers(rates: list[float], n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(n) < rate for rate in rates])


def compare(run: np.ndarray, baseline: np.ndarray, **changes) -> Verdict:
    return paired_bootstrap(run, baseline, **({"num_resamples": 4000, "confidence": 0.95, "seed": 0} | changes))


def test_it_equals_a_plain_loop_over_seeds_and_items_widened_by_t() -> None:
    run, baseline = answers([0.8, 0.75, 0.82], 400, 0), answers([0.7, 0.72, 0.71], 400, 1)
    rng = np.random.default_rng(9)
    gains, of_items = [], []
    for _ in range(10000):
        items = rng.integers(0, 400, 400)
        seeds = rng.integers(0, 3, 2)  # one less than there are
        gains.append(run[np.ix_(seeds, items)].mean() - baseline[np.ix_(seeds, items)].mean())
        of_items.append(run[:, items].mean() - baseline[:, items].mean())
    gain = run.mean() - baseline.mean()
    items, total = np.var(of_items), np.var(gains)
    freedom = total**2 / ((total - items) ** 2 / 2 + items**2 / 399)
    wider = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    expected = gain + (np.quantile(gains, [0.025, 0.975]) - gain) * wider
    found = compare(run, baseline, num_resamples=10000)
    assert found.gain == pytest.approx(gain)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.01)
    assert 1.05 < wider < 2.2


def test_seeds_that_agree_do_not_widen_the_interval() -> None:
    one, other = answers([0.8], 500, 0), answers([0.7], 500, 1)
    alone, thrice = compare(one, other), compare(np.tile(one, (3, 1)), np.tile(other, (3, 1)))
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high), abs=0.004)


@pytest.mark.parametrize(("num_seeds", "sd"), SEEDS_AND_SD)
def test_without_an_effect_false_verdicts_are_few(num_seeds: int, sd: float) -> None:
    """Two arms of accuracy .9 with this sd over seeds; 5,000 items, some harder than others to all: 200 studies."""
    rng = np.random.default_rng(num_seeds)
    false = 0
    for study in range(200):
        hardness = rng.normal(size=5000)

        def arm(hardness: np.ndarray = hardness) -> np.ndarray:
            limit = stats.norm.ppf(0.9 + rng.normal(0, sd, (num_seeds, 1)))
            return np.sqrt(0.8) * hardness + np.sqrt(0.2) * rng.normal(size=(num_seeds, 5000)) < limit

        false += compare(arm(), arm(), num_resamples=1000, seed=study).word != "inconclusive"
    assert false / 200 <= 0.085  # 5 % and two standard errors


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
