"""PASCAL VOC2012: 5,717 train and 5,823 val images of 20 classes, several per image.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (images from flickr, under its terms of use). 1.9 GiB to fetch. Its test
labels are not public: the official val list is the test split, as in published results, and validation images are drawn
from train (data.val_fraction).
"""

from pathlib import Path

from touchstone.data.sources._files import PackedSet
from touchstone.data.sources._voc import pack_year

ARCHIVES = {"voc2012/VOCtrainval_11-May-2012.tar": "6cd6e144f989b92b3379bac3b3de84fd"}


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """See `pack_year`. Keep the archives in `source.mirror`, or they are fetched again whenever this code changes."""
    pack_year("2012", ARCHIVES, to=to, mirror=mirror, rename={"val": "test"})


read = PackedSet
