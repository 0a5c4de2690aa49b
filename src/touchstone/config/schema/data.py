"""The data source, how its images are prepared and split, fixed transforms, and training sets."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import Fraction, Section


class Source(Section):
    """The place of the raw images on this machine. Only the stage `download` depends on it, as it changes no result."""

    path: str
    """The folder or archive of your own images, for the sources that read them from there: a path or an address that
    DVC reads, such as s3://bucket/birds."""
    mirror: str
    """A directory or URL to use instead of the official address; '' for the official one."""


def _fold(text: str) -> str:
    found = re.fullmatch(r"(\d+) of (\d+)", text)
    if text and not (found and 1 <= int(found[1]) <= int(found[2]) and int(found[2]) >= 2):
        raise ValueError("expected '' or 'k of n' with 1 <= k <= n and n >= 2, such as '1 of 5'")
    return text


def _pattern(text: str) -> str:
    if "(" in text:
        try:
            groups = re.compile(text).groups
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        if groups != 1:
            raise ValueError(f"expected a pattern with one group in brackets, found {groups}")
    return text


Group = Annotated[str, AfterValidator(_pattern)]
"""A column of a table, or a pattern with one group in brackets."""


class Columns(Section):
    """Names of the columns of a table of images, for the sources table and webdataset; '' looks for the usual names."""

    table: str = ""
    """The table's name below source.path, or a pattern of names such as 'data/*.parquet'; '' for all tables."""
    file: str = ""
    """The column of image files, by name or with their bytes."""
    label: str = ""
    """The column of classes."""
    split: str = ""
    """The column of splits."""


class Data(Section):
    """The images to use, and settings for resizing and splitting them."""

    source: str
    """The name of a file in data/sources: digits, cifar10, folder, voc2007, ..."""
    image_size: Annotated[int, Field(ge=4, le=2048)]
    """Side of a prepared image, in px."""
    channels: Annotated[int, Field(ge=1, le=64)]
    """1 for grey, 3 for colour, or the number of channels that every file has."""
    resize: Literal["squash", "crop", "pad", "shortest_edge"]
    bad_images: Literal["fail", "skip"]
    """fail stops at images that cannot be decoded; skip leaves them out."""
    max_pixels: Annotated[int, Field(gt=0)]
    """Largest source image that is decoded, in pixels."""
    near_duplicates: Literal["report", "drop"]
    """report lists near copies of held-out images among the training images; drop also removes them."""
    train_size: Annotated[int, Field(ge=0)]
    """Largest number of training images; 0 takes all."""
    test_fraction: Fraction
    """Share of the images that become test images where the source has no official test split."""
    val_fraction: Fraction
    """Share of the remaining images that become validation images; 0 selects nothing."""
    fold: Annotated[str, AfterValidator(_fold)]
    """'k of n' for cross-validation instead of `val_fraction`; '' for none."""
    split_seed: Annotated[int, Field(ge=0)]
    group: Group = ""
    """Names what stays together in every split, such as a patient: a column of the table, or a pattern with a group in
    brackets that is searched in the file's path; '' for nothing."""
    bits: Literal[8, 16] = 8
    """Of a stored pixel: 16 keeps the values of files that have more than 8."""
    white: Annotated[int, Field(ge=0, le=65535)] = 0
    """The value of white in files of 16 bits, such as 4095 for a camera of 12; 0 for the largest, 65535."""
    storage: Literal["pixels", "encoded"] = "pixels"
    """encoded stores an image as the file it came as, where that is smaller than its pixels, and decodes it whenever it
    is used: less disk, more time, and the same pixels."""
    columns: Columns = Columns()
    """The columns of your own table."""


class MultiLabel(Section):
    """Settings for images with several labels or none. They have no effect on data with one label per image."""

    difficult: Literal["ignore", "count", "mark"] = "mark"
    """Objects marked as difficult are treated as absent, as any other, or are left out of every score."""
    without_label: Literal["keep", "drop"] = "keep"
    """Whether images that show none of the classes are kept."""


class Transform(Section):
    """One fixed geometric and photometric transform; `{}` is the identity, a plain copy."""

    rotate_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    """Counter-clockwise rotation, in degrees."""
    shift_x: Annotated[float, Field(gt=-1, lt=1)] = 0.0
    """Shift to the right, as a share of the width."""
    shift_y: Annotated[float, Field(gt=-1, lt=1)] = 0.0
    """Shift downwards, as a share of the height."""
    zoom: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Share of the side that stays visible: 0.9 shows 90 % of it."""
    hflip: bool = False
    brightness: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Factor of the grey levels."""
    contrast: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Factor of the distances from the image's mean."""
    saturation: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Factor of the distances from the pixel's grey."""
    hue: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    """Turn of the hue; 1 is the whole circle."""
    fill: Literal["edge"] = "edge"
    """Pixels from outside the image repeat the nearest edge pixel."""


class Arm(Section):
    """An arm, in the statistical sense: one training set to compare, made of real images and images added to them."""

    add: tuple[str, ...] = ()
    """The added sets: names of transforms and generators."""
    real: bool = True
    """Whether the real training images are part of it."""
    ratio: Annotated[float, Field(ge=0)] = 0.0
    """Added images per real image; 0 takes all there are."""
    per_class: Annotated[int, Field(ge=0)] = 0
    """Largest number of added images of a class; 0 takes all there are."""
    schedule: Literal["mixed", "pretrain"] = "mixed"
    """pretrain trains on the added images alone first, then on the real images alone."""
    pretrain_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the steps that see the added images, with pretrain."""
