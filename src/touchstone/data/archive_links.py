"""Follows the links in an archive as walk.py follows those in a folder: never out of it, and in no circle."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from touchstone.data.hidden import Aside, hidden
from touchstone.errors import TouchstoneError

MAX_HOPS = 40  # links that one path may lead through, as in Linux
MAX_PATH = 4096  # characters of a name or a link's path, as in Linux
MAX_HEADERS = 3  # members in all for each file allowed: the file, a hidden one of macOS beside it, a folder or link
MAX_CHARS = 1 << 30  # of all names and links' paths, which are held in memory
TRUST = "unpack it yourself if you trust it"


class Links:
    """The names in an archive, and its links among them. Note all of them, then ask what the links mean.

    Each `add_` raises TouchstoneError on a name or a link's path of more than MAX_PATH characters, and once there are
    more members than MAX_HEADERS allows or longer names in all than MAX_CHARS.
    """

    def __init__(self, path: Path, *, max_files: int) -> None:
        """path: the archive, for messages. max_files: the most files that the archive may have."""
        self._path = path
        self._max_files = max_files
        self._num_headers = self._num_chars = self._num_linked = 0
        self._names: list[str] = []
        self._folders: list[str] = []
        self._targets: dict[str, tuple[str, str]] = {}
        """Link -> the folder from which its path leads, and that path."""
        # Made once there is a link:
        self._files: set[str] = set()
        self._inside: dict[str, list[str]] = {}
        """Folder -> the names directly in it, sorted."""

    def add_file(self, name: str) -> None:
        """Note a regular file."""
        self._count(name)
        self._names.append(name)

    def add_folder(self, name: str) -> None:
        """Note a folder."""
        self._count(name)
        self._folders.append(name)

    def add_symbolic(self, name: str, target: str) -> None:
        """Note a symbolic link, whose path leads from its own folder. Raises TouchstoneError on a second target."""
        self._add_link(name, name.rpartition("/")[0], target)

    def add_hard(self, name: str, target: str) -> None:
        """Note a hard link, which names another member. Raises TouchstoneError on a second target."""
        target = str(PurePosixPath(target)) if len(target) <= MAX_PATH else target
        if target == name and name in self._targets:  # GNU tar's second mention of a symbolic link
            target = ""
        self._add_link(name, "", target)

    def meanings(self, aside: Aside) -> dict[str, list[str]]:
        """Return regular file -> the visible names that links give it, also by way of a folder.

        aside: gets the folders that links name, and notes hidden images. Raises TouchstoneError where a link leads out
        of the archive, nowhere or in a circle, and where there are more names than files are allowed.
        """
        found = defaultdict[str, list[str]](list)
        if self._targets:
            self._build()
        for link in self._targets:
            if hidden(link):
                aside.skip(link)
                continue
            if link in self._inside or link in self._files:
                raise self._twice(link)
            for name, file in self._follow(link, link, (link.rpartition("/")[0],), aside):
                if file:
                    found[file].append(name)
                else:
                    aside.directories.append(name)
        return found

    def _add_link(self, name: str, folder: str, target: str) -> None:
        self._count(name, target)
        if target and self._targets.setdefault(name, (folder, target)) != (folder, target):
            raise self._twice(name)

    def _count(self, name: str, target: str = "") -> None:
        for text, what in ((name, "a name"), (target, "a link to a path")):
            if len(text) > MAX_PATH:
                reason = f"{what} of {len(text):,} characters, expected {MAX_PATH:,} at most"
                shown = f"{name[:40]}{'...' if len(name) > 40 else ''}"
                raise self._refusal(shown, reason, "pack the archive again without it")
        self._num_headers += 1
        if self._num_headers > MAX_HEADERS * self._max_files:
            most = f"{MAX_HEADERS * self._max_files:,} files, folders and links"
            raise self._refusal(name, f"the archive holds more than {most}", TRUST)
        self._hold(name, target)

    def _hold(self, *texts: str) -> None:
        self._num_chars += sum(map(len, texts))
        if self._num_chars > MAX_CHARS:
            reason = f"the names in the archive have more than {MAX_CHARS:,} characters in all"
            raise self._refusal(texts[0], reason, TRUST)

    def _build(self) -> None:
        self._files = set(self._names)
        for name in self._files & self._targets.keys():
            if self._targets[name] == ("", name):  # GNU tar's second mention of a file is a hard link to itself
                del self._targets[name]
        inside = defaultdict[str, set[str]](set)
        for name in (*self._names, *self._folders, *self._targets):
            while name and name != ".":
                folder, _, own = name.rpartition("/")
                if folder not in inside:
                    self._hold(folder)
                elif own in inside[folder]:
                    break  # and so are the folders around it
                inside[folder].add(own)
                name = folder
        self._inside = {name: [] for name in self._folders} | {name: sorted(own) for name, own in inside.items()}

    def _follow(self, name: str, at: str, chain: tuple[str, ...], aside: Aside) -> Iterator[tuple[str, str]]:
        """Yield (visible name, file) for what lies at `at` and below it, and (visible name, "") for folders.

        chain: the folders around, none of them a link. aside: notes the hidden images.
        """
        self._count_linked(name)
        place = self._resolved(at)
        if place in self._files:
            yield name, place
            return
        if place not in self._inside:
            raise self._odd(at, "where there is nothing in the archive")
        if at in self._targets and any(f"{folder}/".startswith(f"{place}/" if place else "") for folder in chain):
            raise self._odd(at, "a folder that holds the link")
        yield name, ""
        for own in self._inside[place]:
            inner = f"{place}/{own}" if place else own
            if hidden(own):
                self._pass_over(f"{name}/{own}", inner, aside)
            else:
                yield from self._follow(f"{name}/{own}", inner, (*chain, place), aside)

    def _pass_over(self, name: str, at: str, aside: Aside) -> None:
        """Note the images of a hidden folder, without following links, as walk.py does."""
        self._count_linked(name)
        if at not in self._inside:
            aside.skip(name)
        for own in self._inside.get(at, ()):
            self._pass_over(f"{name}/{own}", f"{at}/{own}", aside)

    def _count_linked(self, name: str) -> None:
        self._num_linked += 1
        if self._num_linked > self._max_files:
            raise self._refusal(name, f"links in the archive lead to more than {self._max_files} files", TRUST)

    def _resolved(self, at: str) -> str:
        """Return the path without links that a path in the archive means."""
        done = ""
        todo = at.split("/")[::-1]
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise self._odd(at, "which leads out of the archive")
                done = done.rpartition("/")[0]
                continue
            done = f"{done}/{part}" if done else part
            if len(done) > MAX_PATH:
                raise self._odd(at, "where there is nothing in the archive")
            if done in self._targets:
                folder, target = self._targets[done]
                hops += 1
                if hops > MAX_HOPS:
                    raise self._odd(at, "which leads in a circle")
                if target.startswith("/"):
                    raise self._odd(at, "which leads out of the archive")
                done = folder
                todo += target.split("/")[::-1]
        return done

    def _odd(self, at: str, what: str) -> TouchstoneError:
        target = self._targets[at][1] if at in self._targets else at
        return self._refusal(at, f"is a link to {target!r}, {what}", "pack the archive again without it")

    def _twice(self, name: str) -> TouchstoneError:
        return self._refusal(name, "two members have this name", "pack the archive again")

    def _refusal(self, name: str, reason: str, remedy: str) -> TouchstoneError:
        return TouchstoneError(f"{self._path}: {name}: {reason}; {remedy}")
