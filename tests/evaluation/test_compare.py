import numpy as np
import pytest
from scipy import stats

from touchstone.evaluation.compare import Comparison, Paired, compare_paired, holm, mcnemar, paired_bootstrap

SLOW = [pytest.param(5, 0.008, marks=pytest.mark.slow), pytest.param(10, 0.008, marks=pytest.mark.slow)]
SEEDS_AND_SD = [(2, 0.007), (3, 0.008), *SLOW]


def answers(rates: list[float], num_images: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(num_images) < rate for rate in rates])


def compare(run: np.ndarray, baseline: np.ndarray, **changes) -> Comparison:
    changes = {"num_resamples": 4000, "confidence": 0.95, "seed": 0} | changes
    confidence = changes.pop("confidence")
    return compare_paired(paired_bootstrap(run, baseline, **changes), confidence=confidence)


@pytest.mark.parametrize("rates", [[0.8, 0.75, 0.82], [0.8, 0.7, 0.9], [0.78, 0.78, 0.78]])
def test_intervals_match_a_plain_loop_with_the_variance_of_mean_squares(rates: list[float]) -> None:
    run, baseline = answers(rates, 400, 0), answers([0.7, 0.72, 0.71], 400, 1)
    d = run.astype(float) - baseline  # (3, 400)
    rng = np.random.default_rng(9)
    gains = np.array([d[:, rng.integers(0, 400, 400)].mean() for _ in range(10000)])
    seeds, images, gain = d.mean(1), d.mean(0), d.mean()
    both = d - seeds[:, None] - images + gain
    of_seeds, of_images = 400 * seeds.var(ddof=1), 3 * images.var(ddof=1)
    variance = (of_images + max(of_seeds / 2, of_seeds - (both**2).sum() / (2 * 399))) / 1200
    wider = stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975) * np.sqrt(variance) / gains.std()
    expected = gain + (np.quantile(gains, [0.025, 0.975]) - gain) * wider
    comparison = compare(run, baseline, num_resamples=10000)
    assert comparison.value == pytest.approx(gain)
    assert (comparison.low, comparison.high) == pytest.approx(tuple(expected), rel=0.06)


def test_seeds_that_agree_still_widen_the_interval_since_they_are_few() -> None:
    one, other = answers([0.8], 500, 0), answers([0.7], 500, 1)
    alone, thrice = compare(one, other), compare(np.tile(one, (3, 1)), np.tile(other, (3, 1)))
    wider = (thrice.high - thrice.low) / (alone.high - alone.low)
    assert wider == pytest.approx(stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975), rel=0.05)


@pytest.mark.parametrize(("num_seeds", "sd"), SEEDS_AND_SD)
def test_without_an_effect_false_verdicts_are_few(num_seeds: int, sd: float) -> None:
    """200 studies of two arms: accuracy .9, this sd over seeds, 5,000 images, some of them harder for all seeds."""
    rng = np.random.default_rng(num_seeds)
    false = 0
    for study in range(200):
        hardness = rng.normal(size=5000)

        def arm(hardness: np.ndarray = hardness) -> np.ndarray:
            limit = stats.norm.ppf(0.9 + rng.normal(0, sd, (num_seeds, 1)))
            return np.sqrt(0.8) * hardness + np.sqrt(0.2) * rng.normal(size=(num_seeds, 5000)) < limit

        false += compare(arm(), arm(), num_resamples=1000, seed=study).verdict != "inconclusive"
    assert false / 200 <= 0.085  # 5 % and two standard errors


def test_the_verdict_follows_the_interval() -> None:
    better, same = answers([0.9] * 3, 1000, 2), answers([0.8] * 3, 1000, 3)
    assert compare(better, same).verdict == "helps"
    assert compare(same, better).verdict == "hurts"
    assert compare(same, same).verdict == "inconclusive"
    none = compare(same, same)
    assert (none.value, none.p_value, none.chance) == (0, 1, 0.5)
    assert (none.high, -none.low) == pytest.approx([stats.t.ppf(0.975, 2) / 1000] * 2, rel=0.01), (
        "the spread of one image among all"
    )
    assert none.detectable() > 0.002


def test_a_higher_confidence_widens_the_interval() -> None:
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
    width = lambda comparison: comparison.high - comparison.low  # noqa: E731
    assert width(compare(unsteady, baseline)) > 2 * width(compare(steady, baseline))


def test_with_one_seed_the_interval_is_that_of_scipys_bootstrap() -> None:
    run, baseline = answers([0.8], 500, 1), answers([0.75], 500, 2)
    comparison = compare(run, baseline, num_resamples=20000)
    difference = run[0].astype(float) - baseline[0]
    theirs = stats.bootstrap(
        (difference,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (comparison.low, comparison.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


@pytest.mark.parametrize("rates", [[0.8, 0.82, 0.81], [0.74, 0.8, 0.77], [0.85, 0.85, 0.86], [0.95] * 3, [0.8]])
def test_the_p_value_is_where_the_interval_meets_zero(rates: list[float]) -> None:
    run, baseline = answers(rates, 400, 3), answers([0.77] * len(rates), 400, 4)
    comparison = compare(run, baseline, num_resamples=10000)
    assert (comparison.p_value < 0.05) == (comparison.verdict != "inconclusive")
    if max(0.001, comparison.least_p) < comparison.p_value < 1:
        low, high = comparison.interval(1 - comparison.p_value)
        assert min(abs(low), abs(high)) < 0.002
    assert rates != [0.95] * 3 or comparison.p_value < 0.03
    assert comparison.chance == pytest.approx(
        1 - comparison.p_value / 2 if comparison.value > 0 else comparison.p_value / 2
    )


def test_with_one_seed_the_p_value_is_close_to_the_t_tests_and_mcnemars() -> None:
    run, baseline = answers([0.8], 2000, 5), answers([0.775], 2000, 6)
    comparison = compare(run, baseline, num_resamples=20000)
    assert comparison.p_value == pytest.approx(stats.ttest_rel(run[0] * 1.0, baseline[0] * 1.0).pvalue, abs=0.01)
    assert comparison.p_value == pytest.approx(mcnemar(run[0], baseline[0]), abs=0.015)


def differing(better: int, worse: int, *, num_images: int, num_seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """The run alone is right on `better` images, the baseline alone on `worse`, with all seeds."""
    run, baseline = np.zeros((2, num_seeds, num_images), bool)
    run[:, :better], baseline[:, better : better + worse] = True, True
    return run, baseline


@pytest.mark.parametrize("num_seeds", [1, 3])
@pytest.mark.parametrize("better", [1, 4, 5, 6, 20])
def test_where_few_images_differ_no_p_value_is_below_that_of_an_exact_test(better: int, num_seeds: int) -> None:
    comparison = compare(*differing(better, 0, num_images=200, num_seeds=num_seeds))
    exact = stats.binomtest(better, better).pvalue  # the sign test of images that all favour the run
    assert comparison.p_value >= exact
    assert comparison.verdict == ("helps" if comparison.p_value <= 0.05 else "inconclusive")
    assert comparison.verdict == "inconclusive" or better >= 6
    assert comparison.verdict == "helps" or better < 20


def test_one_seeds_p_value_is_mcnemars_where_that_is_the_larger() -> None:
    run, baseline = differing(8, 2, num_images=300, num_seeds=1)
    assert compare(run, baseline).p_value == mcnemar(run[0], baseline[0])


def test_p_values_can_be_lower_than_the_resamples_resolve() -> None:
    """Thousands of comparisons that are adjusted together can then still pass Holm."""
    run, baseline = answers([1.0] * 3, 300, 1), answers([0.0] * 3, 300, 1)
    assert compare(run, baseline, num_resamples=100).p_value < 1e-4


def test_an_arm_that_varies_more_than_the_others_is_judged_by_its_own_seeds() -> None:
    """Five arms without effect, of which the seeds of one vary ten times as much: its intervals hold 0 as often."""
    rng = np.random.default_rng(3)
    missed = 0
    for study in range(300):
        noise = rng.normal(0, 0.003, 3)

        def arm(sd: float, seed: int, noise: np.ndarray = noise) -> Paired:
            return pair((rng.normal(0, sd, 3) - noise).tolist(), 0.002, seed=seed)

        pool = [arm(0.03, study), *(arm(0.003, study + i) for i in range(1, 5))]
        comparison = compare_paired(pool[0], confidence=0.95, pooled_with=pool)
        missed += not comparison.low <= 0 <= comparison.high
    assert missed / 300 <= 0.1


def test_a_detectable_gain_is_found_four_times_in_five() -> None:
    """One seed, 500 images, independent answers: the true gain is what the first study reports as detectable."""
    rng = np.random.default_rng(7)
    detectable = compare(rng.random((1, 500)) < 0.75, rng.random((1, 500)) < 0.75, num_resamples=2000).detectable()
    seen = 0
    for study in range(300):
        run, baseline = rng.random((1, 500)) < 0.75 + detectable, rng.random((1, 500)) < 0.75
        seen += compare(run, baseline, num_resamples=500, seed=study).verdict == "helps"
    assert seen / 300 == pytest.approx(0.8, abs=0.09)


def test_a_gain_detectable_in_a_family_passes_holm_four_times_in_five() -> None:
    """One of ten comparisons has an effect; the others' p-values are uniform, as without any."""
    rng = np.random.default_rng(9)
    detectable = compare(rng.random((1, 500)) < 0.75, rng.random((1, 500)) < 0.75, num_resamples=5000).detectable(10)
    seen = 0
    for study in range(300):
        run, baseline = rng.random((1, 500)) < 0.75 + detectable / 2, rng.random((1, 500)) < 0.75 - detectable / 2
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


def test_three_images_that_differ_are_no_evidence() -> None:
    """Three of 95 images gained, each by another seed: one resample in twenty holds none of them."""
    baseline, run = np.zeros((3, 95), bool), np.zeros((3, 95), bool)
    run[[0, 1, 2], [10, 20, 30]] = True
    comparison = compare(run, baseline)
    assert comparison.value == pytest.approx(1 / 95)
    assert comparison.verdict == "inconclusive"
    assert comparison.p_value > 0.05


def test_where_all_images_agree_seeds_alone_decide() -> None:
    run, baseline = np.zeros((3, 50), bool), np.zeros((3, 50), bool)
    run[:2] = True
    comparison = compare(run, baseline)
    low, high = stats.t.interval(0.95, 2, loc=2 / 3, scale=np.std([1, 1, 0], ddof=1) / np.sqrt(3))
    assert (comparison.low, comparison.high) == pytest.approx((low, high), rel=0.02)


def pair(values: list[float], sd_images: float, seed: int = 0) -> Paired:
    """A gain with these values by seed; its resamples vary with the images, equally for all seeds."""
    rng = np.random.default_rng(seed)
    return Paired(np.array(values), np.array(values) + rng.normal(0, sd_images, (4000, 1)))


def test_seeds_are_pooled_and_the_larger_variance_counts() -> None:
    steady, unsteady = pair([0.02, 0.021, 0.019], 0.001), pair([0.0, 0.02, 0.04], 0.001)
    both = [steady, unsteady]
    pooled = np.mean([np.var([0.02, 0.021, 0.019], ddof=1), np.var([0.0, 0.02, 0.04], ddof=1)])
    for one, own in ((steady, pooled), (unsteady, 0.02**2)):
        comparison = compare_paired(one, confidence=0.95, pooled_with=both)
        assert comparison.resamples.std() == pytest.approx(np.sqrt(0.001**2 + own / 3), rel=0.05)
        assert comparison.freedom > 2
    alone = compare_paired(steady, confidence=0.95)
    assert (alone.freedom, alone.resamples.std()) == (2, pytest.approx(np.sqrt(0.001**2 + 0.001**2 / 3), rel=0.05))
    same = [pair([0.01, 0.02, 0.03], 1e-6, seed=i) for i in range(5)]
    comparison = compare_paired(same[0], confidence=0.95, pooled_with=same)
    assert comparison.freedom == pytest.approx(5 * 2 / 2, rel=0.01), "k (S - 1) / (1 + (k - 1) / 4)"


def test_a_comparison_alone_has_one_degree_of_freedom_fewer_than_seeds() -> None:
    assert compare_paired(pair([0.01, 0.011], 0.01), confidence=0.95).freedom == 1
    assert compare_paired(pair([0.01], 0.01), confidence=0.95).freedom == float("inf")
