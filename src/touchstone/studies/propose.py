"""Proposes a params.yaml that suits what was seen of a data set, and says what was assumed."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from touchstone.data.splits import LABELLED
from touchstone.studies.find_groups import Draw
from touchstone.studies.look import Seen

DRAW = Draw(test_fraction=0.3, val_fraction=0.2, seed=0)
SIDES = (16, 32, 48, 64, 96)  # px that are proposed for nets from scratch
SQUARE, LONG = 1.25, 2.0  # ratios of the sides up to which pictures may be squashed, and cropped to a square
BATCH, PASSES = 32, 15  # images of a batch; passes over the real training images
TURNED = re.compile(
    r"(?<![a-z])(?:north|south|upper|lower)?(?:left|right|(?:anti|counter)?clockwise|east|west)"
    r"(?:s|wards?|bound|hand|most|side)?(?![a-z])"
)
"""Words that mirroring undoes, not inside others: yeast has no side."""
TRANSFORMS: dict[str, dict[str, Any]] = {
    "tilted": {"rotate_deg": 8, "zoom": 0.95},
    "shifted": {"shift_x": 0.06, "shift_y": 0.04},
    "brighter": {"brightness": 1.15},
}
WEIGHTS = "data/weights/mobilenet_v2-imagenet.safetensors"


@dataclass(frozen=True)
class Plan:
    """One way to study a data set, from the most thorough to the quickest."""

    image_size: int
    replicates: int
    num_steps: int

    @property
    def work(self) -> float:
        """Return the time that it takes, in arbitrary units."""
        return self.image_size**2 * self.replicates * self.num_steps


@dataclass(frozen=True)
class Proposal:
    """Parameters, and what they assume."""

    params: dict[str, Any]
    assumed: list[str]


def plans(seen: Seen) -> list[Plan]:
    """Ways to study the data, the most thorough first; the first that fits the time is taken."""
    size = min(SIDES, key=lambda side: abs(math.log(side / max(1, seen.side))))
    smaller = [side for side in SIDES if side < size][-2:]
    steps = min(1500, max(300, 100 * math.ceil(PASSES * numbers(seen)["train"] / BATCH / 100)))
    sizes = [size, *reversed([side for side in smaller if side >= 16])]
    out = [Plan(each, 5, steps) for each in sizes]
    return [*out, replace(out[-1], replicates=3), replace(out[-1], replicates=3, num_steps=max(200, steps // 2))]


def numbers(
    seen: Seen, *, test: float = DRAW.test_fraction, val: float = DRAW.val_fraction, fold: str = ""
) -> dict[str, int]:
    """Split -> images, where the official splits stay and others are drawn by these shares, or as fold "k of n"."""
    given = {split: seen.splits.get(split, 0) for split in LABELLED}
    rest = seen.labelled - given["test"] - given["val"]
    tested = given["test"] or round(rest * test)
    rest -= 0 if given["test"] else tested
    share = 1 / int(fold.split(" of ")[1]) if fold else val
    validated = given["val"] or round(rest * share)
    return {"train": rest - (0 if given["val"] else validated), "val": validated, "test": tested}


def propose(
    seen: Seen, plan: Plan, *, source: str, path: str, table: str = "", mirror: bool | None, pretrained: bool
) -> Proposal:
    """Return the parameters of a study.

    table: the setting data.columns.table. mirror: whether images may be mirrored; None lets the class names decide.
    """
    assumed: list[str] = []
    mirrored = _may_be_mirrored(seen, mirror, assumed)
    transforms = ({"mirrored": {"hflip": True}} if mirrored else {}) | TRANSFORMS
    data = _data(seen, plan, source, assumed)
    if table:
        data["columns"] = {"table": table}
        assumed.append(f"Of the tables in {path} only {table} is read (data.columns.table).")
    models = _models(seen, plan, assumed, pretrained=pretrained)
    if "mobilenet" in models:
        data["image_size"] = max(plan.image_size, models["mobilenet"]["input_size"])
    params = {
        "source": {"path": path, "mirror": ""},
        "data": data,
        "multi_label": {},
        "seed": 0,
        "arithmetic": "portable",
        "transforms": transforms,
        "generators": {},
        "arms": _arms(transforms),
        "models": models,
        "finetunes": {},
        "students": {},
        "train": _train(seen, plan, has_val=bool(data["val_fraction"] or "val" in seen.splits)),
        "ensembles": {},
        "compare": {"baseline": "real", "num_resamples": 10000, "confidence": 0.95},
        "audit": {"seed": 1000, "encoder": {"net": "lenet", "input_size": 32}},
        "explain": {"images": 6, "runs": ["small-real", "small-fixed"], "choose": "worst"},
        "report": {"worst": 24, "sheet": 64},
        "machine": {"accelerator": "auto", "num_workers": 0, "save_seconds": 20},
    }
    return Proposal(params, assumed)


def _may_be_mirrored(seen: Seen, wanted: bool | None, assumed: list[str]) -> bool:
    if wanted is not None:
        return wanted
    mirrored = mirrors(seen)
    may, remedy = ("may", "--no-mirror") if mirrored else ("may not", "--mirror")
    why = (
        "no class name speaks of a side, a letter or a digit" if mirrored else "class names look like symbols or sides"
    )
    assumed.append(f"Images {may} be mirrored, as {why}; {remedy} says otherwise.")
    return mirrored


def mirrors(seen: Seen) -> bool:
    """Whether mirrored images still show their class, as far as the names of the classes tell."""
    names = [name.lower() for name in seen.classes]
    symbols = sum(len(name) == 1 or name.isdigit() for name in names)
    apart = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in seen.classes]  # TurnLeft
    return symbols < len(names) / 2 and not any(map(TURNED.search, apart))


def _data(seen: Seen, plan: Plan, source: str, assumed: list[str]) -> dict[str, Any]:
    """The section `data`: size, channels, how pictures become square, and the splits that are not given."""
    ratios = seen.widths / seen.heights
    alike = float(abs(ratios - 1).max()) < SQUARE - 1
    resize = "squash" if alike or seen.multi_label else "crop"  # a crop could lose what a label speaks of
    if resize == "crop" and float(np.median(np.maximum(ratios, 1 / ratios))) > LONG:
        resize = "pad"
        assumed.append("Pictures are much longer than wide or wider than long: they are padded to squares.")
    if resize == "crop":
        assumed.append("Pictures are not square: their central squares are taken (data.resize: pad keeps the rest).")
    given = [split for split in LABELLED if seen.splits.get(split)]
    if given:
        assumed.append(f"The splits {', '.join(given)} are taken as they are.")
    if seen.group:
        assumed.append(f"Images of a group stay in one split (data.group): {seen.group_about}.")
    data = {
        "source": source,
        "image_size": plan.image_size,
        "channels": seen.channels or (1 if seen.grey else 3),
        "resize": resize,
        "bad_images": "skip" if seen.unreadable else "fail",
        "max_pixels": 50_000_000,
        "near_duplicates": "report",
        "train_size": 0,
        "test_fraction": 0 if "test" in given else DRAW.test_fraction,
        "val_fraction": 0 if "val" in given else DRAW.val_fraction,
        "fold": "",
        "split_seed": DRAW.seed,
    }
    if seen.channels or seen.bits == 16:
        assumed.append(f"Files hold {seen.kind}, which are kept (data.channels, data.bits).")
    if seen.white:
        assumed.append(
            f"No value is above {seen.white}, which is taken for white (data.white): larger ones are cut to it."
        )
    deep = ({"bits": 16} if seen.bits == 16 else {}) | ({"white": seen.white} if seen.white else {})
    return data | deep | ({"group": seen.group} if seen.group else {})


def _train(seen: Seen, plan: Plan, *, has_val: bool) -> dict[str, Any]:
    every = max(1, plan.num_steps // 10)
    best = "val_map" if seen.multi_label else "val_accuracy"
    return {
        "num_steps": plan.num_steps,
        "batch_size": BATCH,
        "optimizer": "adam",
        "lr": 0.002,
        "schedule": "one_cycle",
        "eval_steps": every,
        "select": best if has_val else "last",
        "crop_padding": 0,
        "hflip": False,
        "num_threads": 1,
        "replicates": plan.replicates,
        "vary": "seed",
    }


def _models(seen: Seen, plan: Plan, assumed: list[str], *, pretrained: bool) -> dict[str, Any]:
    models: dict[str, Any] = {"small": _small(plan)}
    if pretrained and seen.side >= 64 and not seen.grey and not seen.channels:
        models["mobilenet"] = {
            "net": "mobilenet_v2", "input_size": 96, "weights": WEIGHTS, "trainable": ["head"], "lr": 0.001,
        }  # fmt: skip
        assumed.append(f"{WEIGHTS} is there, so the head of a MobileNetV2 from ImageNet is trained, too.")
    return models


def _arms(transforms: dict[str, Any]) -> dict[str, Any]:
    """Real images alone, with mirrored ones where they may be, and with all transforms."""
    alone = {"mirrored": {"add": ["mirrored"]}} if "mirrored" in transforms else {}
    return {"real": {"add": []}} | alone | {"fixed": {"add": list(transforms)}}


def _small(plan: Plan) -> dict[str, Any]:
    """A net from scratch for images of this size, at most some 60 million multiply-adds."""
    if plan.image_size <= 32:
        return {"net": "lenet_bn", "input_size": 32}
    return {"net": "simple" if plan.image_size < 64 else "complex", "input_size": plan.image_size}
