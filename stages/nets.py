"""models -> data/nets/<model>.json, generators -> data/kinds/<generator>.json: what code each one is of.

A new net re-trains nobody, a new kind of generator fits nothing anew.
"""

import json
from pathlib import Path

from touchstone import generators
from touchstone.code_hash import digest, imports
from touchstone.config import params
from touchstone.data.imageset import replaced
from touchstone.models import nets as models
from touchstone.models.nets import check_net
from touchstone.stage import run


def main() -> None:
    settings = params.load()
    with replaced(Path("data/nets")) as folder:
        for name in settings.trained:
            net = settings.model(name).net
            check_net(f"{'models' if name in settings.models else 'finetunes'}.{name}", net)
            note(folder / f"{name}.json", models.FOLDER / f"{net}.py", {"net": net})
        encoder = settings.encoder()  # whole: it takes from `train` but some of its keys
        check_net("audit.encoder", encoder.net)
        note(folder / "audit-encoder.json", models.FOLDER / f"{encoder.net}.py", encoder.model_dump(mode="json"))
    with replaced(Path("data/kinds")) as folder:
        (folder / "README").write_text("Each generator's kind and the hash of its code.\n")
        for name in settings.generators:
            kind = settings.generator(name).kind
            note(folder / f"{name}.json", generators.FOLDER / kind / "net.py", {"kind": kind})


def note(file: Path, source: Path, facts: dict[str, object]) -> None:
    """Facts, and the hash of the file `source` and of all it imports."""
    code = digest(imports(source))
    file.write_text(json.dumps(facts | {"sha256": code}, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
