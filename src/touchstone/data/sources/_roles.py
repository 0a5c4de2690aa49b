"""Find the split, train, val, test or unlabelled, that the name of a folder or the cell of a table means."""

import re

from touchstone.data.splits import UNLABELLED

SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "unlabelled": UNLABELLED,
    "unlabeled": UNLABELLED,
}
"""A word -> the split that it means."""
WORDS = SPLIT_OF | {
    "trainset": "train",
    "valset": "val",
    "testset": "test",
    "unlabel": UNLABELLED,
    "pred": UNLABELLED,
    "predict": UNLABELLED,
    "prediction": UNLABELLED,
}
"""The same with words that mean a split in the name of a folder or a file, or in the cell of a table."""
IMAGES = frozenset({"image", "images", "img", "imgs", "picture", "pictures", "pics", "photo", "photos"})
# Words beside one of these that change nothing in its meaning: train_images is train, test_tube is a class.
PLAIN = IMAGES | {"set", "split", "data", "dataset", "folder", "dir", "files"}


def role(name: str) -> str:
    """Return the split that a word of the name stands for; "" where none or more than one does.

    `seg_train`, `TrainingSet` and `train2017` are train; unlabelled goes before the others.
    """
    found = meanings(name)
    if UNLABELLED in found:
        return UNLABELLED
    return found.pop() if len(found) == 1 else ""


def meanings(name: str) -> set[str]:
    """Return the splits that words of the name stand for."""
    return {WORDS[word] for word in _words(name) if word in WORDS}


def plain_role(name: str) -> str:
    """Return the split that the name stands for and nothing else, as in `Testing` and `train_images`; "" for others."""
    return role(name) if all(word in WORDS or word in PLAIN for word in _words(name)) else ""


def rest(name: str) -> tuple[str, ...]:
    """Return the words of the name that neither mean a split nor change nothing: `a` for trainA, none for train_set."""
    return tuple(word for word in _words(name) if word not in WORDS and word not in PLAIN)


def is_unlabelled(name: str) -> bool:
    """Return whether the name says that images have no class: `unlabelled`, `Unlabeled_images`."""
    return plain_role(name) == UNLABELLED and any(word.startswith("unlabel") for word in _words(name))


def is_plain(name: str) -> bool:
    """Return whether the name only says that there are images, as `images` and `unknown` do."""
    return all(word in PLAIN or word == "unknown" for word in _words(name) or ["none"])


def means_images(name: str) -> bool:
    """Return whether the name stands for images and nothing else, as `images` and `img_files` do."""
    return is_plain(name) and not IMAGES.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", spaced)]
