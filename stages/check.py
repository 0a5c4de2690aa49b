"""Check params.yaml before any stage touches an output: a typo stops `dvc repro` here, and nothing is lost."""

import json
from pathlib import Path

from touchstone import params
from touchstone.errors import TouchstoneError
from touchstone.models import check_settings
from touchstone.sources import load_source
from touchstone.stage import run

OUT = Path("data/check.json")


def main() -> None:
    settings = params.load()
    load_source(settings.data.source)
    if not Path(settings.data.path).exists():
        raise TouchstoneError(
            f"data.path: {settings.data.path}: no such file or folder; put the images there or mend it"
        )
    for name in settings.models:
        model = settings.model(name)
        check_settings(name, model.net, input_size=model.input_size, options=model.options)
    encoder = settings.encoder()
    check_settings("audit.encoder", encoder.net, input_size=encoder.input_size, options=encoder.options)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"params": "valid"}) + "\n")  # always the same: what follows is not re-run


if __name__ == "__main__":
    run(main)
