import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from touchstone.evaluation.compare import (
    Comparison,
    Paired,
    compare_paired,
    detectable,
    holm,
    judge,
    mcnemar,
    paired_accuracy,
    paired_resampled,
    replicate_share,
)


def answers(rates: list[float], num_images: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(num_images) < rate for rate in rates])


def compare(run: np.ndarray, baseline: np.ndarray, confidence: float = 0.95) -> Comparison:
    return compare_paired(paired_accuracy(run, baseline), confidence=confidence)


def pair(values: list[float], image_sd: float, num_images: int = 1000) -> Paired:
    return Paired(np.array(values), image_sd**2, num_images)


def test_it_is_clarks_min_f_of_the_f_ratios_by_images_and_by_seeds() -> None:
    run, baseline = answers([0.8, 0.76, 0.83, 0.79], 300, 0), answers([0.72, 0.7, 0.71, 0.74], 300, 1)
    scores = np.stack([run, baseline]).astype(float)  # (2 conditions, 4 seeds, 300 images)
    by_image = stats.ttest_rel(*scores.mean(1)).statistic ** 2  # F with 1 and 299 degrees of freedom
    by_seed = stats.ttest_rel(*scores.mean(2)).statistic ** 2  # F with 1 and 3
    min_f = by_image * by_seed / (by_image + by_seed)
    freedom = (by_image + by_seed) ** 2 / (by_image**2 / 3 + by_seed**2 / 299)
    comparison = compare(run, baseline)
    assert (comparison.value / comparison.error) ** 2 == pytest.approx(min_f)
    assert comparison.freedom == pytest.approx(freedom)
    assert comparison.p_value == pytest.approx(stats.f.sf(min_f, 1, freedom))


def test_with_one_seed_it_is_the_paired_t_test_over_images() -> None:
    run, baseline = answers([0.8], 2000, 5), answers([0.775], 2000, 6)
    theirs = stats.ttest_rel(run[0] * 1.0, baseline[0] * 1.0)
    comparison = compare(run, baseline)
    assert comparison.p_value == pytest.approx(max(theirs.pvalue, mcnemar(run[0], baseline[0])))
    assert comparison.interval(0.9) == pytest.approx(tuple(theirs.confidence_interval(0.9)), rel=0.05)


def test_seeds_that_agree_add_nothing_and_those_that_disagree_widen_the_interval() -> None:
    one, other = answers([0.8], 500, 0), answers([0.7], 500, 1)
    alone, thrice = compare(one, other), compare(np.tile(one, (3, 1)), np.tile(other, (3, 1)))
    assert thrice.error == alone.error
    baseline = np.zeros((3, 400), bool)
    steady, unsteady = answers([0.1] * 3, 400, 8), answers([0.0, 0.1, 0.2], 400, 8)
    widths = [one.high - one.low for one in (compare(steady, baseline), compare(unsteady, baseline))]
    assert widths[1] > 2 * widths[0]


def test_the_image_term_of_a_set_score_is_that_of_its_resamples() -> None:
    rng = np.random.default_rng(2)
    values = np.array([0.02, 0.03, 0.01])
    resamples = values + rng.normal(0, 0.01, (4000, 1)) + rng.normal(0, 0.01, (4000, 3))
    resamples[:5] = math.nan
    paired = paired_resampled(values, resamples, 500)
    assert paired.image_variance == pytest.approx(0.01**2 * (1 + 1 / 3), rel=0.05)
    assert compare_paired(paired, confidence=0.95).terms == (paired.image_variance, pytest.approx(0.01**2 / 3))


def test_seeds_are_pooled_unless_a_run_varies_more_than_the_others() -> None:
    steady, unsteady = pair([0.02, 0.021, 0.019], 0.001), pair([0.02, 0.022, 0.018], 0.001)
    pooled = [
        compare_paired(one, confidence=0.95, pooled_with=[steady, unsteady]).terms[1] for one in (steady, unsteady)
    ]
    assert pooled[0] == pytest.approx((0.001**2 + 0.002**2) / 2 / 3)
    assert pooled[1] == pytest.approx(0.002**2 / 3), "an F of 4 with 2 and 2 degrees of freedom has a p of .2"
    five = [pair([0.01, 0.02, 0.03], 1e-6) for _ in range(5)]
    comparison = compare_paired(five[0], confidence=0.95, pooled_with=five)
    assert comparison.freedom == pytest.approx(5 * 2 / 2, rel=0.01), "k (S - 1) / (1 + (k - 1) / 4)"
    assert compare_paired(five[0], confidence=0.95).freedom == pytest.approx(2, rel=0.01)
    one_seed = [pair([0.01], 0.01), pair([0.02], 0.01)]
    assert compare_paired(one_seed[0], confidence=0.95, pooled_with=one_seed).freedom == 999


def study(
    rng: np.random.Generator,
    *,
    seeds: int,
    arms: int,
    gain: float = 0.0,
    seed_sd: float = 0.01,
    image_sd: float = 0.006,
) -> list[Comparison]:
    """A study of which the first arm has this true gain: seeds, images and their interaction vary."""
    baseline = rng.normal(0, seed_sd / math.sqrt(2), seeds)
    paired = []
    for arm in range(arms):
        own = rng.normal(0, seed_sd / math.sqrt(2), seeds) - baseline
        values = own + rng.normal(0, image_sd) + (gain if arm == 0 else 0)
        paired.append(Paired(values, image_sd**2, 1000))
    return [compare_paired(one, confidence=0.95, pooled_with=paired) for one in paired]


@pytest.mark.parametrize(("seeds", "arms"), [(2, 4), (3, 1), (3, 5), (5, 1), (5, 5)])
@pytest.mark.parametrize("seed_sd", [0.003, 0.02])
def test_without_effects_at_most_one_study_in_twenty_has_a_verdict(seeds: int, arms: int, seed_sd: float) -> None:
    rng = np.random.default_rng(seeds + arms)
    studies = [judge(study(rng, seeds=seeds, arms=arms, seed_sd=seed_sd)) for _ in range(600)]
    false = np.mean([any(verdict.word != "inconclusive" for verdict in family) for family in studies])
    assert false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
    covered = np.mean([verdict.low <= 0 <= verdict.high for family in studies for verdict in family])
    assert covered >= 0.93


@pytest.mark.parametrize(
    ("seeds", "arms", "seed_sd"), [(3, 1, 0.01), (3, 5, 0.01), (5, 1, 0.02), (5, 5, 0.005), (10, 2, 0.02)]
)
def test_a_fresh_study_finds_a_gain_of_the_detectable_size_four_times_in_five(
    seeds: int, arms: int, seed_sd: float
) -> None:
    """The size is what a pilot study of the same design tells; each of 500 has its own."""
    rng = np.random.default_rng(seeds * arms)
    found = 0
    for _ in range(500):
        told = detectable(study(rng, seeds=seeds, arms=arms, seed_sd=seed_sd))
        found += judge(study(rng, seeds=seeds, arms=arms, seed_sd=seed_sd, gain=told))[0].word == "helps"
    assert 0.75 <= found / 500 <= 0.86


@pytest.mark.parametrize("sds", [[0.01] * 5, [0.01] * 4 + [0.04]])
def test_each_comparison_has_a_detectable_gain_of_its_own(sds: list[float]) -> None:
    """An average over the arms would be right for none of them where one arm varies more than others."""
    rng = np.random.default_rng(7)

    def drawn(gains: list[float]) -> list[Comparison]:
        baseline = rng.normal(0, 0.007, 5)
        own = [rng.normal(0, math.sqrt(sd**2 - 0.007**2), 5) - baseline + rng.normal(0, 0.006) for sd in sds]
        paired = [Paired(values + gain, 0.006**2, 1000) for values, gain in zip(own, gains, strict=True)]
        return [compare_paired(one, confidence=0.95, pooled_with=paired) for one in paired]

    found = np.zeros(2)
    for _ in range(300):
        pilot = drawn([0.0] * 5)
        for place, arm in enumerate((0, 4)):
            told = detectable([pilot[arm]], tests=5)
            found[place] += judge(drawn([told if i == arm else 0.0 for i in range(5)]))[arm].word == "helps"
    assert ((found / 300 >= 0.7) & (found / 300 <= 0.88)).all(), found / 300


def test_the_detectable_gain_grows_with_the_family_and_shrinks_with_seeds() -> None:
    rng = np.random.default_rng(4)
    family = study(rng, seeds=5, arms=3)
    assert detectable(family) < detectable(family, tests=6)
    assert detectable(family) == pytest.approx(detectable(family[::-1]))
    known = Comparison(0.01, (0.01**2, 0.0), (1e9, 1e9), 0.95)
    assert detectable([known]) == pytest.approx(0.01 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)), rel=1e-3)
    assert math.isnan(detectable([]))


def test_an_arm_that_varies_more_than_the_others_is_judged_by_its_own_seeds() -> None:
    """Five arms without effect, of which the seeds of one vary ten times as much: its intervals hold 0 as often."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(600):
        noise = rng.normal(0, 0.003, 3)
        pool = [Paired(rng.normal(0, sd, 3) - noise, 0.002**2, 1000) for sd in (0.03, *[0.003] * 4)]
        comparison = compare_paired(pool[0], confidence=0.95, pooled_with=pool)
        missed += not comparison.low <= 0 <= comparison.high
    assert missed / 600 <= 0.08


def test_an_arm_that_varies_wildly_does_not_hide_the_gains_of_the_others() -> None:
    steady, wild = pair([0.02, 0.021, 0.019], 1e-6), pair([0.01, -0.05, 0.07], 1e-6)
    pool = [steady, pair([0.0, 0.002, -0.002], 1e-6), wild]
    comparison = compare_paired(steady, confidence=0.95, pooled_with=pool)
    assert comparison.terms[1] == pytest.approx((0.001**2 + 0.002**2) / 2 / 3)
    assert comparison.freedom == pytest.approx(2 * 2 / 1.25, rel=0.01), "that of two comparisons"
    assert compare_paired(wild, confidence=0.95, pooled_with=pool).terms[1] == pytest.approx(0.06**2 / 3)
    pair_alone = compare_paired(steady, confidence=0.95, pooled_with=[steady, wild])
    assert pair_alone.terms[1] == pytest.approx((0.001**2 + 0.06**2) / 2 / 3), "of two, nobody knows which is odd"


def test_two_seeds_of_a_single_comparison_get_no_verdict() -> None:
    lone = compare_paired(pair([0.2, 0.21], 0.01), confidence=0.95)
    assert judge([lone])[0].word == "too few replicates"
    assert lone.freedoms[1] == 1
    sure = Comparison(0.1, (0.01**2, 0.0), (999.0, 999.0), 0.95)
    two = judge([lone, sure])
    assert (two[1].word, two[1].p_value) == ("helps", sure.p_value), "what makes no claim is left out of the family"
    assert two[0].p_value == lone.p_value
    both = [pair([0.2, 0.21], 0.01), pair([0.2, 0.21], 0.01)]
    assert judge([compare_paired(one, confidence=0.95, pooled_with=both) for one in both])[0].word == "helps"


def test_a_verdict_agrees_with_its_interval_and_with_holm() -> None:
    rng = np.random.default_rng(6)
    words = set()
    for _ in range(300):
        family = study(rng, seeds=3, arms=int(rng.integers(1, 6)), gain=float(rng.normal(0, 0.03)))
        verdicts = judge(family)
        assert [verdict.p_value for verdict in verdicts] == holm([one.p_value for one in family])
        for one, verdict in zip(family, verdicts, strict=True):
            words.add(verdict.word)
            sign = (verdict.low > 0) - (verdict.high < 0)
            assert verdict.word == {1: "helps", -1: "hurts", 0: "inconclusive"}[sign]
            assert (verdict.p_value <= 0.05) == bool(sign)
            assert verdict.low <= one.low < one.high <= verdict.high
    assert words == {"helps", "hurts", "inconclusive"}


def test_equal_answers_are_no_evidence() -> None:
    same = answers([0.8] * 3, 1000, 3)
    none = compare(same, same)
    assert (none.value, none.p_value, none.one_sided_confidence) == (0, 1, 0.5)
    assert none.error == 1 / 1000, "the spread of one image among all"
    assert judge([none])[0].word == "inconclusive"
    assert detectable([none]) > 0.002


def test_a_higher_confidence_widens_the_interval_and_gains_and_losses_mirror() -> None:
    run, baseline = answers([0.8, 0.82, 0.81], 300, 4), answers([0.78] * 3, 300, 5)
    ends = [compare(run, baseline).interval(level) for level in (0.8, 0.95, 0.99)]
    assert all(wide[0] < narrow[0] < narrow[1] < wide[1] for narrow, wide in pairwise(ends))
    gain, loss = compare(run, baseline), compare(baseline, run)
    assert (gain.low, gain.high) == pytest.approx((-loss.high, -loss.low))
    assert gain.p_value == pytest.approx(loss.p_value)
    assert gain.one_sided_confidence == pytest.approx(1 - gain.p_value / 2)
    assert loss.one_sided_confidence == pytest.approx(loss.p_value / 2)


def test_shapes_must_agree() -> None:
    run, baseline = answers([0.8], 90, 6), answers([0.7, 0.7], 90, 7)
    with pytest.raises(ValueError, match=r"got \(1, 90\), expected the baseline's \(2, 90\)"):
        paired_accuracy(run, baseline)


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
    assert (comparison.low > 0) == (comparison.p_value <= 0.05), "the interval agrees"
    assert comparison.low <= 0 or better >= 6
    assert comparison.low > 0 or better < 20


def test_one_seeds_p_value_is_mcnemars_where_that_is_the_larger() -> None:
    run, baseline = differing(8, 2, num_images=300, num_seeds=1)
    comparison = compare(run, baseline)
    assert comparison.p_value == mcnemar(run[0], baseline[0])
    assert min(map(abs, comparison.interval(1 - comparison.p_value))) == pytest.approx(0, abs=1e-9)


def test_three_images_that_differ_are_no_evidence() -> None:
    """Three of 95 images gained, each by another seed."""
    baseline, run = np.zeros((3, 95), bool), np.zeros((3, 95), bool)
    run[[0, 1, 2], [10, 20, 30]] = True
    comparison = compare(run, baseline)
    assert comparison.value == pytest.approx(1 / 95)
    assert comparison.p_value > 0.05


def test_where_all_images_agree_seeds_alone_decide() -> None:
    run, baseline = np.zeros((3, 50), bool), np.zeros((3, 50), bool)
    run[:2] = True
    comparison = compare(run, baseline)
    low, high = stats.t.interval(0.95, 2, loc=2 / 3, scale=np.std([1, 1, 0], ddof=1) / np.sqrt(3))
    assert (comparison.low, comparison.high) == pytest.approx((low, high), rel=0.01)


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


def patients(rng: np.random.Generator, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers of a run and its baseline (3 seeds, 1,000 images) to 50 patients of 20 images, and the patients.

    Patients differ in how much the run gains on them, by 20 points; `shift` is the mean gain.
    """
    groups = np.repeat(np.arange(50), 20)
    gain = shift + 0.2 * rng.normal(size=50)[groups]
    return rng.random((3, 1000)) < 0.5 + gain, rng.random((3, 1000)) < 0.5, groups


def test_images_of_a_group_are_no_independent_evidence() -> None:
    """Patients respond differently and nothing is true on average: by images verdicts are wrong, by patients not."""
    rng = np.random.default_rng(5)
    false = {"images": 0, "patients": 0}
    for _ in range(400):
        run, baseline, groups = patients(rng)
        for unit, given in (("images", None), ("patients", groups)):
            compared = compare_paired(paired_accuracy(run, baseline, given), confidence=0.95)
            false[unit] += judge([compared])[0].word != "inconclusive"
    assert false["images"] / 400 > 0.1
    assert false["patients"] / 400 <= 0.06 + 2 * 0.012


def test_groups_of_one_image_change_nothing_and_the_variance_is_that_of_group_sums() -> None:
    run, baseline, groups = patients(np.random.default_rng(1), shift=0.1)
    alone = paired_accuracy(run, baseline)
    assert paired_accuracy(run, baseline, np.arange(1000)).image_variance == pytest.approx(alone.image_variance)
    by_patient = (run.astype(float) - baseline).mean(0).reshape(50, 20).mean(1)
    expected = by_patient.var(ddof=1) / 50  # patients of equal size: the variance of a mean of means
    assert paired_accuracy(run, baseline, groups).image_variance == pytest.approx(expected)
    assert paired_accuracy(run, baseline, groups).num_images == 50


def test_training_sets_that_overlap_widen_the_interval() -> None:
    """Nadeau and Bengio's correction, against means of replicates whose training sets are drawn from one pool.

    A replicate's value is a mean of what its images contribute, so two that share a part f of them have the correlation
    f, and the mean over five varies by s^2 (1 + 4 f) / 5 where s^2 (1 - f) is seen between them.
    """
    assert replicate_share(5) == pytest.approx(0.2)
    assert replicate_share(5, 0.2) == pytest.approx(0.2 + 0.25)
    rng, size, number = np.random.default_rng(0), 40, 5
    for overlap in (0.0, 0.3, 0.6):
        shared = round(overlap * size)
        means, between = [], []
        for _ in range(4000):
            common = rng.normal(size=shared).sum()
            values = (common + rng.normal(size=(number, size - shared)).sum(1)) / size
            means.append(values.mean())
            between.append(values.var(ddof=1))
        true = float(np.var(means)) / float(np.mean(between))
        assert replicate_share(number, overlap) == pytest.approx(true, rel=0.1)
    values = np.array([0.01, 0.03, 0.02])
    independent, overlapping = (
        compare_paired(Paired(values, 0.001**2, 1000), confidence=0.95, overlap=share) for share in (0.0, 0.5)
    )
    assert overlapping.terms[1] == pytest.approx(independent.terms[1] * 4)
    assert overlapping.high - overlapping.low > independent.high - independent.low
