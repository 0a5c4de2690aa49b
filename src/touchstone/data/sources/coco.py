"""Your own images with annotations in COCO's JSON: several labels per image.

    annotations/instances_train2017.json    images (id, file_name), annotations (image_id, category_id), categories
    train2017/*.jpg                         the images, in any folder

T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014, arXiv 1405.0312. Files `instances_*.json` are read,
or without one every JSON file with images and categories, such as `train/_annotations.coco.json`. The split is that of
the file's name, else of its folder. A class of which an image shows only crowds (`iscrowd: 1`) is difficult, as objects
that are hard to see are in PASCAL VOC. Images of a file without annotations are unlabelled.
"""

import json
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from touchstone.data.hidden import Aside
from touchstone.data.labels import join
from touchstone.data.recognise import has_image_suffix, may_be_image, recognised
from touchstone.data.sources._files import Files, PackedSet, class_name, find, refusal
from touchstone.data.sources._listing import Listing
from touchstone.data.sources._told import tell, unlisted
from touchstone.data.sources._words import splits_of_files
from touchstone.data.splits import UNLABELLED
from touchstone.errors import TouchstoneError, nearest, one_line

PREFIX = "instances_"


class Shown(NamedTuple):
    """The classes that an image shows, and those of which it shows crowds."""

    single: set[str]
    crowds: set[str]


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None) -> None:
    """Pack the annotated images under `path`, a folder or an archive, with their labels.

    `mirror` and `old` are not used. Raises TouchstoneError on annotations that are damaged, or name an image or a
    category that is missing, on an image in two files, and on what `find` refuses.
    """
    aside = Aside()
    with tempfile.TemporaryFile(dir=to) as spool:
        files = find(path, to, spool, keep=lambda name: may_be_image(name) or _is_json(name), aside=aside)[0]
        by_content = set(recognised(files, (), anywhere=True))
        images = {name: read for name, read in files.items() if has_image_suffix(name) or name in by_content}
        annotated = _annotations(files, path)
        splits = splits_of_files(annotated, where=f"source.path: {path}")
        listing = Listing(path, to, spool, difficult=True)
        by_name = defaultdict(list)
        for name in images:
            by_name[name.rpartition("/")[2]].append(name)
        for name, content in annotated.items():
            _list(content, name, splits[name], images, by_name, listing)
        listing.pack(to)
        left_out = unlisted(images.keys() - listing.files.keys(), "images that no annotations list")
        tell(path, to, left_out=left_out, aside=aside)


read = PackedSet


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")


def _annotations(files: Files, path: Path) -> dict[str, dict[str, Any]]:
    """Return file -> its content, for each file of annotations."""
    names = sorted(filter(_is_json, files))
    instances = [name for name in names if name.rpartition("/")[2].startswith(PREFIX)]
    found = {}
    for name in instances or names:
        try:
            content = json.loads(files[name]())
        except (ValueError, RecursionError) as error:
            raise refusal(path, f"{name}: not JSON ({one_line(error)}); get the file again") from error
        if isinstance(content, dict) and {"images", "categories"} <= content.keys():
            found[name] = content
        elif instances:
            raise refusal(path, f"{name}: expected COCO's keys images, annotations and categories; get the file again")
    if not found:
        raise refusal(path, f"no annotations in it, expected {PREFIX}*.json with images and categories; put them there")
    return found


def _list(
    content: dict[str, Any],
    name: str,
    split: str,
    images: Files,
    by_name: Mapping[str, list[str]],
    listing: Listing,
) -> None:
    """List the images of a file of annotations, which is called `name`."""
    where = f"source.path: {listing.path}: {name}"
    labelled = "annotations" in content
    try:
        categories = {each["id"]: class_name(str(each["name"]), where=where) for each in content["categories"]}
        shown = {each["id"]: Shown(set(), set()) for each in content["images"]}
        for each in content.get("annotations", ()):
            image, category = each["image_id"], each["category_id"]
            if image not in shown or category not in categories:
                lacking = f"image_id {image}" if image not in shown else f"category_id {category}"
                raise TouchstoneError(f"{where}: an annotation has the {lacking}, which is not listed; correct it")
            shown[image][bool(each.get("iscrowd"))].add(categories[category])
        named = {each["id"]: str(each["file_name"]) for each in content["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        expected = (
            "images with id and file_name, annotations with image_id and category_id, categories with id and name"
        )
        raise TouchstoneError(f"{where}: expected {expected} ({one_line(error)}); correct it") from error
    for image, file in named.items():
        found = _find(unicodedata.normalize("NFC", file), name, by_name, where)
        single, crowds = shown[image]
        listing.add(
            found,
            images[found],
            label=join(sorted(single)) if labelled else None,
            split=split if labelled else UNLABELLED,
            where=where,
            difficult=join(sorted(crowds - single)),
        )


def _find(file: str, annotations: str, by_name: Mapping[str, list[str]], where: str) -> str:
    """Return the image that annotations call `file`: the one whose path ends so.

    Of several, it is the one in the folder that the annotations are named after or lie in: `train2017/1.jpg` for
    `annotations/instances_train2017.json`.
    """
    ends = [each for each in by_name.get(file.rpartition("/")[2], ()) if f"/{each}".endswith(f"/{file}")]
    if len(ends) > 1:
        folder, _, own = annotations.rpartition("/")
        stem = own.removesuffix(".json").removeprefix(PREFIX)
        near = [each for each in ends if stem in each.split("/")[:-1] or each.rpartition("/")[0] == folder]
        ends = near or ends
    if not ends:
        raise TouchstoneError(f"{where}: no image {file!r}{nearest(file, by_name)}; put it there or remove its entry")
    if len(ends) > 1:
        raise TouchstoneError(f"{where}: {file} may be {ends[0]} or {ends[1]}; write the folder into file_name")
    return ends[0]
