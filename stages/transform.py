"""transform@<name>: data/prepared/train -> data/pools/<name>, one new image of each training image."""

import sys
from pathlib import Path

from touchstone.config import params
from touchstone.data.imageset import load
from touchstone.data.sheets import save_with_sheet
from touchstone.data.transforms import transform
from touchstone.stage import run


def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    made = transform(load(Path("data/prepared/train")), name=name, settings=settings.transforms[name])
    save_with_sheet(Path("data/pools") / name, made, sheet_size=settings.report.sheet)


if __name__ == "__main__":
    run(main)
