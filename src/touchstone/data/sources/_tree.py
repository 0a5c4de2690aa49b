"""The folders below a folder, as a tree of names with their numbers of images."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Tree:
    """The folders below one folder, by their names, with what they hold."""

    folders: dict[str, "Tree"] = field(default_factory=dict)
    images: int = 0
    """Directly in it."""

    @property
    def total(self) -> int:
        """The images in it and below."""
        return self.images + sum(folder.total for folder in self.folders.values())

    def at(self, name: str) -> "Tree":
        """Return the folder of a posix path below this one, made if need be."""
        tree = self
        for part in name.split("/") if name else ():
            tree = tree.folders.setdefault(part, Tree())
        return tree


def tree_of(images: Iterable[str], folders: Iterable[str]) -> Tree:
    """Return the tree of some images and folders."""
    tree = Tree()
    for name in folders:
        tree.at(name)
    for name in images:
        tree.at(name.rpartition("/")[0]).images += 1
    return tree
