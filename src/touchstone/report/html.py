"""Facts -> one self-contained page: inline style, pictures as `data:` URIs, no script, no request to any server."""

import yaml

from touchstone.report import (
    attributed,
    audits,
    charts,
    environment,
    matrices,
    multi_label,
    pictures,
    sentences,
    tables,
    words,
)
from touchstone.report.facts import Facts
from touchstone.report.headline import headline
from touchstone.report.models import models

FOLD_ROWS = 20  # longer tables of classes start folded


def render(facts: Facts) -> str:
    """The HTML text; equal facts give equal text."""
    trained = facts.settings.trained
    template = environment(autoescape=True).get_template("report.html.j2")
    return template.render(
        facts=facts,
        settings=facts.settings,
        words=words,
        sentences=sentences,
        tables=tables,
        models=models(facts),
        charts=charts,
        matrices=matrices,
        store=pictures.stored(facts),
        attributed=attributed,
        audits=audits,
        multi_label=multi_label,
        rates=charts.rates(facts),
        sanity={name: attributed.sanity(run) for name, run in facts.attributions.items() if run.is_checked},
        losses={name: charts.losses(table) for name, table in facts.losses.items()},
        reliability={model: charts.reliability(facts, model) for model in trained},
        precision_recall={model: multi_label.curves(facts, model) for model in trained if facts.multi_label},
        curves={model: charts.curves(facts, model) for model in trained},
        forest=charts.forest(facts),
        headline=headline(facts),
        parameters=parameters(facts),
        fold=len(facts.classes) > FOLD_ROWS,
    )


def parameters(facts: Facts) -> str:
    """The settings that the report's stage reads, with their defaults, as YAML."""
    values = facts.settings.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=False)
