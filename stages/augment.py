"""data/augmented + arms -> data/arms/<arm>.json: the settings and sets of each arm; no pixel is copied."""

import json
from pathlib import Path

from touchstone.config.resolved import load as load_settings
from touchstone.config.resolved import read
from touchstone.config.schema.data import Arm
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.training_set import assemble, manifest
from touchstone.stage import run

SETTINGS = ("arms",)
AUGMENTED = Path("data/augmented")


def main() -> None:
    train = load(Path("data/prepared/train"))
    with replaced(Path("data/arms")) as folder:
        for name in read("augment")["arms"]:
            arm = load_settings(Arm, "augment", "arms", name)
            file = folder / f"{name}.json"
            file.write_text(json.dumps(manifest(arm, augmented=AUGMENTED), indent=2) + "\n")
            # An arm that cannot be put together fails here.
            images = assemble(file, train=train, augmented=AUGMENTED, replicates=range(read("replicates")["fits"]))
            print(f"{name}: {len(images[0])} training images")


if __name__ == "__main__":
    run(main)
