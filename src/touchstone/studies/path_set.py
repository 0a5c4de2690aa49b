"""Sets of paths, for questions about files and the folders that they lie in."""

from collections.abc import Iterable
from pathlib import PurePath


class PathSet:
    """Paths of files and folders, which need not exist."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = set(paths)
        self._around = {str(parent) for path in self._paths for parent in PurePath(path).parents}

    def overlaps(self, path: str) -> bool:
        """Whether the path is one of them, holds one of them or lies in one of them."""
        if path in self._paths or path in self._around:
            return True
        return any(str(parent) in self._paths for parent in PurePath(path).parents)
