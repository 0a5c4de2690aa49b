"""Recognise the files that systems and programs leave beside a user's images, which no reader takes for data.

All readers use it: those of folders, archives and PASCAL VOC's layout, and `touchstone predict`.
"""

import os
from collections import Counter
from dataclasses import dataclass, field

from touchstone.data.decode import image_suffixes

# Names of files and folders, in any case: what macOS, Windows, network drives and file systems leave.
LEFTOVERS = frozenset(
    {
        "__macosx",
        "icon\r",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "#recycle",
        "recycler",
        "system volume information",
        "@eadir",
        "#snapshot",
        "@recycle",
        "@tmp",
        "lost+found",
        "__pycache__",
    }
)
# Names with a dot that are no class of anyone's; other folders with a dot are told if they hold images.
DOTTED = frozenset(
    {
        *(".git", ".svn", ".hg", ".dvc", ".github", ".idea", ".vscode", ".venv", ".cache", ".touchstone"),
        *(".ipynb_checkpoints", ".pytest_cache", ".ds_store", ".appledouble", ".apdisk", ".thumbnails", ".thumb"),
        *(".trash", ".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
        *(".picasaoriginals", ".comments", ".@__thumb", ".streams", ".snapshot", ".snapshots"),
    }
)


def hidden(name: str) -> bool:
    """Return whether a part of a posix name begins with a dot or is what a system leaves behind, see LEFTOVERS."""
    return any(_is_hidden(part) for part in name.split("/"))


def told(name: str) -> str:
    """Return the folder that hides a file although its name may be a class such as `.22 rifle`; "" where none does."""
    parts = name.split("/")
    for place, part in enumerate(parts[:-1]):
        if _is_hidden(part):
            folder = part.lower()
            ours = folder in DOTTED or folder in LEFTOVERS or folder.startswith(("._", ".trash-"))
            return "" if ours else "/".join(parts[: place + 1])
    return ""


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in LEFTOVERS


@dataclass
class Aside:
    """Things that a reader leaves out or interprets, and that it reports to the user."""

    folders: Counter[str] = field(default_factory=Counter)
    """Hidden folder whose name may be a class -> its number of images."""
    code_page: list[str] = field(default_factory=list)
    """Names in an archive that are not UTF-8."""
    directories: list[str] = field(default_factory=list)
    """The folders that an archive lists, empty ones among them."""
    linked: list[str] = field(default_factory=list)
    """Folders that are links."""
    stage: str = "download"
    """The stage of DVC that reads."""

    def skip(self, name: str) -> None:
        """Count a hidden file if it is an image in a folder that is reported."""
        if (folder := told(name)) and os.path.splitext(name)[1].lower() in image_suffixes():
            self.folders[folder] += 1

    def lines(self) -> list[str]:
        """Return a line for each kind, none where there is nothing."""
        lines = []
        if self.folders:
            listed = ", ".join(f"{name} ({count})" for name, count in sorted(self.folders.items()))
            lines.append(
                f"left out hidden folders with images: {listed}; rename those that are classes, without the dot"
            )
        if self.code_page:
            listed = ", ".join(sorted(self.code_page)[:3]) + (", ..." if len(self.code_page) > 3 else "")
            lines.append(
                f"names in the archive that are not UTF-8, read as code page 437: {len(self.code_page)} ({listed}); "
                "pack it again if they look wrong"
            )
        if self.linked:
            listed = ", ".join(self.linked[:3]) + (", ..." if len(self.linked) > 3 else "")
            lines.append(
                f"{listed}: links to folders, in which DVC notices no change: "
                f"after one, `dvc repro --force {self.stage}`"
            )
        return lines
