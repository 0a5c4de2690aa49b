"""models -> data/nets/<model>.json: each model's net and the hash of its code, so that a new net re-trains nobody."""

import json
from pathlib import Path

from touchstone import params
from touchstone.closure import digest, imports
from touchstone.imageset import replaced
from touchstone.models import FOLDER, check_net
from touchstone.stage import run


def main() -> None:
    settings = params.load()
    with replaced(Path("data/nets")) as folder:
        for name in settings.models:
            net = settings.model(name).net
            check_net(name, net)
            code = digest(imports(FOLDER / f"{net}.py"))
            (folder / f"{name}.json").write_text(json.dumps({"net": net, "sha256": code}, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
