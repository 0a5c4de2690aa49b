"""data/pools + arms -> data/arms/<arm>.json: what each arm is made of; no pixel is copied."""

import json
from pathlib import Path

from touchstone.config import params
from touchstone.data.imageset import load, replaced
from touchstone.data.training_set import assemble, manifest
from touchstone.stage import run

POOLS = Path("data/pools")


def main() -> None:
    train = load(Path("data/prepared/train"))
    with replaced(Path("data/arms")) as folder:
        for name, arm in params.load().arms.items():
            file = folder / f"{name}.json"
            file.write_text(json.dumps(manifest(arm, pools=POOLS), indent=2) + "\n")
            images = assemble(file, train=train, pools=POOLS)  # an arm that cannot be put together fails here
            print(f"{name}: {len(images)} training images")


if __name__ == "__main__":
    run(main)
