"""The model card of an exported file: README.md in the form of the Hugging Face Hub, with a YAML header."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from touchstone.config.settings import Settings
from touchstone.data.batches import View
from touchstone.data.imageset import read_table
from touchstone.data.labels import names
from touchstone.evaluation.metrics import named
from touchstone.evaluation.scores import per_class
from touchstone.export.command import Exported
from touchstone.export.description import ANY, Description

GENERAL = frozenset({"folder", "table", "coco", "voc", "idx", "webdataset"})  # sources that are forms, not data sets
SPLITS = ("train", "val", "test")
UNKNOWN = "unknown"
USE = {
    ".onnx": """import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{file}")
images = {{{named}}}  # {order}
{outputs} = session.run(None, images)
labels = session.get_modelmeta().custom_metadata_map["labels"].split("\\n")""",
    ".xml": """import json, numpy as np, openvino

model = openvino.Core().read_model("{file}")
images = {{{named}}}  # {order}
probabilities = openvino.Core().compile_model(model, "CPU")(images)["probabilities"]
labels = json.loads(model.get_rt_info("touchstone").astype(str))["classes"]""",
    ".pt": """import json, torch

extra = {{"touchstone.json": ""}}
model = torch.jit.load("{file}", _extra_files=extra)
images = [{listed}]  # {order}
{outputs} = model(*images)
labels = json.loads(extra["touchstone.json"])["classes"]""",
}


def card(
    exported: Exported, *, settings: Settings, data: Path, row: dict[str, Any], stale: str, license_id: str
) -> str:
    """Return the card. row: the entry of metrics.json, {} without one. stale: why that may be old, or "".

    license_id: the Hub's name of the licence, which only the owner of the images and weights can state.
    """
    one = exported.description
    lines = [
        "---",
        yaml.safe_dump(header(exported, settings, license_id), sort_keys=False, allow_unicode=True).strip(),
        "---",
        f"# {one.name}",
        "",
        _summary(one, settings),
        "",
        *("## Use", "", *_use(exported.file, one), ""),
        *("## Data", "", *_data(one, settings, data), ""),
        *("## Training", "", *_training(one, settings), ""),
        *("## Verdict", "", _verdict(one.name, row, stale), ""),
        *("## Scores on the test images", "", *_scores(exported), ""),
        *("## Each class", "", *_classes(exported, settings), ""),
        *("## Limits", "", *_limits(exported, settings, data), ""),
        *("## Licence", "", _licence(license_id), ""),
        *("## Made from", "", *_provenance(one)),
    ]
    return "\n".join(lines) + "\n"


def header(exported: Exported, settings: Settings, license_id: str) -> dict[str, Any]:
    """The card's metadata, as the Hub reads them."""
    one, (key, found) = exported.description, _measured(exported)
    kind = {".onnx": "onnx", ".xml": "openvino", ".pt": "pytorch"}[exported.file.suffix]
    source = settings.data.source
    known = [] if source in GENERAL else [source]
    scores = [{"type": key, "name": f"test {named(key).name}", "value": round(found[key], 5)}]
    nets = sorted({settings.trained[_model_of(run, settings)].net for run in one.weights})
    return {
        "license": license_id,
        "library_name": kind,
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "touchstone", *nets, *(["int8"] if one.int8 else [])],
        **({"datasets": known} if known else {}),
        "metrics": [key],
        "model-index": [
            {
                "name": one.name,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": source, "type": source, "split": "test"},
                        "metrics": scores,
                    }
                ],
            }
        ],
    }


def _measured(exported: Exported) -> tuple[str, dict[str, Any]]:
    """The key of the primary score, and what was found for the last file."""
    found = exported.checks["int8" if exported.description.int8 else "float32"]
    return ("map" if exported.description.multi_label else "accuracy"), found


def _model_of(run: str, settings: Settings) -> str:
    return next(name for name in settings.trained if run in settings.runs_of(name))


def _summary(one: Description, settings: Settings) -> str:
    kind = "labels images with any of" if one.multi_label else "sorts images into"
    seeds = sum(len(weights) for weights in one.weights.values())
    made = f"the ensemble ({one.rule}) of {', '.join(one.weights)}" if one.rule else "a run"
    nets = f"{seeds} net{'s' if seeds > 1 else ''}"
    return (
        f"This model {kind} {len(one.classes)} classes: {', '.join(one.classes)}. It is {made}, {nets} in one file, "
        "trained by Touchstone."
    )


def _use(file: Path, one: Description) -> Iterator[str]:
    if one.images == ANY:
        shapes: list[tuple[int, ...]] = [(1, 480, 640, one.channels)]
        order = "N, height, width, channels: decoded images of any one size"
    else:
        crops = [(5,) if view.crop_px else () for view in one.seen]
        sides = [(view.input_px, view.input_px, one.channels) for view in one.seen]
        shapes = [(1, *crop, *side) for crop, side in zip(crops, sides, strict=True)]
        order = "N, height, width, channels: prepared as below"
    code = USE[file.suffix].format(
        file=file.name,
        named=", ".join(
            f'"{name}": np.zeros({shape}, np.uint8)' for name, shape in zip(one.inputs, shapes, strict=True)
        ),
        listed=", ".join(f"torch.zeros({shape}, dtype=torch.uint8)" for shape in shapes),
        order=order,
        outputs=", ".join(one.outputs),
    )
    yield f"```python\n{code}\n```"
    yield ""
    yield f"Or, for a folder of image files, `touchstone predict DIR --model {file.name}`."
    yield ""
    yield "| output | what |\n| :--- | :--- |"
    yield "| `probabilities` | (N, classes), as Touchstone scores them |"
    yield "| `calibrated` | the same at the temperatures that fit the validation images |"
    if one.multi_label:
        yield "| `labels` | (N, classes), whether each probability reaches its threshold |"
    if one.images != ANY:
        yield f"\nEach image is resized by `{one.resize}` to {one.image_size} px first. What each input then takes:\n"
        for name, view in zip(one.inputs, one.seen, strict=True):
            yield f"- `{name}`: {_prepared(view)}"


def _prepared(view: View) -> str:
    """Say what becomes of a resized image before it is an input."""
    if view.crop_px:
        cut = f"five crops of {view.crop_px} px, of the corners and the centre"
    elif view.crop_share < 1:
        side = max(1, round(view.crop_share * view.size_px))
        cut = f"the {side} px at the centre"
    else:
        cut = "the whole square, or its centre where sides differ"
    return f"{cut}, scaled to {view.input_px} px by the filter {view.interpolation} unless they have that size"


def _data(one: Description, settings: Settings, data: Path) -> Iterator[str]:
    colours = "grey" if one.channels == 1 else "colour"
    yield (
        f"Source: `{settings.data.source}`, {colours} images, resized to {one.image_size} px by `{one.resize}`. "
        "Images of each class:"
    )
    yield ""
    tables = {split: read_table(data / "prepared" / split) for split in SPLITS}
    shown = {split: [names(label) for label in table["label"]] for split, table in tables.items()}
    yield "| class | training | validation | test |\n| :--- | ---: | ---: | ---: |"
    for name in one.classes:
        counts = [sum(name in labels for labels in shown[split]) for split in SPLITS]
        yield f"| {_cell(name)} | {' | '.join(f'{count:,}' for count in counts)} |"
    yield f"| all images | {' | '.join(f'{len(shown[split]):,}' for split in SPLITS)} |"


def _training(one: Description, settings: Settings) -> Iterator[str]:
    yield "| run | net | input px | starts from | arm | adds to the training images | seeds |"
    yield "| :--- | :--- | ---: | :--- | :--- | :--- | ---: |"
    for run, seeds in one.weights.items():
        name = _model_of(run, settings)
        model, arm = settings.trained[name], run.removeprefix(f"{name}-")
        adds = ", ".join(settings.arms[arm].add) or "nothing"
        real = "" if settings.arms[arm].real else ", without the real images"
        start = started_from(name, settings)
        yield f"| {run} | {model.net} | {model.input_size} | {start} | {arm} | {adds}{real} | {len(seeds)} |"
    yield ""
    yield "The temperature of each seed is " + ", ".join(f"{value:.3f}" for value in one.temperatures) + "."
    if one.thresholds is not None:
        pairs = ", ".join(f"{name} {value:.2f}" for name, value in zip(one.classes, one.thresholds, strict=True))
        yield f"The threshold of each label is {pairs}."


def started_from(name: str, settings: Settings) -> str:
    """Say what a model's nets start from: weights, or a run with all that it started from."""
    model = settings.trained[name]
    if model.init_from:
        return f"{model.init_from}, from {started_from(_model_of(model.init_from, settings), settings)}"
    return Path(model.weights).name if model.pretrained else "random weights"


def _verdict(name: str, row: dict[str, Any], stale: str) -> str:
    if not row:
        return "There is no metrics.json with this run: it has not been evaluated."
    note = f" (The comparison is {stale}.)" if stale else ""
    if "gain" not in row:
        why = f": {row['verdict']}" if "verdict" in row else ""
        return f"{name} is not compared with another run{why}.{note}"
    low, high = row["gain_low"], row["gain_high"]
    return (
        f"Compared with {row['baseline']}: **{row['verdict']}**, a gain of {_points(row['gain'])} points, interval "
        f"{_points(low)} to {_points(high)}.{note}"
    )


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _scores(exported: Exported) -> Iterator[str]:
    key, _ = _measured(exported)
    name = named(key).heading
    yield f"| file | {name} | interval | change, points | interval | agreement % | largest difference |"
    yield "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for precision in ("float32", "int8"):
        if precision in exported.checks:
            found = exported.checks[precision]
            yield (
                f"| {found['file']} | {100 * found[key]:.2f} | {100 * found[f'{key}_low']:.2f} to "
                f"{100 * found[f'{key}_high']:.2f} | {_points(found['change'])} | {_points(found['change_low'])} to "
                f"{_points(found['change_high'])} | {100 * found['agreement']:.2f} | {found['max_difference']:.2g} |"
            )
    one = exported.checks["float32"]
    yield ""
    yield (
        f"On {one['images']:,} test images. Change, agreement and the largest difference of a probability are against "
        "Touchstone's own predictions for float32, and against float32 for int8; intervals have "
        f"{100 * one['confidence']:g} % confidence and cover the draw of the test images."
    )
    if "resizing" in exported.checks:
        found = exported.checks["resizing"]
        yield (
            f"The file resizes images itself: on {found['images']} test images scaled to other sizes it agrees with "
            f"Touchstone's resizing on {100 * found['agreement']:.1f} % of the labels; the largest difference of a "
            f"probability is {found['max_difference']:.2g}."
        )


def _classes(exported: Exported, settings: Settings) -> Iterator[str]:
    one, probs, labels = exported.description, exported.probs, exported.labels
    if one.thresholds is not None:
        yield "| class | test images | average precision % | F1 % |\n| :--- | ---: | ---: | ---: |"
        table = per_class(probs, labels, np.array(one.thresholds, np.float32), settings.compare)
        for name, (_, row) in zip(one.classes, table.iterrows(), strict=True):
            yield f"| {_cell(name)} | {int(row['n_positive'])} | {_percent(row['ap'])} | {_percent(row['f1'])} |"
        return
    yield "| class | test images | recall % | precision % | F1 % |\n| :--- | ---: | ---: | ---: | ---: |"
    chosen = probs[0].argmax(1)
    for k, name in enumerate(one.classes):
        hits, actual, predicted = ((chosen == k) & (labels == k)).sum(), (labels == k).sum(), (chosen == k).sum()
        shares = [_share(hits, actual), _share(hits, predicted), _share(2 * hits, actual + predicted)]
        yield f"| {_cell(name)} | {actual} | {' | '.join(_percent(share) for share in shares)} |"


def _share(above: int, below: int) -> float:
    return above / below if below else np.nan


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.2f}"


def _limits(exported: Exported, settings: Settings, data: Path) -> Iterator[str]:
    one, (key, found) = exported.description, _measured(exported)
    width = 50 * (found[f"{key}_high"] - found[f"{key}_low"])
    yield (
        f"- The scores hold for images like the {found['images']:,} test images, which come from the same source as "
        f"the training images; their number leaves ±{width:.1f} points of doubt."
    )
    if not one.multi_label:
        yield "- Every image gets one of these classes, also one that shows none of them."
    yield f"- Images are reduced to {one.image_size} px ({one.resize}): smaller details are not seen."
    yield "- Nothing was tested on other cameras, places or times, nor for fairness between groups of people."
    if one.int8:
        calibrated = exported.checks["int8"]["calibration_images"]
        yield (
            f"- Weights and activations are in 8 bits, with ranges from {calibrated} training images. Processors round "
            "such products in different ways: labels near a tie may differ."
        )
    else:
        yield "- Runtimes and processors round in different ways: probabilities may differ in the sixth digit."


def _licence(license_id: str) -> str:
    if license_id == UNKNOWN:
        return (
            "Not stated. Whoever publishes this model states it, and checks what the training images and the weights "
            "that it started from allow."
        )
    return f"{license_id}, as stated by whoever exported the model. The training images have terms of their own."


def _provenance(one: Description) -> Iterator[str]:
    yield "| run | seed | sha256 of the weights |\n| :--- | ---: | :--- |"
    for run, seeds in one.weights.items():
        for seed, sha256 in seeds.items():
            yield f"| {run} | {seed} | `{sha256}` |"
    yield ""
    yield "Written by " + ", ".join(f"{name} {version}" for name, version in one.versions.items()) + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
