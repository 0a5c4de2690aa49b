"""CIFAR-100 (_cifar100.py) with its 20 coarse classes, such as aquatic_mammals and vehicles_2."""

from functools import partial

from touchstone.data.sources._cifar100 import download, read_level

__all__ = ["download", "read"]

read = partial(read_level, level="coarse")
