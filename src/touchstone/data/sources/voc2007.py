"""PASCAL VOC2007: 2,501 train, 2,510 val and 4,952 test images of 20 classes, several per image.

http://host.robots.ox.ac.uk/pascal/VOC/voc2007/ (images from flickr, under its terms of use). 870 MiB to fetch.
"""

from pathlib import Path

from touchstone.data.sources._files import PackedSet
from touchstone.data.sources._voc import pack_year

ARCHIVES = {
    "voc2007/VOCtrainval_06-Nov-2007.tar": "c52e279531787c972589f7e41ab4ae64",
    "voc2007/VOCtest_06-Nov-2007.tar": "b6e924de25625d8de591ea690078ad9f",
}


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """See `pack_year`. Keep the archives in `source.mirror`, or they are fetched again whenever this code changes."""
    pack_year("2007", ARCHIVES, to=to, mirror=mirror, rename={})


read = PackedSet
