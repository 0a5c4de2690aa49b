import numpy as np
import pytest
from scipy import stats

from touchstone.evaluation.compare import Comparison, Paired, conclude, holm, mcnemar, paired_bootstrap

SLOW = [pytest.param(5, 0.008, marks=pytest.mark.slow), pytest.param(10, 0.008, marks=pytest.mark.slow)]
SEEDS_AND_SD = [(2, 0.007), (3, 0.008), *SLOW]


def answers(rates: list[float], n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(n) < rate for rate in rates])


def compare(run: np.ndarray, baseline: np.ndarray, **changes) -> Comparison:
    changes = {"num_resamples": 4000, "confidence": 0.95, "seed": 0} | changes
    confidence = changes.pop("confidence")
    return conclude(paired_bootstrap(run, baseline, **changes), confidence=confidence)


@pytest.mark.parametrize("rates", [[0.8, 0.75, 0.82], [0.8, 0.7, 0.9], [0.78, 0.78, 0.78]])
def test_it_is_a_plain_loop_with_the_variance_of_mean_squares(rates: list[float]) -> None:
    run, baseline = answers(rates, 400, 0), answers([0.7, 0.72, 0.71], 400, 1)
    d = run.astype(float) - baseline  # (3, 400)
    rng = np.random.default_rng(9)
    gains = np.array([d[:, rng.integers(0, 400, 400)].mean() for _ in range(10000)])
    seeds, items, gain = d.mean(1), d.mean(0), d.mean()
    both = d - seeds[:, None] - items + gain
    of_seeds, of_items = 400 * seeds.var(ddof=1), 3 * items.var(ddof=1)
    variance = (of_items + max(of_seeds / 2, of_seeds - (both**2).sum() / (2 * 399))) / 1200
    wider = stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975) * np.sqrt(variance) / gains.std()
    expected = gain + (np.quantile(gains, [0.025, 0.975]) - gain) * wider
    found = compare(run, baseline, num_resamples=10000)
    assert found.value == pytest.approx(gain)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=0.06)


def test_seeds_that_agree_are_still_few() -> None:
    one, other = answers([0.8], 500, 0), answers([0.7], 500, 1)
    alone, thrice = compare(one, other), compare(np.tile(one, (3, 1)), np.tile(other, (3, 1)))
    wider = (thrice.high - thrice.low) / (alone.high - alone.low)
    assert wider == pytest.approx(stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975), rel=0.05)


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
    none = compare(same, same)
    assert (none.value, none.p_value, none.chance) == (0, 1, 0.5)
    assert (none.high, -none.low) == pytest.approx([stats.t.ppf(0.975, 2) / 1000] * 2, rel=0.01), "one image among all"
    assert none.detectable() > 0.002


def test_one_seed_and_wider_confidence() -> None:
    run, baseline = answers([0.8], 300, 4), answers([0.78], 300, 5)
    narrow, wide = compare(run, baseline, confidence=0.8), compare(run, baseline, confidence=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_same_seed_gives_the_same_interval_and_shapes_must_agree() -> None:
    run, baseline = answers([0.8, 0.7], 90, 6), answers([0.7, 0.7], 90, 7)
    one, two = compare(run, baseline), compare(run, baseline)
    assert (one.ends, one.p_value) == (two.ends, two.p_value)
    with pytest.raises(ValueError, match=r"got \(1, 90\), expected the baseline's \(2, 90\)"):
        compare(run[:1], baseline)


def test_seeds_that_disagree_widen_the_interval() -> None:
    baseline = np.zeros((3, 400), bool)
    steady = answers([0.1] * 3, 400, 8)
    unsteady = answers([0.0, 0.1, 0.2], 400, 8)
    width = lambda found: found.high - found.low  # noqa: E731
    assert width(compare(unsteady, baseline)) > 2 * width(compare(steady, baseline))


def test_one_level_is_scipys_bootstrap() -> None:
    run, baseline = answers([0.8], 500, 1), answers([0.75], 500, 2)
    found = compare(run, baseline, num_resamples=20000)
    difference = run[0].astype(float) - baseline[0]
    theirs = stats.bootstrap(
        (difference,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


@pytest.mark.parametrize("rates", [[0.8, 0.82, 0.81], [0.74, 0.8, 0.77], [0.85, 0.85, 0.86], [0.95] * 3, [0.8]])
def test_the_p_value_is_where_the_interval_meets_zero(rates: list[float]) -> None:
    run, baseline = answers(rates, 400, 3), answers([0.77] * len(rates), 400, 4)
    found = compare(run, baseline, num_resamples=10000)
    assert (found.p_value < 0.05) == (found.word != "inconclusive")
    if max(0.001, found.least_p) < found.p_value < 1:
        low, high = found.interval(1 - found.p_value)
        assert min(abs(low), abs(high)) < 0.002
    assert rates != [0.95] * 3 or found.p_value < 0.03
    assert found.chance == pytest.approx(1 - found.p_value / 2 if found.value > 0 else found.p_value / 2)


def test_of_one_seed_the_p_value_is_about_that_of_the_t_test_and_of_mcnemar() -> None:
    run, baseline = answers([0.8], 2000, 5), answers([0.775], 2000, 6)
    found = compare(run, baseline, num_resamples=20000)
    assert found.p_value == pytest.approx(stats.ttest_rel(run[0] * 1.0, baseline[0] * 1.0).pvalue, abs=0.01)
    assert found.p_value == pytest.approx(mcnemar(run[0], baseline[0]), abs=0.015)


def differing(better: int, worse: int, *, num_items: int, num_seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """So many items that the run alone gets right, and the baseline alone; the same ones with all seeds."""
    run, baseline = np.zeros((2, num_seeds, num_items), bool)
    run[:, :better], baseline[:, better : better + worse] = True, True
    return run, baseline


@pytest.mark.parametrize("num_seeds", [1, 3])
@pytest.mark.parametrize("better", [1, 4, 5, 6, 20])
def test_of_few_images_no_p_value_is_below_that_of_an_exact_test(better: int, num_seeds: int) -> None:
    found = compare(*differing(better, 0, num_items=200, num_seeds=num_seeds))
    exact = stats.binomtest(better, better).pvalue  # the sign test of items that all favour the run
    assert found.p_value >= exact
    assert found.word == ("helps" if found.p_value <= 0.05 else "inconclusive")
    assert found.word == "inconclusive" or better >= 6
    assert found.word == "helps" or better < 20


def test_one_seeds_p_value_is_mcnemars_where_that_is_the_larger() -> None:
    run, baseline = differing(8, 2, num_items=300, num_seeds=1)
    assert compare(run, baseline).p_value == mcnemar(run[0], baseline[0])


def test_p_values_go_on_where_resamples_end() -> None:
    """So that thousands of comparisons that are judged together still can pass Holm."""
    run, baseline = answers([1.0] * 3, 300, 1), answers([0.0] * 3, 300, 1)
    assert compare(run, baseline, num_resamples=100).p_value < 1e-4


def test_an_arm_that_varies_more_than_the_others_is_judged_by_its_own_seeds() -> None:
    """Without any effect, four steady arms and one whose seeds vary tenfold: its intervals hold the truth as often."""
    rng = np.random.default_rng(3)
    missed = 0
    for study in range(300):
        noise = rng.normal(0, 0.003, 3)

        def arm(sd: float, seed: int, noise: np.ndarray = noise) -> Paired:
            return pair((rng.normal(0, sd, 3) - noise).tolist(), 0.002, seed=seed)

        pool = [arm(0.03, study), *(arm(0.003, study + i) for i in range(1, 5))]
        found = conclude(pool[0], confidence=0.95, pool=pool)
        missed += not found.low <= 0 <= found.high
    assert missed / 300 <= 0.1


def test_what_is_detectable_is_seen_four_times_in_five() -> None:
    """One seed, 500 items, answers that are independent: gains as large as what the first study says it can see."""
    rng = np.random.default_rng(7)
    wanted = compare(rng.random((1, 500)) < 0.75, rng.random((1, 500)) < 0.75, num_resamples=2000).detectable()
    seen = 0
    for study in range(300):
        run, baseline = rng.random((1, 500)) < 0.75 + wanted, rng.random((1, 500)) < 0.75
        seen += compare(run, baseline, num_resamples=500, seed=study).word == "helps"
    assert seen / 300 == pytest.approx(0.8, abs=0.09)


def test_what_is_detectable_among_others_passes_holm_four_times_in_five() -> None:
    """Of ten comparisons, one with an effect; the others' p-values are even, as without any."""
    rng = np.random.default_rng(9)
    wanted = compare(rng.random((1, 500)) < 0.75, rng.random((1, 500)) < 0.75, num_resamples=5000).detectable(10)
    seen = 0
    for study in range(300):
        run, baseline = rng.random((1, 500)) < 0.75 + wanted / 2, rng.random((1, 500)) < 0.75 - wanted / 2
        own = compare(run, baseline, num_resamples=5000, seed=study).p_value
        seen += holm([own, *rng.random(9)])[0] <= 0.05
    assert seen / 300 == pytest.approx(0.8, abs=0.09)


def test_holm_and_mcnemar_are_those_of_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar as theirs
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(8)
    for size in (1, 2, 5, 9):
        p_values = (rng.random(size) ** 3).round(2).tolist()
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())
    for _ in range(20):
        run, baseline = rng.random(60) < 0.7, rng.random(60) < 0.6
        counts = [[int(((run == a) & (baseline == b)).sum()) for b in (True, False)] for a in (True, False)]
        assert mcnemar(run, baseline) == pytest.approx(float(theirs(counts, exact=True).pvalue))
    assert mcnemar(run, run) == 1
    assert holm([]) == []


def test_of_few_items_that_differ_nothing_is_made_up() -> None:
    """Three of 95 items gained, each by another seed: one resample in twenty has none of them."""
    baseline, run = np.zeros((3, 95), bool), np.zeros((3, 95), bool)
    run[[0, 1, 2], [10, 20, 30]] = True
    found = compare(run, baseline)
    assert found.value == pytest.approx(1 / 95)
    assert found.word == "inconclusive"
    assert found.p_value > 0.05


def test_where_all_items_are_alike_seeds_alone_decide() -> None:
    run, baseline = np.zeros((3, 50), bool), np.zeros((3, 50), bool)
    run[:2] = True
    found = compare(run, baseline)
    low, high = stats.t.interval(0.95, 2, loc=2 / 3, scale=np.std([1, 1, 0], ddof=1) / np.sqrt(3))
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.02)


def pair(values: list[float], sd_items: float, seed: int = 0) -> Paired:
    """A gain of these values by seed whose resamples vary by items, alike for all seeds."""
    rng = np.random.default_rng(seed)
    return Paired(np.array(values), np.array(values) + rng.normal(0, sd_items, (4000, 1)))


def test_seeds_are_pooled_and_the_larger_variance_counts() -> None:
    steady, unsteady = pair([0.02, 0.021, 0.019], 0.001), pair([0.0, 0.02, 0.04], 0.001)
    both = [steady, unsteady]
    pooled = np.mean([np.var([0.02, 0.021, 0.019], ddof=1), np.var([0.0, 0.02, 0.04], ddof=1)])
    for one, own in ((steady, pooled), (unsteady, 0.02**2)):
        found = conclude(one, confidence=0.95, pool=both)
        assert found.resamples.std() == pytest.approx(np.sqrt(0.001**2 + own / 3), rel=0.05)
        assert found.freedom > 2
    alone = conclude(steady, confidence=0.95)
    assert (alone.freedom, alone.resamples.std()) == (2, pytest.approx(np.sqrt(0.001**2 + 0.001**2 / 3), rel=0.05))
    same = [pair([0.01, 0.02, 0.03], 1e-6, seed=i) for i in range(5)]
    found = conclude(same[0], confidence=0.95, pool=same)
    assert found.freedom == pytest.approx(5 * 2 / 2, rel=0.01), "k (S - 1) / (1 + (k - 1) / 4)"


def test_a_comparison_alone_has_as_many_degrees_of_freedom_as_seeds_less_one() -> None:
    assert conclude(pair([0.01, 0.011], 0.01), confidence=0.95).freedom == 1
    assert conclude(pair([0.01], 0.01), confidence=0.95).freedom == float("inf")
