"""CIFAR-100 (_cifar100.py) with its 100 fine classes, such as dolphin and rocket."""

from functools import partial

from touchstone.data.sources._cifar100 import download, read_level

__all__ = ["download", "read"]

read = partial(read_level, level="fine")
