"""Files as the stages leave them on disk, written by the functions that the stages call, and facts read from there."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.project import ROOT
from touchstone.config.declared import sections
from touchstone.config.load import load as load_params
from touchstone.config.resolved import write as write_settings
from touchstone.config.settings import Settings, load_settings
from touchstone.data.imageset import class_indices, load
from touchstone.data.prepare import prepare
from touchstone.data.sheets import save_with_sheet
from touchstone.data.sources import ArraySet, RawImage
from touchstone.data.training_set import manifest
from touchstone.data.transforms import transform
from touchstone.evaluation import ensembles
from touchstone.evaluation.evaluate import evaluate, plots
from touchstone.evaluation.measures import measure
from touchstone.evaluation.probs import load_all, load_diverged, predictions
from touchstone.evaluation.results import results
from touchstone.report.facts import Facts
from touchstone.report.gather import gather
from touchstone.report.pages import write
from touchstone.report.words import Sentence

CLASSES = ['<b>&"', "straße_é"]


SPLITS = {"train": 8, "val": 4, "test": 6, "unlabelled": 12}


PARAMS = """
source: {path: /home/someone/secret, mirror: "https://e.org"}
data:
  {source: digits, image_size: 8, channels: 1, val_fraction: 0,
   resize: squash, bad_images: fail, max_pixels: 1000000, near_duplicates: report, train_size: 0, test_fraction: 0.5,
   fold: '', split_seed: 0}
seed: 0
arithmetic: portable
multi_label: {}
transforms: {tilt: {rotate_deg: 10, hflip: true}}
arms: {real: {add: []}, more: {add: [tilt]}}
models: {lenet: {options: {width: 2}, lr: RATE}}
finetunes: FINETUNES
students: {}
generators: {gan: {kind: dcgan, fit: {num_steps: 3}, sample: {per_class: 2, filter: {min_confidence: 0.5}}}}
audit: {seed: 5, encoder: {net: lenet}}
train: {num_steps: 20, batch_size: 4, eval_steps: 10, replicates: SEEDS}
ensembles: {both: {rule: mean, members: [lenet-real, lenet-more]}}
compare: {num_resamples: 200}
explain: {images: 2, runs: [lenet-real]}
report: {worst: 3}
machine: {accelerator: cpu}
"""


# Probability of class 1 on each test image, in the order of the files; the classes are 0, 0, 0, 1, 1, 1.
REAL = [0.9, 0.2, 0.6, 0.9, 0.2, 0.05]


MORE = [0.4, 0.2, 0.7, 0.9, 0.8, 0.9]


def raw(*, val: bool, unlabelled: bool) -> ArraySet:
    images = []
    for split, count in SPLITS.items():
        if (split == "val" and not val) or (split == "unlabelled" and not unlabelled):
            continue
        for i in range(count):
            label = "" if split == "unlabelled" else CLASSES[i * 2 // count]
            images.append(RawImage(f"{split}{i}", label, split, f"{split}/{i}|a_.png"))
    pixels = np.random.default_rng(0).integers(0, 256, (len(images), 8, 8, 1), dtype=np.uint8)
    return ArraySet(CLASSES, images, pixels)


def workspace(
    root: Path,
    *,
    val: bool = True,
    unlabelled: bool = True,
    seeds: int = 2,
    diverged: str = "",
    lr: str = "0.01",
    finetunes: str = "{}",
) -> Path:
    """Write the files that the stages leave on disk, by the functions that the stages call, with invented predictions.

    diverged: the run whose first seed did. Of finetunes the runs on `real` have attention.
    """
    data = root / "data"
    (root / "params.yaml").write_text(
        PARAMS.replace("SEEDS", str(seeds)).replace("RATE", lr).replace("FINETUNES", finetunes)
    )
    settings = load_params(root / "params.yaml")
    prepare(raw(val=val, unlabelled=unlabelled), data=settings.data, to=data / "prepared", sheet_size=4)
    train = load(data / "prepared/train")
    save_with_sheet(
        data / "augmented/tilt", transform(train, name="tilt", settings=settings.transforms["tilt"]), sheet_size=8
    )
    (data / "arms").mkdir()
    for name, arm in settings.arms.items():
        (data / f"arms/{name}.json").write_text(json.dumps(manifest(arm, augmented=data / "augmented")))
    for name in settings.runs:
        ones = REAL if name.endswith("-real") and name not in settings.runs_of("on") else MORE
        _predict(data, name, ones, num_seeds=settings.train.replicates)
        history = {"step": [10, 20], "epoch": [5, 10], "train_loss": [1.5, 0.01]}
        history |= {"val_loss": [1.0, 0.5], "val_accuracy": [0.5, 1.0]} if val else {"val_loss": "", "val_accuracy": ""}
        history["lr"] = [0.01, 0.001]
        (data / "curves").mkdir(exist_ok=True)
        pd.DataFrame(history).to_csv(data / f"curves/{name}.csv", index=False)
        failed = {"0": "diverged after 1.5 epochs: <boom>"} if name == diverged else {}
        (data / f"probs/{name}/diverged.json").write_text(json.dumps(failed))
    _find_lr(data, lr)
    _explain(data, [f"{name}-real" for name in settings.finetunes])
    _ensemble(data, settings)
    _evaluate(root, settings)
    _generate_and_audit(root)
    return root


def _generate_and_audit(root: Path) -> None:
    """Figures of a set with too few images for some of them."""
    shutil.copytree(root / "data/augmented/tilt", root / "data/augmented/gan")
    (root / "data/augmented/gan/counts.csv").write_text("class,sampled,kept\na,10,2\nb,20,3\n")
    (root / "data/augmented/gan/losses.csv").write_text(
        "step,loss,discriminator_loss,diversity\n1,0.7,1.3,\n2,0.8,1.2,0.5\n3,0.9,1.1,0.75\n"
    )
    measured = ("frechet", "kid", "precision", "recall", "density", "coverage")
    test = {"exact_test": 1, "near_test": 1, "mirrored_test": 1, "near_test_floor": 0.01, "num_images": 8}
    figures = {f"{name}{end}": 0.125 for name in measured for end in ("", "_sd", "_floor", "_floor_sd")}
    figures |= {f"{kind}_training": 1 for kind in ("exact", "near", "mirrored")} | test
    figures |= {"near_training_floor": 0.01, "ratio": 0.5, "ratio_floor": None, "frechet_gap": -0.25}
    figures |= {"c_t": -4.25, "c_t_floor": None, "num_matched": 6, "label_agreement": 0.875}
    figures |= {"label_agreement_floor": 0.75, "verdict": "nearer", "reasons": "8 <nearer> images."}
    figures |= {"nearer": 0.65, "nearness_z": 7.125, "nearness_p_holm": 0.0002, "copies_bound": 0.005}
    leaked = test | {"verdict": "leak", "reasons": "8 exact <copies>."}
    encoder, search = {"test_accuracy": 0.75}, {"recall_mirrored": 1.0, "recall_noisy": 0.98, "recall_moved": None}
    audit = {"sets": {"tilt": leaked, "gan": figures}, "encoder": encoder, "search": search}
    (root / "data/audit").mkdir()
    (root / "data/audit/audit.json").write_text(json.dumps(audit))
    shutil.copy(root / "data/augmented/gan/sheet.png", root / "data/audit/gan-strip.png")
    for name in ("tilt", "gan"):
        shutil.copy(root / "data/augmented/tilt/sheet.png", root / f"data/audit/{name}.png")
    train, test = (load(root / f"data/prepared/{split}").table["id"] for split in ("train", "test"))
    nearest = {"id": test, "nearest_id": train.iloc[[3, 1, 4, 1, 5, 2]].tolist(), "distance": 0.5}
    pd.DataFrame(nearest).to_csv(root / "data/audit/test-nearest.csv", index=False)
    np.save(root / "data/audit/test-features.npy", np.eye(len(test), dtype=np.float16))


def _explain(data: Path, runs: list[str]) -> None:
    (data / "explained").mkdir()
    shares = {"patches": 4, "least": 0.2, "most": 0.375}
    (data / "explained/attention.json").write_text(json.dumps(dict.fromkeys(runs, shares)))
    for run in runs:
        shutil.copy(data / "augmented/tilt/sheet.png", data / f"explained/{run}.png")
    to = data / "explained/attributions/lenet-real"
    to.mkdir(parents=True)
    np.save(to / "tiles.npy", np.full((1, 3, 8, 8, 3), [[[[[9]]], [[[99]]], [[[200]]]]], np.uint8))
    (to / "scales.json").write_text(json.dumps({"saliency": 0.25, "integrated_gradients": 0.5}))
    (to / "extent.json").write_text(json.dumps({"chosen": 1, "images": 1, "checked": 1, "stages": 5, "doublings": 5}))
    row = {"file": "test/0|a_.png", "true": CLASSES[0], "explained": CLASSES[1], "probability": 0.9, "logit": 2.5}
    row |= {"plain_logit": -0.25, "integrated_gradients_delta": 0.0012, "deep_lift_delta": -0.0}
    pd.DataFrame([row]).to_csv(to / "images.csv", index=False)
    sanity = {
        "method": ["saliency", "integrated_gradients"] * 3,
        "layers": [0, 0, 1, 1, 2, 2],
        "likeness": [1, 1, 0.5, 0.25, 0.1, ""],
        "another_seed": [0.7, 0.8] * 3,
    }
    pd.DataFrame(sanity).to_csv(to / "sanity.csv", index=False)


def _find_lr(data: Path, lr: str) -> None:
    (data / "lr").mkdir()
    (data / "lr_curves").mkdir()
    (data / "lr/lenet.json").write_text(json.dumps({"lr": 0.003 if lr == "auto" else None}))
    if lr == "auto":
        curve = {"lr": [0.0001, 0.001, 0.01], "loss": [2.3, 1.5, 3.0], "smoothed": [2.2, 1.6, 2.0]}
        pd.DataFrame(curve).to_csv(data / "lr_curves/lenet.csv", index=False)


def _predict(data: Path, name: str, ones: list[float], *, num_seeds: int) -> None:
    (data / "probs" / name).mkdir(parents=True)
    for split in SPLITS:
        count = len(load(data / "prepared" / split))
        one = np.array(ones if split == "test" else [0.75] * count, np.float32)
        probs = np.stack([1 - one, one], 1)
        np.save(data / f"probs/{name}/{split}.npy", np.stack([probs] * num_seeds))


def _ensemble(data: Path, settings: Settings) -> None:
    files = pd.read_csv(data / "prepared/files.csv", dtype=str, keep_default_na=False)
    names = files.loc[files["split"] == "unlabelled", "file"].tolist()
    (data / "ensembles/both").mkdir(parents=True)
    for split in SPLITS:
        members = {run: np.load(data / f"probs/{run}/{split}.npy") for run in settings.runs}
        np.save(data / f"ensembles/both/{split}.npy", ensembles.combine("mean", members, prefer=""))
    table = predictions(np.load(data / "ensembles/both/unlabelled.npy"), names, CLASSES)
    table.to_csv(data / "ensembles/both/predictions.csv", index=False)


def _evaluate(root: Path, settings: Settings) -> None:
    data = root / "data"
    labels = {s: class_indices(load(data / "prepared" / s).table["label"], CLASSES) for s in ("val", "test")}
    val, test = (load_all(data, settings, split) for split in ("val", "test"))
    judge = measure(labels["test"], settings.compare, seed=settings.seed)
    every = results(settings, test, val, labels["val"], load_diverged(data / "probs", settings.runs), measure=judge)
    for kind, name, table in plots(every, labels["test"], CLASSES, settings.compare):
        (data / "plots" / kind).mkdir(parents=True, exist_ok=True)
        table.to_csv(data / f"plots/{kind}/{name}.csv", index=False)
    write(root / "data/evaluated/metrics.json", json.dumps(evaluate(every, judge)))


def facts_of(root: Path) -> Facts:
    """Gather the facts as the stage does, from the settings named in its SETTINGS alone."""
    settings = sections(ROOT / "stages/report.py", load_params(root / "params.yaml"))
    write_settings(root / "data/settings/report.json", settings)
    return gather(root, load_settings("report", folder=root / "data/settings"))


def with_settings(facts: Facts, **changes: Any) -> Facts:
    """The facts with some sections of their settings replaced."""
    sections = {name: getattr(facts.settings, name) for name in facts.settings.model_fields_set}
    return replace(facts, settings=Settings.model_construct(**sections | changes))


def spoken(sentence: Sentence) -> str:
    return "".join(fragment.text for fragment in sentence)
