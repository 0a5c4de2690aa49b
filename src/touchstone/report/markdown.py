"""Facts -> the Markdown twin, for git and pull requests: no pictures; equal facts give equal text."""

import re
from dataclasses import replace

from touchstone.report import attributed, audits, environment, multi_label, sentences, tables, words
from touchstone.report.facts import Facts
from touchstone.report.headline import headline
from touchstone.report.models import models
from touchstone.report.table import Table

WORST = 5  # mistakes shown of each run


def render(facts: Facts) -> str:
    """GitHub-flavoured Markdown. Tables between comments, such as `results`, are quoted by the docs."""
    env = environment(autoescape=False)
    env.filters |= {"md": escape, "grid": grid, "worded": worded}
    template = env.get_template("report.md.j2")
    return template.render(
        facts=facts,
        settings=facts.settings,
        headline=headline(facts),
        words=words,
        sentences=sentences,
        tables=tables,
        models=models(facts),
        attributed=attributed,
        audits=audits,
        multi_label=multi_label,
        worst=multi_label.extremes(facts) if facts.multi_label else tables.mistakes(facts, each=WORST),
        num=WORST,
    )


def escape(text: str) -> str:
    """Escape text for Markdown: no HTML, no emphasis, no new cell."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def worded(table: Table) -> str:
    """A table with the verdicts of its cells beside their numbers."""
    rows = [
        [f"{cell} {table.verdicts[i, j]}" if (i, j) in table.verdicts else cell for j, cell in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]
    return grid(replace(table, rows=rows))


def grid(table: Table) -> str:
    """A Markdown table."""
    marks = ["---:" if letter == "r" else ":---" for letter in table.align]
    lines = [table.header, marks, *table.rows]
    return "\n".join(
        f"| {' | '.join(cells if cells is marks else [escape(cell) for cell in cells])} |" for cells in lines
    )
