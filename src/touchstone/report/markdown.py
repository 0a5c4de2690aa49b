"""Facts -> the Markdown twin, which git keeps and a pull request shows. No pictures; equal facts give equal text."""

import re
from dataclasses import replace

from touchstone.report import attributed, audits, environment, several, tables, words
from touchstone.report.facts import Facts
from touchstone.report.headline import headline
from touchstone.report.table import Table

WORST = 5  # mistakes of each run


def render(facts: Facts) -> str:
    """GitHub-flavoured Markdown. Between the `results` comments stand the two results tables and nothing else."""
    env = environment(autoescape=False)
    env.filters |= {"md": escape, "grid": grid, "worded": worded}
    template = env.get_template("report.md.j2")
    return template.render(
        facts=facts,
        headline=headline(facts),
        words=words,
        tables=tables,
        attributed=attributed,
        audits=audits,
        several=several,
        worst=several.ends(facts) if facts.multi_label else tables.mistakes(facts, each=WORST),
        num=WORST,
    )


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no emphasis, no new cell."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def worded(table: Table) -> str:
    """The same with the verdicts of its cells beside their numbers."""
    rows = [
        [f"{cell} {table.verdicts[i, j]}" if (i, j) in table.verdicts else cell for j, cell in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]
    return grid(replace(table, rows=rows))


def grid(table: Table) -> str:
    """A table, aligned as it says."""
    marks = ["---:" if letter == "r" else ":---" for letter in table.align]
    lines = [table.header, marks, *table.rows]
    return "\n".join(
        f"| {' | '.join(cells if cells is marks else [escape(cell) for cell in cells])} |" for cells in lines
    )
