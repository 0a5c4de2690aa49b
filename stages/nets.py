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
        nets = {name: settings.model(name).net for name in settings.models}
        for name, net in (nets | {"audit-encoder": settings.encoder().net}).items():
            check_net(name, net)
            note(folder / f"{name}.json", "net", net, models.FOLDER)
    with replaced(Path("data/kinds")) as folder:
        (folder / "README").write_text("Each generator's kind and the hash of its code.\n")
        for name in settings.generators:
            note(folder / f"{name}.json", "kind", settings.generator(name).kind, generators.FOLDER)


def note(file: Path, key: str, name: str, folder: Path) -> None:
    """What an entry is made of, and the hash of that file and of all it imports."""
    code = digest(imports(folder / f"{name}.py"))
    file.write_text(json.dumps({key: name, "sha256": code}, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
