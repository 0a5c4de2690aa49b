"""Facts -> one self-contained page: inline style, pictures as `data:` URIs, no script, no request to anywhere."""

import yaml

from touchstone.report import attributed, audits, charts, environment, matrices, pictures, several, tables, words
from touchstone.report.facts import Facts
from touchstone.report.headline import headline

FOLD_ROWS = 20  # longer tables of classes start folded


def render(facts: Facts) -> str:
    """The HTML text; equal facts give equal text."""
    page = environment(autoescape=True)
    return page.get_template("report.html.j2").render(
        facts=facts,
        words=words,
        tables=tables,
        charts=charts,
        matrices=matrices,
        store=pictures.stored(facts),
        attributed=attributed,
        audits=audits,
        rates=charts.rates(facts),
        sanity={name: attributed.sanity(found) for name, found in facts.attributions.items() if found.holds},
        losses={name: charts.losses(table) for name, table in facts.losses.items()},
        reliability={model: charts.reliability(facts, model) for model in facts.params.trained},
        several=several,
        precision_recall={m: several.curves(facts, m) for m in facts.params.trained if facts.multi_label},
        curves={model: charts.curves(facts, model) for model in facts.params.trained},
        forest=charts.forest(facts),
        headline=headline(facts),
        parameters=parameters(facts),
        fold=len(facts.classes) > FOLD_ROWS,
    )


def parameters(facts: Facts) -> str:
    """params.yaml with its defaults, without what only says where things lie: no result depends on that."""
    values = facts.params.model_dump(mode="json", exclude={"machine": True, "data": {"path", "mirror"}})
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=False)
