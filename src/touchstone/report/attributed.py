"""Attributions to pixels as tables, words and a chart."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from touchstone.config.schema.explain import OWN_PICTURE
from touchstone.report.charts import Chart, chart
from touchstone.report.facts import Attributions, Facts
from touchstone.report.table import Table
from touchstone.report.words import Sentence, listing, number, with_code

SANITY = (
    "The sanity check randomises the weights layer by layer, from the last one on (Adebayo 2018). A method whose maps "
    "do not change, with a rank correlation near 1, shows the image and not what the net has learned. Compare with the "
    "map of the second seed's net, trained in the same way: with random weights, the correlation should be well below "
    "that one."
)


def basis(facts: Facts) -> str:
    """The predictions that are explained, and how to read the pictures."""
    explain = facts.settings.explain
    errors = explain.choose == "worst" and not explain.files
    confident = "The most confident errors" if errors else "The most confident predictions"
    images = "The images that params.yaml names" if explain.files else confident
    target = "the wrong class" if errors else "the predicted class"
    if facts.multi_label:
        target = "the class named beneath, missed or wrongly predicted," if errors else "the class named beneath"
    if explain.classes:
        images += f" of {listing(explain.classes)}"
    own = ""
    if explain.pictures and (explain.images or explain.files):
        own = f" Pictures of one's own ({explain.pictures}) come last, each with the class predicted."
    elif explain.pictures:
        images, target = f"Pictures of one's own ({explain.pictures})", "the predicted class"
    return (
        f"{images}, and the pixels that supported {target} (orange) or opposed it (blue) in the net of the first seed, "
        "by each method. Saliency and the noise tunnel show strength, not direction. All maps of a method "
        "share one scale; full colour stands for the value beneath the name, in logits per pixel. Integrated "
        "gradients, DeepLift and occlusion start from a plain image, which is 0 after the run's normalisation: the "
        "mean colour of its training images, or of ImageNet with pretrained weights. GradientShap starts from real "
        "training images; its sum has no reference value."
        f"{own}"
    )


def reduced(name: str, facts: Facts) -> Sentence:
    """Say what a costly net left out; "" for nothing."""
    explain, extent = facts.settings.explain, facts.attributions[name].extent
    least = [
        f"{extent['images']} of {extent['chosen']} images" if extent["images"] < extent["chosen"] else "",
        f"the sanity check of {extent['checked']} of them" if extent["checked"] < extent["images"] else "",
        f"{extent['stages']} of its {explain.randomised} stages" if extent["stages"] < explain.randomised else "",
    ]
    if not (parts := [part for part in least if part]):
        return []
    return with_code(
        f"The net is costly, so `explain.max_teraflop: {explain.max_teraflop:g}` limited the explanation to "
        f"{listing(parts)}."
    )


def truth(row: Mapping[Hashable, Any]) -> str:
    """The true class of an image, a row of `Attributions.images`; a picture of one's own has none."""
    return OWN_PICTURE if row.get("own") else row["true"] or "none"


def pictures(facts: Facts) -> Table:
    """Per run and picture of one's own: the class that the mean over the seeds predicts, and its probability."""
    rows = [
        [name, row["file"], row["explained"], number(row["probability"])]
        for name, run in facts.attributions.items()
        for row in run.images.to_dict("records")
        if row.get("own")
    ]
    return Table("lllr", ["run", "own picture", "predicted", "probability"], rows)


def images(attributions: Attributions) -> Table:
    """The class explained on each image, and each method's error against the difference of the logits."""
    deltas = [str(name) for name in attributions.images if str(name).endswith("_delta")]
    header = ["file", "true", "explained", "probability", "logit", "plain logit"]
    header += [f"error of {name.removesuffix('_delta').replace('_', ' ')}" for name in deltas]
    rows = [
        [row["file"], truth(row), row["explained"], number(row["probability"])]
        + [number(row[key], 2) for key in ("logit", "plain_logit")]
        + [number(row[key], 4) for key in deltas]
        for row in attributions.images.to_dict("records")
    ]
    return Table("lll" + "r" * (len(header) - 3), header, rows)


def checks(facts: Facts) -> Table:
    """Per run and method: the errors of the sums, and the likeness of the maps to those of randomised weights."""
    rows = []
    for name, run in facts.attributions.items():
        last = run.sanity["layers"].max() if run.is_checked else np.nan
        for method, part in run.sanity.groupby("method", sort=False):
            errors = np.abs(run.images.get(f"{method}_delta", np.zeros(0)))
            sizes = [number(float(size)) for size in (errors.mean(), errors.max())] if len(errors) else ["–", "–"]
            likeness = part.loc[part["layers"] == last, "likeness"].mean()  # one value, or none
            correlations = [number(float(value), 2) for value in (likeness, part["another_seed"].mean())]
            rows.append([name, str(method).replace("_", " "), *sizes, *correlations])
    header = ["run", "method", "mean error of the sum", "largest", "rank correlation, random weights", "second seed"]
    return Table("llrrrr", header, rows)


def sanity(attributions: Attributions) -> Chart:
    """Rank correlation of each method's maps with its own while layers are randomised, from the last one on."""
    methods = attributions.sanity.groupby("method", sort=False)
    series = {str(name): part[["layers", "likeness"]].dropna().to_numpy(float) for name, part in methods}
    return chart("Rank correlation", series, axis="randomised layers")
