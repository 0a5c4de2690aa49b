import numpy as np
import pytest
from scipy import stats

from kit.project import ROOT
from touchstone.config import params, yaml12
from touchstone.config.params import Params
from touchstone.evaluation.compare import Paired, holm, mcnemar
from touchstone.evaluation.ensembles import rotated_means
from touchstone.evaluation.evaluate import class_table, confusion_table
from touchstone.evaluation.evaluate import evaluate as evaluated
from touchstone.evaluation.measures import measure
from touchstone.evaluation.results import entries as every_entry

CLASSES = ["cat", "dog", "fox"]
LABELS = np.arange(60) % 3
TEXT = (ROOT / "recipes/digits/params.yaml").read_text()


def settings() -> Params:
    values = [
        "transforms={repeat: {}}",
        "arms={real: {add: []}, repeat: {add: [repeat]}}",
        "models={one: {net: lenet}, two: {net: simple}}",
        "explain.runs=[]",
        "ensembles={vote: {rule: majority, members: [one-real, two-real], prefer: two-real}}",
        "compare={baseline: real, num_resamples: 500, confidence: 0.95}",
    ]
    return Params.model_validate(params._tuples(yaml12.parse(yaml12.changed(TEXT, values))))


def probs(rate: float, seed: int, labels: np.ndarray = LABELS) -> np.ndarray:
    """(3, N, 3): right at this rate."""
    rng = np.random.default_rng(seed)
    decided = np.where(rng.random((3, len(labels))) < rate, labels, (labels + 1) % 3)
    return np.where(np.eye(3)[decided] > 0, 0.8, 0.1).astype(np.float32)


TEST = {"one-real": probs(0.4, 0), "one-repeat": probs(0.95, 1), "two-real": probs(0.7, 2), "two-repeat": probs(0.7, 3)}
TEST["vote"] = TEST["two-real"]
NONE: dict[str, dict[str, str]] = {name: {} for name in TEST if name != "vote"}
VAL = {name: value[:, :12] for name, value in TEST.items()} | {"two-real": probs(0.0, 0)[:, :12]}


JUDGE = measure(LABELS, settings().compare, seed=settings().seed)


def entries(*given):
    return every_entry(*given, measure=JUDGE)


def evaluate(every, *_):
    return evaluated(every, JUDGE)


def test_runs_are_compared_with_their_model_on_the_baseline_arm() -> None:
    every = {e.name: e for e in entries(settings(), TEST, VAL, LABELS[:12], NONE)}
    assert {name: e.baseline for name, e in every.items()} == {
        "one-real": "",
        "one-repeat": "one-real",
        "two-real": "",
        "two-repeat": "two-real",
        "vote": "one-real",  # the best member on validation, though not on test
    }


def test_without_validation_an_ensemble_is_compared_with_its_preferred_member() -> None:
    none = {name: value[:, :0] for name, value in VAL.items()}
    every = {e.name: e for e in entries(settings(), TEST, none, LABELS[:0], NONE)}
    assert every["vote"].baseline == "two-real"
    assert "val_accuracy" not in evaluate(list(every.values()), LABELS, settings())["vote"]


def test_metrics_are_flat_sorted_rounded_and_the_verdict_follows_the_interval() -> None:
    metrics = evaluate(entries(settings(), TEST, VAL, LABELS[:12], NONE), LABELS, settings())
    row = metrics["one-repeat"]
    assert list(row) == sorted(row)
    assert row["verdict"] == "helps"
    assert row["gain"] == pytest.approx(row["accuracy"] - metrics["one-real"]["accuracy"], abs=1e-5)
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["gain_p"] < 0.05
    assert row["gain_chance"] == pytest.approx(1 - row["gain_p"] / 2, abs=1e-5)
    assert row["gain_detectable"] > 0
    assert all(value == round(value, 5) for value in row.values() if isinstance(value, float))
    assert "gain" not in metrics["one-real"]
    expected = np.mean(VAL["one-repeat"].argmax(2) == LABELS[:12])
    assert row["val_accuracy"] == pytest.approx(expected, abs=1e-5)


def test_class_accuracies_are_the_confusion_diagonal() -> None:
    entry = entries(settings(), TEST, VAL, LABELS[:12], NONE)[2]
    table = confusion_table(entry, LABELS, CLASSES)
    assert len(table) == 3 * 60
    matrix = table.groupby(["actual", "predicted"]).size().unstack(fill_value=0)
    diagonal = [matrix.loc[name, name] / matrix.loc[name].sum() for name in CLASSES]
    found = class_table(entry, LABELS, CLASSES)
    assert found["accuracy"].tolist() == pytest.approx(diagonal, abs=1e-5)
    assert found["n_test"].tolist() == [20, 20, 20]


def scored(**diverged: str) -> dict[str, dict[str, float | str]]:
    """The metrics where training of some runs diverged in seed 1."""
    failed = NONE | {name.replace("_", "-"): {"1": text} for name, text in diverged.items()}
    return evaluate(entries(settings(), TEST, VAL, LABELS[:12], failed), LABELS, settings())


def test_a_run_that_diverged_has_no_gain_and_its_ensemble_leaves_it_out() -> None:
    sound, metrics = scored(), scored(one_repeat="boom")
    assert metrics["one-repeat"]["diverged"] == "1 of 3 seeds"
    assert metrics["one-repeat"]["verdict"] == "diverged"
    assert not {"gain", "gain_low", "gain_high"} & metrics["one-repeat"].keys()
    assert metrics["one-repeat"]["accuracy"] == sound["one-repeat"]["accuracy"], "of all seeds, not of survivors"
    less = metrics["two-repeat"].pop("gain_detectable"), sound["two-repeat"].pop("gain_detectable")
    assert less[0] < less[1], "fewer are judged together"
    assert metrics["two-repeat"] == sound["two-repeat"]
    assert metrics["vote"] == sound["vote"], "no member of it"
    assert "diverged" not in str(sound)


def test_where_the_baseline_diverged_nothing_can_be_compared_with_it() -> None:
    """An ensemble of one member left is none."""
    metrics = scored(one_real="boom")
    assert metrics["one-real"]["diverged"] == "1 of 3 seeds"
    assert "verdict" not in metrics["one-real"]
    assert metrics["one-repeat"]["verdict"] == "diverged"
    assert "diverged" not in metrics["one-repeat"]
    assert metrics["vote"]["left_out"] == "one-real"
    assert metrics["vote"]["baseline"] == "two-real", "the best of those it is made of"
    assert metrics["vote"]["diverged"] == "every member but two-real"
    assert "gain" not in metrics["vote"], "it would be compared with itself"


def test_an_ensemble_whose_members_all_diverged_has_diverged() -> None:
    metrics = scored(one_real="boom", two_real="boom")
    assert metrics["vote"]["diverged"] == "every member"
    assert metrics["vote"]["verdict"] == "diverged"
    assert "left_out" not in metrics["vote"]


ARMS = ("real", "repeat", "good", "fair", "same")


def several(**rates: float) -> dict[str, dict[str, float | str]]:
    """The metrics of one model on several arms."""
    arms = ", ".join(f"{arm}: {{add: [{'flip' if arm not in ('real', 'repeat') else 'repeat'}]}}" for arm in ARMS[1:])
    values = [
        "transforms={repeat: {}, flip: {hflip: true}}",
        f"arms={{real: {{add: []}}, {arms}}}",
        "models={one: {net: lenet}}",
        "explain.runs=[]",
        "ensembles={}",
        "compare={baseline: real, num_resamples: 2000, confidence: 0.95}",
    ]
    params_ = Params.model_validate(params._tuples(yaml12.parse(yaml12.changed(TEXT, values))))
    test = {f"one-{arm}": probs(rates.get(arm, 0.6), i) for i, arm in enumerate(ARMS)}
    return evaluate(entries(params_, test, {}, LABELS[:0], {name: {} for name in test}))


def test_the_arms_of_a_model_are_judged_together_and_over_plain_copies_apart() -> None:
    metrics = several(good=0.95, repeat=0.62)
    family = [metrics[f"one-{arm}"] for arm in ARMS[1:]]
    assert [row["gain_p_holm"] for row in family] == pytest.approx(holm([row["gain_p"] for row in family]), abs=1e-4)
    assert metrics["one-good"]["verdict"] == "helps"
    for row in family[1:]:
        assert row["control"] == "one-repeat"
        gain = row["accuracy"] - metrics["one-repeat"]["accuracy"]
        assert row["control_gain"] == pytest.approx(gain, abs=2e-5)
        assert row["control_gain_low"] < row["control_gain"] < row["control_gain_high"]
    assert "control" not in metrics["one-repeat"]


def test_a_gain_that_is_one_of_many_looked_at_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own interval leaves 0 out; adjusted for four arms its p-value is above 5 %."""

    def found(p: float) -> Paired:
        sd = 0.1 / stats.norm.isf(p / 2)
        return Paired(np.array([0.1]), 0.1 + sd * stats.norm.ppf(np.arange(1, 10000) / 10000)[:, None])

    for p, word in ((0.03, "inconclusive"), (0.01, "helps")):
        monkeypatch.setattr(JUDGE, "compared", lambda run, baseline, p=p: found(p))
        row = several()["one-good"]
        assert row["gain_low"] > 0
        assert row["gain_p"] == pytest.approx(p, abs=1e-3)
        assert row["gain_p_holm"] == pytest.approx(4 * p, abs=4e-3)
        assert row["verdict"] == word


def test_one_seed_has_an_exact_test_beside() -> None:
    one = {name: value[:1] for name, value in TEST.items()}
    metrics = evaluate(entries(settings(), one, {}, LABELS[:0], NONE))
    right = [one[name][0].argmax(1) == LABELS for name in ("one-repeat", "one-real")]
    assert metrics["one-repeat"]["exact_p"] == pytest.approx(mcnemar(*right), abs=1e-5)
    assert "exact_p" not in scored()["one-repeat"]


def test_ensembles_are_judged_together_beside_the_arms() -> None:
    metrics = scored()
    assert metrics["vote"]["gain_p_holm"] == metrics["vote"]["gain_p"], "a family of one"
    both = [metrics[name]["gain_p"] for name in ("one-repeat", "two-repeat")]
    assert [metrics[name]["gain_p_holm"] for name in ("one-repeat", "two-repeat")] == pytest.approx(
        holm(both), abs=2e-5
    )


def test_at_equal_compute_seeds_that_overlap_are_no_evidence() -> None:
    """Means of two of three seeds, each seed in two of them: the interval is over images."""
    entry = next(e for e in entries(settings(), TEST, VAL, LABELS[:12], NONE) if e.name == "vote")
    row = scored()["vote"]
    rival = rotated_means(TEST[row["baseline"]], 2)
    right, before = (p.argmax(2) == LABELS for p in (entry.probs, rival))
    assert row["equal_gain"] == pytest.approx(right.mean() - before.mean(), abs=1e-5)
    each = (right.mean(0) - before.mean(0)).std() / np.sqrt(len(LABELS))
    assert (row["equal_gain_high"] - row["equal_gain_low"]) / 2 == pytest.approx(1.96 * each, rel=0.15)


def test_members_without_weight_are_none() -> None:
    of_one = every_entry(
        settings(), TEST, VAL, LABELS[:12], NONE, measure=JUDGE, weights={"vote": {"one-real": 0.0, "two-real": 1.0}}
    )
    assert of_one[-1].members == ("two-real",)
    assert "equal_gain" not in evaluate(of_one)["vote"]
