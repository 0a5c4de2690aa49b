"""generators -> data/pipelines/<generator>: the files of a pretrained pipeline, pinned by hash, with its licence.

Each generator has a folder there, so that another pipeline fits and samples its own generator again and no other.
"""

from pathlib import Path

from touchstone.config.resolved import read
from touchstone.data.folders import replaced
from touchstone.stage import run

SETTINGS = ("pipelines",)
OUT = Path("data/pipelines")
DOWNLOADS = Path(".touchstone/downloads")


def main() -> None:
    with replaced(OUT) as folder:
        (folder / "README").write_text("The pretrained pipeline of each generator that has one.\n")
        for name, pipeline in read("pipelines")["pipelines"].items():
            to = folder / name
            to.mkdir()
            if pipeline:
                from touchstone.generators.diffusers.files import pack  # here: the others need no hub

                facts = pack(name, **pipeline, to=to, old=OUT / name, downloads=DOWNLOADS)
                print(f"{name}: {facts.kind}, licence: {facts.licence or 'not stated in its model card'}")
            else:
                (to / "README").write_text("None.\n")


if __name__ == "__main__":
    run(main)
