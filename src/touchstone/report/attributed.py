"""Attributions to pixels as tables, words and a chart."""

import numpy as np

from touchstone.report.charts import Chart, chart
from touchstone.report.facts import Attributions, Facts
from touchstone.report.table import Table
from touchstone.report.words import number

SANITY = (
    "The sanity check randomises the weights layer by layer, from the last one on (Adebayo 2018). A method whose maps "
    "do not change, with a rank correlation near 1, shows the image and not what the net has learned. The yardstick is "
    "the map of the second seed's net, trained in the same way: with random weights the correlation should be well "
    "below it."
)


def basis(facts: Facts) -> str:
    """Which predictions are explained, and how to read the pictures."""
    explain = facts.settings.explain
    errors = explain.choose == "worst" and not explain.files
    images = "The most confident errors" if errors else "The most confident predictions"
    if explain.files:
        images = "The images that params.yaml names"
    target = "the wrong class" if errors else "the predicted class"
    if facts.multi_label:
        target = "the class named beneath, missed or wrongly predicted," if errors else "the class named beneath"
    return (
        f"{images}, and the pixels that supported {target} (orange) or opposed it (blue) in the net of the first seed, "
        "by each method. Saliency and the noise tunnel show how much, not in which direction. Each map is scaled to "
        "its own strongest value. Integrated gradients, DeepLift and occlusion start from a plain image, which is 0 "
        "after the run's normalisation: the mean colour of its training images, or of ImageNet with pretrained "
        "weights. GradientShap starts from real training images; its sum has no reference value."
    )


def images(attributions: Attributions) -> Table:
    """The class explained on each image, and each method's error against the difference of the logits."""
    deltas = [str(name) for name in attributions.images if str(name).endswith("_delta")]
    header = ["file", "true", "explained", "probability", "logit", "plain logit"]
    header += [f"error of {name.removesuffix('_delta').replace('_', ' ')}" for name in deltas]
    rows = [
        [row["file"], row["true"] or "none", row["explained"], number(row["probability"])]
        + [number(row[key], 2) for key in ("logit", "plain_logit")]
        + [number(row[key], 4) for key in deltas]
        for row in attributions.images.to_dict("records")
    ]
    return Table("lll" + "r" * (len(header) - 3), header, rows)


def checks(facts: Facts) -> Table:
    """Per run and method: the errors of the sums, and the likeness of the maps to those of randomised weights."""
    rows = []
    for name, attributions in facts.attributions.items():
        sanity = attributions.sanity
        last = sanity[sanity["layers"] == sanity["layers"].max()] if attributions.is_checked else sanity[:0]
        likeness = dict(zip(last["method"], last["likeness"], strict=True))
        for method in dict.fromkeys(sanity["method"]):
            errors = np.abs(attributions.images.get(f"{method}_delta", np.zeros(0)))
            sizes = [number(float(size)) for size in (errors.mean(), errors.max())] if len(errors) else ["–", "–"]
            second = sanity.loc[sanity["method"] == method, "another_seed"].mean()
            correlations = [number(float(value), 2) for value in (likeness.get(method, np.nan), second)]
            rows.append([name, method.replace("_", " "), *sizes, *correlations])
    header = ["run", "method", "mean error of the sum", "largest", "rank correlation, random weights", "second seed"]
    return Table("llrrrr", header, rows)


def sanity(attributions: Attributions) -> Chart:
    """How far each method's maps still resemble its own while layers are randomised, from the last one on."""
    methods = attributions.sanity.groupby("method", sort=False)
    series = {str(name): part[["layers", "likeness"]].dropna().to_numpy(float) for name, part in methods}
    return chart("Rank correlation", series, axis="randomised layers")
