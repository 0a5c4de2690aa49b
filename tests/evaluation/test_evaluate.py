"""metrics.json: what is compared with what, and what divergence, families and ensembles change."""

import numpy as np
import pytest
from scipy import stats

from kit.project import ROOT
from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.config.settings import Settings
from touchstone.evaluation.compare import Paired, holm, mcnemar
from touchstone.evaluation.ensembles import rotated_means
from touchstone.evaluation.evaluate import class_table, confusion_table
from touchstone.evaluation.evaluate import evaluate as evaluated
from touchstone.evaluation.measures import measure
from touchstone.evaluation.results import results as all_results

CLASSES = ["cat", "dog", "fox"]
LABELS = np.arange(60) % 3
TEXT = (ROOT / "recipes/digits/params.yaml").read_text()


def settings() -> Settings:
    values = [
        "transforms={repeat: {}}",
        "arms={real: {add: []}, repeat: {add: [repeat]}}",
        "models={one: {net: lenet}, two: {net: simple}}",
        "explain.runs=[]",
        "ensembles={vote: {rule: majority, members: [one-real, two-real], prefer: two-real}}",
        "compare={baseline: real, num_resamples: 500, confidence: 0.95}",
    ]
    return settings_of(yaml.changed(TEXT, values))


def probs(rate: float, seed: int, labels: np.ndarray = LABELS) -> np.ndarray:
    """Predictions (3, N, 3) that are right at this rate."""
    rng = np.random.default_rng(seed)
    decided = np.where(rng.random((3, len(labels))) < rate, labels, (labels + 1) % 3)
    return np.where(np.eye(3)[decided] > 0, 0.8, 0.1).astype(np.float32)


TEST = {"one-real": probs(0.4, 0), "one-repeat": probs(0.95, 1), "two-real": probs(0.7, 2), "two-repeat": probs(0.7, 3)}
TEST["vote"] = TEST["two-real"]
NONE: dict[str, dict[str, str]] = {name: {} for name in TEST if name != "vote"}
VAL = {name: value[:, :12] for name, value in TEST.items()} | {"two-real": probs(0.0, 0)[:, :12]}


JUDGE = measure(LABELS, settings().compare, seed=settings().seed)


def results(*given):
    return all_results(*given, measure=JUDGE)


def evaluate(given):
    return evaluated(given, JUDGE)


def test_runs_are_compared_with_their_model_on_the_baseline_arm() -> None:
    by_name = {result.name: result for result in results(settings(), TEST, VAL, LABELS[:12], NONE)}
    assert {name: result.baseline for name, result in by_name.items()} == {
        "one-real": "",
        "one-repeat": "one-real",
        "two-real": "",
        "two-repeat": "two-real",
        "vote": "one-real",  # the best member on validation, but not on test
    }


def test_without_validation_an_ensemble_is_compared_with_its_preferred_member() -> None:
    none = {name: value[:, :0] for name, value in VAL.items()}
    by_name = {result.name: result for result in results(settings(), TEST, none, LABELS[:0], NONE)}
    assert by_name["vote"].baseline == "two-real"
    assert "val_accuracy" not in evaluate(list(by_name.values()))["vote"]


def test_metrics_are_flat_sorted_rounded_and_the_verdict_follows_the_interval() -> None:
    metrics = evaluate(results(settings(), TEST, VAL, LABELS[:12], NONE))
    row = metrics["one-repeat"]
    assert list(row) == sorted(row)
    assert row["verdict"] == "helps"
    assert row["gain"] == pytest.approx(row["accuracy"] - metrics["one-real"]["accuracy"], abs=1e-5)
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["gain_p"] < 0.05
    assert row["gain_confidence"] == pytest.approx(1 - row["gain_p"] / 2, abs=1e-5)
    assert row["gain_detectable"] > 0
    assert all(value == round(value, 5) for value in row.values() if isinstance(value, float))
    assert "gain" not in metrics["one-real"]
    expected = np.mean(VAL["one-repeat"].argmax(2) == LABELS[:12])
    assert row["val_accuracy"] == pytest.approx(expected, abs=1e-5)


def test_class_accuracies_are_the_confusion_diagonal() -> None:
    result = results(settings(), TEST, VAL, LABELS[:12], NONE)[2]
    table = confusion_table(result, LABELS, CLASSES)
    assert len(table) == 3 * 60
    matrix = table.groupby(["actual", "predicted"]).size().unstack(fill_value=0)
    diagonal = [matrix.loc[name, name] / matrix.loc[name].sum() for name in CLASSES]
    table = class_table(result, LABELS, CLASSES)
    assert table["accuracy"].tolist() == pytest.approx(diagonal, abs=1e-5)
    assert table["n_test"].tolist() == [20, 20, 20]


def scored(**diverged: str) -> dict[str, dict[str, float | str]]:
    """The metrics where training of some runs diverged in seed 1."""
    failed = NONE | {name.replace("_", "-"): {"1": text} for name, text in diverged.items()}
    return evaluate(results(settings(), TEST, VAL, LABELS[:12], failed))


def test_a_run_that_diverged_has_no_gain_and_its_ensemble_leaves_it_out() -> None:
    without, metrics = scored(), scored(one_repeat="boom")
    assert metrics["one-repeat"]["diverged"] == "1 of 3 seeds"
    assert metrics["one-repeat"]["verdict"] == "diverged"
    assert not {"gain", "gain_low", "gain_high"} & metrics["one-repeat"].keys()
    assert metrics["one-repeat"]["accuracy"] == without["one-repeat"]["accuracy"], (
        "over all replicates, not the survivors"
    )
    for key in ("gain", "gain_p", "baseline"):
        assert metrics["two-repeat"][key] == without["two-repeat"][key], "seeds of other models are not pooled"
    assert metrics["vote"] == without["vote"], "it has no such member"
    assert "diverged" not in str(without)


def test_no_result_is_compared_with_a_baseline_that_diverged() -> None:
    """An ensemble with one member left counts as diverged, too."""
    metrics = scored(one_real="boom")
    assert metrics["one-real"]["diverged"] == "1 of 3 seeds"
    assert "verdict" not in metrics["one-real"]
    assert metrics["one-repeat"]["verdict"] == "diverged"
    assert "diverged" not in metrics["one-repeat"]
    assert metrics["vote"]["left_out"] == "one-real"
    assert metrics["vote"]["baseline"] == "two-real", "the best of the members left"
    assert metrics["vote"]["diverged"] == "every member but two-real"
    assert "gain" not in metrics["vote"], "it would be compared with itself"


def test_an_ensemble_whose_members_all_diverged_has_diverged() -> None:
    metrics = scored(one_real="boom", two_real="boom")
    assert metrics["vote"]["diverged"] == "every member"
    assert metrics["vote"]["verdict"] == "diverged"
    assert "left_out" not in metrics["vote"]


ARMS = ("real", "repeat", "good", "fair", "same")


def one_model(control: str = "", **rates: float) -> dict[str, dict[str, float | str]]:
    """The metrics of one model on several arms."""
    arms = ", ".join(f"{arm}: {{add: [{'flip' if arm not in ('real', 'repeat') else 'repeat'}]}}" for arm in ARMS[1:])
    values = [
        "transforms={repeat: {}, flip: {hflip: true}}",
        f"arms={{real: {{add: []}}, {arms}}}",
        "models={one: {net: lenet}}",
        "explain.runs=[]",
        "ensembles={}",
        f"compare={{baseline: real, control: '{control}', num_resamples: 2000, confidence: 0.95}}",
    ]
    params_ = settings_of(yaml.changed(TEXT, values))
    test = {f"one-{arm}": probs(rates.get(arm, 0.6), i) for i, arm in enumerate(ARMS)}
    return evaluate(results(params_, test, {}, LABELS[:0], {name: {} for name in test}))


def test_arms_are_adjusted_together_and_compared_with_plain_copies_too() -> None:
    metrics = one_model(good=0.95, repeat=0.62)
    family = [metrics[f"one-{arm}"] for arm in ARMS[1:]]
    of_gains, over_copies = ([row[key] for row in family if key in row] for key in ("gain_p", "control_gain_p"))
    adjusted = holm(of_gains + over_copies)
    assert [row["gain_p_holm"] for row in family] == pytest.approx(adjusted[: len(family)], abs=1e-4)
    assert [row["control_gain_p_holm"] for row in family[1:]] == pytest.approx(adjusted[len(family) :], abs=1e-4)
    assert metrics["one-good"]["verdict"] == "helps"
    for row in family[1:]:
        assert row["control"] == "one-repeat"
        gain = row["accuracy"] - metrics["one-repeat"]["accuracy"]
        assert row["control_gain"] == pytest.approx(gain, abs=2e-5)
        assert row["control_gain_low"] < row["control_gain"] < row["control_gain_high"]
    assert "control" not in metrics["one-repeat"]


def test_another_arm_may_be_the_control() -> None:
    plain, metrics = one_model(good=0.95), one_model(good=0.95, control="good")
    for arm in ("repeat", "fair", "same"):
        row = metrics[f"one-{arm}"]
        assert row["control"] == "one-good"
        assert row["control_gain"] == pytest.approx(row["accuracy"] - metrics["one-good"]["accuracy"], abs=2e-5)
        assert row["control_gain_high"] < 0
    assert "control" not in metrics["one-good"]
    assert {name: row["gain"] for name, row in metrics.items() if "gain" in row} == {
        name: row["gain"] for name, row in plain.items() if "gain" in row
    }


def test_a_gain_that_is_one_of_many_comparisons_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own p-value is below 5 %, but not adjusted for four gains and three over the control."""

    def paired(p: float) -> Paired:
        return Paired(np.array([0.1]), (0.1 / stats.norm.isf(p / 2)) ** 2, 10**9)

    for p, verdict in ((0.03, "inconclusive"), (0.001, "helps")):
        monkeypatch.setattr(JUDGE, "compared", lambda run, baseline, p=p: paired(p))
        row = one_model()["one-good"]
        assert row["gain_p"] == pytest.approx(p, abs=1e-4)
        assert row["gain_p_holm"] == pytest.approx(7 * p, abs=1e-3)
        assert (row["gain_low"] > 0) == (verdict == "helps")
        assert row["verdict"] == verdict


def test_with_one_seed_there_is_an_exact_test() -> None:
    one = {name: value[:1] for name, value in TEST.items()}
    metrics = evaluate(results(settings(), one, {}, LABELS[:0], NONE))
    right = [one[name][0].argmax(1) == LABELS for name in ("one-repeat", "one-real")]
    assert metrics["one-repeat"]["exact_p"] == pytest.approx(mcnemar(*right), abs=1e-5)
    assert "exact_p" not in scored()["one-repeat"]


def test_ensembles_are_a_family_of_their_own() -> None:
    metrics = scored()
    p_values = [metrics["vote"][key] for key in ("gain_p", "equal_gain_p")]
    assert [metrics["vote"][f"{key}_holm"] for key in ("gain_p", "equal_gain_p")] == pytest.approx(
        holm(p_values), abs=2e-5
    )
    both = [metrics[name]["gain_p"] for name in ("one-repeat", "two-repeat")]
    assert [metrics[name]["gain_p_holm"] for name in ("one-repeat", "two-repeat")] == pytest.approx(
        holm(both), abs=2e-5
    )


def test_the_interval_of_the_equal_gain_is_over_images_alone() -> None:
    """Each of three seeds is in two of the means of the rival, which are not independent."""
    row = scored()["vote"]
    rival = rotated_means(TEST[row["baseline"]], 2)
    right, before = (p.argmax(2) == LABELS for p in (TEST["vote"], rival))
    assert row["equal_gain"] == pytest.approx(right.mean() - before.mean(), abs=1e-5)
    error = (right.mean(0) - before.mean(0)).std(ddof=1) / np.sqrt(len(LABELS))
    lowest = min(row[f"{key}_p"] for key in ("gain", "equal_gain"))
    level = 0.05 / 2 if row["equal_gain_p"] == lowest or lowest > 0.025 else 0.05
    half = stats.t.isf(level / 2, len(LABELS) - 1) * error
    assert (row["equal_gain_high"] - row["equal_gain_low"]) / 2 == pytest.approx(half, rel=1e-3)


def test_nets_of_several_training_sets_are_no_rival_at_equal_compute() -> None:
    """The mean over replicates of a member has then seen more images than the ensemble, whose members share theirs."""
    own = measure(LABELS, settings().compare, seed=settings().seed, own_images=True)
    row = evaluated(results(settings(), TEST, VAL, LABELS[:12], NONE), own)["vote"]
    assert "gain" in row
    assert "equal_gain" not in row


def test_members_without_weight_are_left_out() -> None:
    weighted = all_results(
        settings(), TEST, VAL, LABELS[:12], NONE, measure=JUDGE, weights={"vote": {"one-real": 0.0, "two-real": 1.0}}
    )
    assert weighted[-1].members == ("two-real",)
    assert "equal_gain" not in evaluate(weighted)["vote"]
