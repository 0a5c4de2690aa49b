"""The table of models. Its columns and wordings follow from the schema: a setting that is marked `Shown` stands under
the column that its mark names, wherever it differs from its default. Other settings of the table are worded here.
"""

from touchstone.config.net_names import is_published
from touchstone.config.schema.model import Model, Phase
from touchstone.config.schema.section import Shown, shown
from touchstone.report.facts import Facts
from touchstone.report.table import Table
from touchstone.report.words import budget

ONCE = ("model", "net", "starts from", "input px")  # columns that only the first phase of a model fills
NUMBERS = ("input px", "budget", "batch", "learning rate")  # columns aligned to the right


def models(facts: Facts) -> Table:
    """The training of each model, one row per phase."""
    rows = []
    for name, model in facts.settings.trained.items():
        for i, phase in enumerate(model.phases):
            always = _always(name, model, phase, facts)
            fields = [*type(phase).model_fields.values(), *type(model).model_fields.values()]
            marks = [mark.column for field in fields for mark in field.metadata if isinstance(mark, Shown)]
            columns = list(dict.fromkeys([*always, *marks]))
            cells = [[always.get(column, ""), *shown(phase, column), *shown(model, column)] for column in columns]
            texts = [", ".join(filter(None, cell)) or "none" for cell in cells]
            rows.append(["" if i and column in ONCE else text for column, text in zip(columns, texts, strict=True)])
    return Table("".join("r" if column in NUMBERS else "l" for column in columns), columns, rows)


def _always(name: str, model: Model, phase: Phase, facts: Facts) -> dict[str, str]:
    """Column -> text, for the columns that every row has."""
    options = ", ".join(f"{key} {value}" for key, value in model.options.items())
    by_steps = {
        "budget": budget(phase),
        "batch": str(model.batch_size),
        "optimizer": phase.optimizer,
        "learning rate": f"auto: {facts.rates[name][0]:g}" if phase.lr == "auto" else f"{phase.rate:g}",
        "schedule": phase.schedule,
        "online augmentation": "",
        "selected by": model.select if facts.findings["num_val"] else "last",
    }
    if model.probe is not None:
        by_steps = dict.fromkeys(by_steps, "") | {"optimizer": "L-BFGS", "selected by": model.probe.summary}
    return {
        "model": name,
        "net": f"{model.net} ({options})" if options else model.net,
        "starts from": _start(name, model, facts),
        "input px": _input_px(model),
        "trained": ", ".join(phase.trainable),
        **by_steps,
    }


def _start(name: str, model: Model, facts: Facts) -> str:
    """The initial weights, a publisher's by its own name, with a warning where random ones stay frozen."""
    if model.init_from:
        return model.init_from
    if is_published(model.weights):
        return facts.published[name]
    if model.pretrained:
        return model.weights.rsplit("/", 1)[-1]
    return "random weights" + (", partly frozen: a test of the mechanics only" if model.is_frozen_in_part else "")


def _input_px(model: Model) -> str:
    size = f"{model.input_size}, test {model.test_px}" if model.test_input_size else str(model.input_size)
    return f"{size}, five crops of {model.crop_px}" if model.crop_px else size
