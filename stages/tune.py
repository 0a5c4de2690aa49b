"""tune@<model>-<arm>, tune_finetuned@..., tune_student@...: the settings of a run, relative to its model's.

-> data/tuned/<model>-<arm>.json, and every trial of the search in data/trials/<model>-<arm>.csv. For `budget: tuned`;
else the settings are the model's own, and there are no trials.
"""

import sys
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.model import Model
from touchstone.config.schema.tune import TRIAL_COLUMNS, Tune, Tuned
from touchstone.stage import run

import pandas as pd

SETTINGS = ("train.tune",)
DATA, STATE = Path("data"), Path(".touchstone")


def main() -> None:
    model, arm = sys.argv[1:]
    name = f"{model}-{arm}"
    found, trials = Tuned(), pd.DataFrame(columns=TRIAL_COLUMNS)
    if load_settings(Model, f"models/{model}").budget == "tuned":
        found, trials = search(model, arm)
    for kind in ("tuned", "trials"):
        (DATA / kind).mkdir(exist_ok=True)
    trials.to_csv(DATA / f"trials/{name}.csv", index=False)
    (DATA / f"tuned/{name}.json").write_text(found.model_dump_json() + "\n")


def search(model: str, arm: str) -> tuple[Tuned, pd.DataFrame]:
    from touchstone.training.load import load_run, run_fingerprint  # here: settings of one's own need no torch
    from touchstone.training.resume import Apart, mark_complete, open_checkpoint
    from touchstone.training.tuning import tune

    ranges = load_settings(Tune, "tune", "train", "tune")
    training_run = load_run(model, arm, data=DATA, machine=load_machine(), features=STATE / "features")
    stage = {"model": "tune", "finetune": "tune_finetuned", "student": "tune_student"}[training_run.settings.role]
    # A trial has a folder of its own: another number of trials, or of replicates, invalidates none.
    apart: Apart = {"data/settings/tune.json": ["tune"]}
    mark = run_fingerprint(stage, training_run, model=model, arm=arm, apart=apart)
    store, request = STATE / "tune" / f"{model}-{arm}", f"{ranges.model_dump_json()} {training_run.settings.seeds}"
    found, trials = tune(training_run, ranges, store=open_checkpoint(store, mark, request=request))
    mark_complete(store, mark, request=request)
    return found, trials


if __name__ == "__main__":
    run(main)
