"""Follows the links in an archive as walk.py follows those in a folder: never out of it, and in no circle."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from touchstone.data.hidden import Aside, hidden
from touchstone.errors import TouchstoneError

MAX_HOPS = 40  # links that one path may lead through, as in Linux


class Links:
    """The names in an archive, and its links among them. Note all of them, then ask what the links mean."""

    def __init__(self, path: Path) -> None:
        """path: the archive, for messages."""
        self._path = path
        self._names: list[str] = []
        self._folders: list[str] = []
        self._targets: dict[str, tuple[str, str]] = {}
        """Link -> the folder from which its path leads, and that path."""
        # Made once there is a link:
        self._files: set[str] = set()
        self._inside: defaultdict[str, set[str]] = defaultdict(set)
        """Folder -> the names directly in it."""

    def add_file(self, name: str) -> None:
        """Note a regular file."""
        self._names.append(name)

    def add_folder(self, name: str) -> None:
        """Note a folder."""
        self._folders.append(name)

    def add_symbolic(self, name: str, target: str) -> None:
        """Note a symbolic link, whose path leads from its own folder."""
        self._targets[name] = name.rpartition("/")[0], target

    def add_hard(self, name: str, target: str) -> None:
        """Note a hard link, which names another member."""
        self._targets[name] = "", str(PurePosixPath(target))

    def meanings(self, aside: Aside, *, most: int) -> dict[str, list[str]]:
        """Return regular file -> the visible names that links give it, also by way of a folder.

        aside: gets the folders that links name, and notes hidden links. Raises TouchstoneError where a link leads out
        of the archive, nowhere or in a circle, and where there are more than `most` names.
        """
        found = defaultdict[str, list[str]](list)
        count = 0
        if self._targets:
            self._build()
        for link in self._targets:
            if hidden(link):
                aside.skip(link)
                continue
            if link in self._inside or link in self._files:
                raise self._refusal(link, "two members have this name", "pack the archive again")
            for name, file in self._follow(link, link, (link.rpartition("/")[0],)):
                count += 1
                if count > most:
                    reason = f"links in the archive lead to more than {most} files"
                    raise self._refusal(name, reason, "unpack it yourself if you trust it")
                if file:
                    found[file].append(name)
                else:
                    aside.directories.append(name)
        return found

    def _build(self) -> None:
        self._files = set(self._names)
        for name in self._files & self._targets.keys():
            if self._targets[name] == ("", name):  # GNU tar's second mention of a file is a hard link to itself
                del self._targets[name]
        for name in (*self._names, *self._folders, *self._targets):
            while name and name != ".":
                folder, _, own = name.rpartition("/")
                self._inside[folder].add(own)
                name = folder
        for name in self._folders:
            self._inside[name]

    def _follow(self, name: str, at: str, chain: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield (visible name, file) for what lies at `at` and below it, and (visible name, "") for folders.

        chain: the folders around, none of them a link.
        """
        place = self._resolved(at)
        if place in self._files:
            yield name, place
            return
        if place not in self._inside:
            raise self._odd(at, "where there is nothing in the archive")
        if at in self._targets and any(f"{folder}/".startswith(f"{place}/" if place else "") for folder in chain):
            raise self._odd(at, "a folder that holds the link")
        yield name, ""
        for own in sorted(self._inside[place]):
            if not hidden(own):
                yield from self._follow(f"{name}/{own}", f"{place}/{own}" if place else own, (*chain, place))

    def _resolved(self, at: str) -> str:
        """Return the path without links that a path in the archive means."""
        done: list[str] = []
        todo = at.split("/")[::-1]
        hops = 0
        while todo:
            part = todo.pop()
            if part == ".." and not done:
                raise self._odd(at, "which leads out of the archive")
            if part == "..":
                done.pop()
            elif part not in ("", "."):
                done.append(part)
            if part not in ("", ".", "..") and (link := self._targets.get("/".join(done))):
                folder, target = link
                hops += 1
                if hops > MAX_HOPS:
                    raise self._odd(at, "which leads in a circle")
                if target.startswith("/"):
                    raise self._odd(at, "which leads out of the archive")
                done = folder.split("/") if folder else []
                todo += target.split("/")[::-1]
        return "/".join(done)

    def _odd(self, at: str, what: str) -> TouchstoneError:
        target = self._targets[at][1] if at in self._targets else at
        return self._refusal(at, f"is a link to {target!r}, {what}", "pack the archive again without it")

    def _refusal(self, name: str, reason: str, remedy: str) -> TouchstoneError:
        return TouchstoneError(f"{self._path}: {name}: {reason}; {remedy}")
