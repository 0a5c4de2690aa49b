"""What speaks for the answers of runs, as tables, words and a chart."""

import numpy as np

from touchstone.report.charts import Chart, chart
from touchstone.report.facts import Attributions, Facts
from touchstone.report.table import Table
from touchstone.report.words import number


def basis(facts: Facts) -> str:
    """Which answers are traced back to pixels, and how to read the pictures."""
    explain = facts.params.explain
    which = {"worst": "The surest errors", "confident": "The surest answers"}[explain.choose]
    which = "The images that params.yaml names" if explain.files else which
    answer = (
        "the class named beneath, one that was missed or seen where it is not,"
        if facts.multi_label
        else "the class predicted"
    )
    return (
        f"{which}, and what in them speaks for {answer} (orange) or against it (blue), in the net of the first seed, "
        "by each method; saliency and the noise tunnel tell how much, not which way. Each map is drawn to its own "
        "strongest value. The plain image that integrated gradients, DeepLift and occlusion start from is 0 after the "
        "run's normalisation: the mean colour of what it was trained on, or of ImageNet where its weights began there. "
        "GradientShap starts from real training images, so that no sum is set for it."
    )


SANITY = (
    "The check draws the weights anew, layer after layer from the last one on (Adebayo 2018): a method whose maps stay "
    "as they were, near a rank correlation of 1, shows the image and not what the net has learned. The yardstick is "
    "the map of the next seed's net, trained in the same way: what untrained weights leave should be well below it."
)


def images(found: Attributions) -> Table:
    """What is explained of each image, and how far each method's sum is from the difference of the logits."""
    deltas = [str(name) for name in found.images if str(name).endswith("_delta")]
    header = ["file", "true", "explained", "probability", "logit", "plain logit"]
    header += [f"{name.removesuffix('_delta').replace('_', ' ')} misses by" for name in deltas]
    rows = [
        [row["file"], row["true"] or "none", row["explained"], number(row["probability"])]
        + [number(row[key], 2) for key in ("logit", "plain_logit")]
        + [number(row[key], 4) for key in deltas]
        for row in found.images.to_dict("records")
    ]
    return Table("lll" + "r" * (len(header) - 3), header, rows)


def checks(facts: Facts) -> Table:
    """Of each run and method: by how much its sums miss the difference of the logits, and how like its own map it is
    once all weights are drawn anew."""
    rows = []
    for name, found in facts.attributions.items():
        last = found.sanity[found.sanity["layers"] == found.sanity["layers"].max()] if found.holds else found.sanity[:0]
        likeness = dict(zip(last["method"], last["likeness"], strict=True))
        for method in dict.fromkeys(found.sanity["method"]):
            missed = np.abs(found.images.get(f"{method}_delta", np.zeros(0)))
            size = [number(float(each)) for each in (missed.mean(), missed.max())] if len(missed) else ["–", "–"]
            trained = found.sanity.loc[found.sanity["method"] == method, "another_seed"].mean()
            alike = [number(float(each), 2) for each in (likeness.get(method, np.nan), trained)]
            rows.append([name, method.replace("_", " "), *size, *alike])
    header = [
        "run",
        "method",
        "misses by, mean",
        "at most",
        "rank correlation, all weights drawn anew",
        "another seed's",
    ]
    return Table("llrrrr", header, rows)


def sanity(found: Attributions) -> Chart:
    """How like its own map each method's stays while weights are drawn anew, from the last layer on."""
    methods = found.sanity.groupby("method", sort=False)
    series = {str(name): part[["layers", "likeness"]].dropna().to_numpy(float) for name, part in methods}
    return chart("Rank correlation", series, axis="layers drawn anew")
