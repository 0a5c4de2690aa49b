"""Check params.yaml before any stage touches an output: a typo stops `dvc repro` here, and nothing is lost."""

import json
from pathlib import Path

from touchstone.config import params
from touchstone.config.model import Finetune, Model
from touchstone.data.sources import load_source
from touchstone.errors import TouchstoneError
from touchstone.models.nets import check_settings
from touchstone.models.precision import check_precision
from touchstone.stage import run
from touchstone.training.loggers import check_loggers

OUT = Path("data/check.json")


def main() -> None:
    settings = params.load()
    load_source(settings.data.source)
    if not Path(settings.data.path).exists():
        raise TouchstoneError(
            f"data.path: {settings.data.path}: no such file or folder; put the images there or mend it"
        )
    check_loggers(settings.machine.loggers)
    for name in settings.trained:
        kind = "models" if name in settings.models else "finetunes"
        check_model(f"{kind}.{name}", settings.model(name), settings)
    check_model("audit.encoder", settings.encoder(), settings)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"params": "valid"}) + "\n")  # always the same: what follows is not re-run


def check_model(key: str, model: Model, settings: params.Params) -> None:
    if model.precision != "fp32":
        from touchstone.models.predict import device  # here: it needs torch, which most params do not

        check_precision(model.precision, device(settings.machine.accelerator))
    check_settings(key, model.net, input_size=model.input_size, options=model.options)
    frozen = any(phase.trainable != ("all",) for phase in model.plan())
    if model.options or model.pretrained or model.test_input_size or frozen or isinstance(model, Finetune):
        from touchstone.models.plan import check_plan, check_start  # here: it needs torch, which most params do not

        check_plan(key, model, channels=settings.data.channels)
        if isinstance(model, Finetune):
            origin = settings.model(model.init_from.rsplit("-", 1)[0])
            check_start(key, model, origin, channels=settings.data.channels)


if __name__ == "__main__":
    run(main)
