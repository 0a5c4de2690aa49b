"""data/added -> data/collected/<generator>: images that were made elsewhere, packed with their labels and hashes.

Each generator has a folder there, so a changed image runs the stage `synthesize` of its own set again and no other.
"""

from pathlib import Path

from touchstone.config.resolved import read
from touchstone.data.added import pack_added
from touchstone.data.folders import replaced
from touchstone.stage import run

SETTINGS = ("folders",)


def main() -> None:
    with replaced(Path("data/collected")) as folder:
        (folder / "README").write_text("The images of each generator that were made elsewhere.\n")
        for name, path in read("collect")["folders"].items():
            to = folder / name
            to.mkdir()
            if path:
                counts = pack_added(name, Path(path), to=to)
                print(f"{name}: " + ", ".join(f"{number} {label}" for label, number in sorted(counts.items())))
            else:
                (to / "README").write_text("None: it samples its images.\n")


if __name__ == "__main__":
    run(main)
