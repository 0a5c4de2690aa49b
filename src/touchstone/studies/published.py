"""Describes the data sets that are fetched by their publications, so that a plan need not download them."""

import numpy as np

from touchstone.studies.look import Seen

SECONDS = {32: 1e-5, 375: 2e-3}  # to read an image whose shorter side has so many px
# Source -> its images in each official split, its classes, whether images have several, and their shorter side.
SETS = {
    "cifar10": ({"train": 50_000, "test": 10_000}, 10, False, 32),
    "cifar100": ({"train": 50_000, "test": 10_000}, 100, False, 32),
    "cifar100_coarse": ({"train": 50_000, "test": 10_000}, 20, False, 32),
    "voc2007": ({"train": 2_501, "val": 2_510, "test": 4_952}, 20, True, 375),
    "voc2012": ({"train": 5_717, "test": 5_823}, 20, True, 375),
}


def published(source: str) -> Seen | None:
    """Return a description of a data set by its publication, None for one that lies on this machine."""
    if source not in SETS:
        return None
    splits, num_classes, multi_label, side = SETS[source]
    return Seen(
        num_images=sum(splits.values()),
        classes=[str(number) for number in range(num_classes)],
        multi_label=multi_label,
        splits=splits,
        counts={},
        heights=np.array([side]),
        widths=np.array([side]),
        grey=False,
        unreadable=[],
        num_tried=0,
        repeats=0,
        conflicts=[],
        group="",
        group_about="",
        seconds=SECONDS[side],
    )
