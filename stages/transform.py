"""transform@<name>: data/prepared/train -> data/augmented/<name>, one new image of each training image."""

import sys
from pathlib import Path

from touchstone.config.resolved import load as load_settings
from touchstone.config.resolved import read
from touchstone.config.schema.data import Transform
from touchstone.data.imageset import load
from touchstone.data.sheets import save_with_sheet
from touchstone.data.transforms import transform
from touchstone.stage import run


def main() -> None:
    name = sys.argv[1]
    settings = load_settings(Transform, f"transforms/{name}")
    made = transform(load(Path("data/prepared/train")), name=name, settings=settings)
    save_with_sheet(Path("data/augmented") / name, made, sheet_size=read("sheet"))


if __name__ == "__main__":
    run(main)
