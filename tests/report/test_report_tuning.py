"""The report tells which settings were searched, and warns of an untuned baseline."""

from dataclasses import replace

import pandas as pd

from kit.report import with_settings
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.model import Model
from touchstone.config.schema.tune import TRIAL_COLUMNS
from touchstone.report import pages, tuning
from touchstone.report.facts import Facts

NONE = {"finetunes": {}, "students": {}}


def model(**changes) -> Model:
    return resolve_model({"net": "lenet", "input_size": 8, "num_steps": 3} | changes)


def test_an_untuned_baseline_is_warned_of(facts: Facts, page: str, twin: str) -> None:
    text = tuning.about(facts.settings)
    assert text.startswith(
        "The baseline, real, is untuned: its learning rate, weight decay, number of steps and online"
    )
    assert "apart from" not in text
    assert text in page
    assert text in twin
    found = with_settings(facts, models={"a": model(lr="auto"), "b": model()})
    assert "apart from the learning rate of a, which was found on the real images." in tuning.about(found.settings)
    assert tuning.about(with_settings(facts, arms={"real": Arm()}).settings) == ""
    assert "Settings that were searched" not in page + twin


def test_searched_settings_are_told(facts: Facts) -> None:
    both = with_settings(facts, models={"a": model(budget="tuned"), "b": model(budget="tuned")}, **NONE)
    text = tuning.about(both.settings)
    assert text.startswith("The settings of each run, including the baseline, were searched: learning rate, weight")
    assert "with 16 trials each, on the validation images, with the first replicate." in text
    assert "untuned" not in text
    one = tuning.about(with_settings(facts, models={"a": model(budget="tuned"), "b": model()}, **NONE).settings)
    assert "each run of a, including" in one
    assert "The baseline of b, real, is untuned" in one


def test_the_table_of_searches(facts: Facts) -> None:
    def trials(*rows: tuple[object, ...]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=TRIAL_COLUMNS).astype(str)

    own = (0, 1.0, "", 1.0, 1.0, "complete", 30, 0.9, 0.4, False)
    found = (1, 2.5, 0.001, 0.5, 0.25, "complete", 15, 0.95, 0.3, True)
    pruned, failed = (2, 9.0, "", 1.0, 1.0, "pruned", 8, 0.5, 0.9, False), (3, 9, "", 1, 1, "diverged", 1, "", "", "")
    settings = with_settings(
        facts, models={"a": model(budget="tuned"), "b": model(budget="tuned", select="last")}, **NONE
    )
    searched = replace(
        settings, trials={"a-real": trials(own, found, pruned, failed), "b-real": trials((*own[:-1], True), pruned)}
    )
    table = tuning.table(searched)
    first, second = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert first == {
        "run": "a-real",
        "trials": "4",
        "ended early": "1 pruned, 1 diverged",
        "learning rate ×": "2.5",
        "weight decay": "0.001",
        "steps ×": "0.5",
        "augmentation ×": "0.25",
        "judged by": "val_accuracy",
        "own settings": "90.0",
        "found": "95.0",
    }
    assert (second["weight decay"], second["ended early"], second["judged by"]) == ("own", "1 pruned", "val_loss")
    assert (second["own settings"], second["found"]) == ("0.400", "0.400")


def test_the_pages_have_the_table(facts: Facts) -> None:
    result = next(result for result in facts.results if result.arm)
    tuned = facts.settings.models[result.model].model_copy(update={"budget": "tuned"})
    trials = pd.DataFrame([(0, 1.0, "", 1.0, 1.0, "complete", 30, 0.9, 0.4, True)], columns=TRIAL_COLUMNS).astype(str)
    searched = replace(
        with_settings(facts, models=facts.settings.models | {result.model: tuned}), trials={result.name: trials}
    )
    for text in (pages.markdown(searched), pages.html(searched)):
        assert "Settings that were searched" in text
        assert "augmentation ×" in text
