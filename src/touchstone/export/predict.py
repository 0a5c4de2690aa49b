"""Opens the model that `touchstone predict` asks: a trained one, an exported file, or one exported on demand."""

import sys
from pathlib import Path

from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.export.command import cached
from touchstone.export.formats import FORMATS
from touchstone.export.model import fastest_installed, open_model
from touchstone.studies.predict_folder import Classifier, best_on_validation, load_model
from touchstone.studies.stale import OTHER, scores_are_stale

CACHE, DATA = Path(".touchstone/exports"), Path("data")


def choose_model(given: str, runtime: str, *, root: Path, metrics: Path) -> tuple[str, Classifier]:
    """Return the name and the model of `--model` and `--runtime`, "" where they are not given.

    The name says why it is the one where none was given.
    given: a run, an ensemble or a file, which needs no project around it. runtime: torch, onnx, openvino or auto.
    Raises TouchstoneError as `open_model`, `load_model` and `best_on_validation` do.
    """
    if is_file(given):
        return given, open_model(Path(given), runtime="" if runtime == "auto" else runtime)
    settings = load()
    name, why = (given, "") if given else best_on_validation(settings, metrics)
    title = f"{name}, {why}" if why else name
    if not given and scores_are_stale(root, metrics):
        print(f"warning: the scores in {metrics}, which choose {name}, are {OTHER}", file=sys.stderr)
    model, wanted = load_model(name, params=settings, data=DATA), runtime or "torch"
    chosen = fastest_installed() if wanted == "auto" else wanted
    if chosen == "torch":
        return title, model
    form = next(form for form in FORMATS if form.runtime == chosen)
    try:
        return title, open_model(cached(name, model, form, settings=settings, data=DATA, folder=CACHE))
    except TouchstoneError as error:
        if wanted != "auto":
            raise
        print(f"warning: --runtime auto: torch predicts, as {chosen} cannot: {error}", file=sys.stderr)
        return title, load_model(name, params=settings, data=DATA)  # anew, as exporting moves nets


def is_file(given: str) -> bool:
    """Whether `--model` names a file rather than a run: it has a suffix of ours, or another and is there."""
    path = Path(given)
    return path.suffix in {form.suffix for form in FORMATS} or bool(path.suffix and path.is_file())
