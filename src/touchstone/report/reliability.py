"""Accuracy against confidence, in bins: the geometry of the reliability diagrams (Niculescu-Mizil & Caruana 2005)."""

import math
from dataclasses import dataclass

import numpy as np

from touchstone.evaluation.calibration import BINS, bin_of
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.words import count

SIDE, STRIP = 200, 28  # the square of the diagram and the height of the counts beneath it, in its own units
COUNTS_TOP, GAP = SIDE + 8, 1.5  # the top of the counts, and the gap between two bars
FEW = 10  # predictions; the accuracy of fewer is drawn pale


@dataclass(frozen=True)
class Bar:
    """One bin: its accuracy and, beneath, its number of predictions. Lengths are in units of the drawing."""

    left: float
    width: float
    top: float
    height: float
    many_top: float
    many_height: float
    is_few: bool
    text: str


@dataclass(frozen=True)
class Diagram:
    """The reliability of one run."""

    name: str
    arm: str
    bars: list[Bar]
    dots: list[tuple[float, float]]
    """Confidence and accuracy with a temperature; none where there is none."""
    csv: str
    summary: str


def diagrams(facts: Facts, model: str) -> list[Diagram]:
    """A diagram for each arm of a model."""
    return [diagram(facts.result(f"{model}-{arm}")) for arm in facts.settings.arms]


def diagram(result: ReportedResult) -> Diagram:
    """Draw confidence, accuracy and number of predictions of each bin, summed over the replicates."""
    table = result.reliability
    plain, scaled = (table[table["scaled"] == each] for each in (0, 1))
    most = math.sqrt(max(plain["images"], default=1))
    bars = []
    for row in plain.to_dict("records"):
        number, accuracy, confidence = int(row["images"]), float(row["accuracy"]), float(row["confidence"])
        place = int(bin_of(np.array(confidence)))
        tall, many = SIDE * accuracy, STRIP * math.sqrt(number) / most
        text = f"confidence {confidence:.2f}, accuracy {accuracy:.2f}, {count(number, 'prediction')}"
        bars.append(
            Bar(
                left=round(SIDE * place / BINS + GAP / 2, 1),
                width=round(SIDE / BINS - GAP, 1),
                top=round(SIDE - tall, 1),
                height=round(tall, 1),
                many_top=round(COUNTS_TOP + STRIP - many, 1),
                many_height=round(many, 1),
                is_few=number < FEW,
                text=text,
            )
        )
    dots = [
        (round(SIDE * x, 1), round(SIDE * (1 - y), 1))
        for x, y in zip(scaled["confidence"], scaled["accuracy"], strict=True)
    ]
    csv = table.to_csv(index=False, lineterminator="\n")
    return Diagram(result.name, result.arm, bars, dots, csv, f"Reliability: {'; '.join(bar.text for bar in bars)}")
