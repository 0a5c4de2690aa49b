"""The few figures that DVC's tables show."""

from touchstone.evaluation.summary import of_audit, of_runs


def test_a_run_keeps_its_primary_score_its_gain_and_its_verdict() -> None:
    metrics = {
        "a-real": {"accuracy": 0.912345, "nll": 0.3, "accuracy_sd": 0.01},
        "a-more": {"accuracy": 0.93, "gain": 0.017655, "gain_low": -0.01, "verdict": "inconclusive", "diverged": "x"},
    }
    assert of_runs(metrics) == {
        "a-real": {"accuracy": 0.9123},
        "a-more": {"accuracy": 0.93, "gain": 0.0177, "verdict": "inconclusive"},
    }
    assert of_runs({"a-real": {"map": 0.5, "accuracy": 0.9}}) == {"a-real": {"map": 0.5}}


def test_an_added_set_keeps_its_verdict() -> None:
    audit = {"encoder": {"sha256": "ab"}, "sets": {"gan": {"verdict": "copies", "reasons": "3 exact copies"}}}
    assert of_audit(audit) == {"gan": {"verdict": "copies"}}
