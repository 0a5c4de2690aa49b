"""The few figures that DVC's tables show."""

import pandas as pd

from touchstone.evaluation.summary import gains, of_audit, of_runs, val_losses


def test_a_run_keeps_its_primary_score_its_gain_and_its_verdict() -> None:
    metrics = {
        "a-real": {"accuracy": 0.912345, "nll": 0.3, "accuracy_sd": 0.01},
        "a-more": {"accuracy": 0.93, "gain": 0.017655, "gain_low": -0.01, "verdict": "inconclusive", "diverged": "x"},
    }
    assert of_runs(metrics) == {
        "a-real": {"accuracy": 0.9123},
        "a-more": {"accuracy": 0.93, "gain": 0.0177, "verdict": "inconclusive"},
    }
    assert str(of_runs({"a-more": {"accuracy": 0.9, "gain": -1e-9}})["a-more"]["gain"]) == "0.0", "and not -0.0"
    assert of_runs({"a-real": {"map": 0.5, "accuracy": 0.9}}) == {"a-real": {"map": 0.5}}


def test_an_added_set_keeps_its_verdict() -> None:
    audit = {"encoder": {"sha256": "ab"}, "sets": {"gan": {"verdict": "copies", "reasons": "3 exact copies"}}}
    assert of_audit(audit) == {"gan": {"verdict": "copies"}}


def test_gains_are_drawn_in_points_and_losses_as_means_over_the_replicates() -> None:
    metrics = {
        "a-real": {"accuracy": 0.9},
        "a-more": {"gain": 0.012345, "gain_low": -0.01, "gain_high": 0.03, "verdict": "inconclusive"},
    }
    assert gains(metrics).to_dict("records") == [
        {"run": "a-more", "gain": 1.23, "gain_low": -1.0, "gain_high": 3.0, "verdict": "inconclusive"}
    ]
    rows = [(0, 10, 1.0), (1, 10, 2.0), (0, 20, 0.5), (1, 20, 0.7), (2, 10, 9.0)]
    history = pd.DataFrame(rows, columns=["seed", "step", "val_loss"])
    table = val_losses({"a-real": history, "b-real": history[["seed", "step"]]}, {"a-real": {"2": "x"}, "b-real": {}})
    assert table.to_dict("records") == [
        {"run": "a-real", "step": 10, "val_loss": 1.5},
        {"run": "a-real", "step": 20, "val_loss": 0.6},
    ]
    assert val_losses({}, {}).columns.tolist() == ["run", "step", "val_loss"]
