"""models -> data/nets/<model>.json, generators -> data/kinds/<generator>.json: what code each one is of.

A new net re-trains nobody, a new kind of generator fits nothing anew.
"""

import json
from pathlib import Path

from touchstone import generators, models, params
from touchstone.closure import digest, imports
from touchstone.imageset import replaced
from touchstone.models import check_net
from touchstone.stage import run


def main() -> None:
    settings = params.load()
    with replaced(Path("data/nets")) as folder:
        for name in settings.trained:
            net = settings.model(name).net
            check_net(f"{'models' if name in settings.models else 'finetunes'}.{name}", net)
            note(folder / f"{name}.json", models.FOLDER, net, {"net": net})
        encoder = settings.encoder()  # whole: it takes from `train` but some of its keys
        check_net("audit.encoder", encoder.net)
        note(folder / "audit-encoder.json", models.FOLDER, encoder.net, encoder.model_dump(mode="json"))
    with replaced(Path("data/kinds")) as folder:
        (folder / "README").write_text("Each generator's kind and the hash of its code.\n")
        for name in settings.generators:
            kind = settings.generator(name).kind
            note(folder / f"{name}.json", generators.FOLDER, kind, {"kind": kind})


def note(file: Path, folder: Path, name: str, facts: dict[str, object]) -> None:
    """Facts, and the hash of the file `name` in `folder` and of all it imports."""
    code = digest(imports(folder / f"{name}.py"))
    file.write_text(json.dumps(facts | {"sha256": code}, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
