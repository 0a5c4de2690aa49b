"""Facts -> the HTML page and its Markdown twin. Equal facts give equal text: neither holds a date, version or path."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from touchstone.report import (
    advice,
    attributed,
    charts,
    doubts,
    matrices,
    multi_label,
    pipelines,
    probes,
    reliability,
    sentences,
    tables,
    tuning,
    words,
)
from touchstone.report.arms import training_sets
from touchstone.report.facts import Facts
from touchstone.report.forest import forest
from touchstone.report.headline import headline, title
from touchstone.report.heat import heat_maps
from touchstone.report.models import models
from touchstone.report.pictures import stored
from touchstone.report.table import csv_text, csv_uri, escape, grid, worded
from touchstone.report.words import short_path

TEMPLATES = Path(__file__).parent / "templates"
FOLD_ROWS = 20  # longer tables of classes start folded in HTML
WORST = 5  # mistakes of each run shown in Markdown


def html(facts: Facts) -> str:
    """One self-contained page: inline style and script, pictures as `data:` URIs, no request to any server."""
    parameters = facts.settings.model_dump(mode="json")  # those that the report's stage reads, with their defaults
    template = environment(autoescape=True).get_template("report.html.j2")
    return template.render(
        **_common(facts),
        charts=charts,
        matrices=matrices,
        reliability=reliability,
        heat=heat_maps(facts),
        store=stored(facts),
        changed=any(result.changes for result in facts.results) or facts.num_missed > 0,
        forest=forest(facts),
        training_sets=training_sets,
        parameters=yaml.safe_dump(parameters, sort_keys=False, allow_unicode=True, default_flow_style=False),
        fold=len(facts.classes) > FOLD_ROWS,
    )


def markdown(facts: Facts) -> str:
    """GitHub-flavoured Markdown. Tables between comments, such as `results`, are quoted by the docs."""
    worst = multi_label.extremes(facts) if facts.multi_label else tables.mistakes(facts, each=WORST)
    template = environment(autoescape=False).get_template("report.md.j2")
    return template.render(**_common(facts), worst=worst, num=WORST)


def _common(facts: Facts) -> dict[str, Any]:
    """The names that both templates use."""
    modules = {"words": words, "sentences": sentences, "tables": tables, "attributed": attributed, "doubts": doubts}
    modules |= {"tuning": tuning, "advice": advice, "pipelines": pipelines, "probes": probes}
    computed = {"title": title(facts), "headline": headline(facts), "models": models(facts)}
    return {"facts": facts, "settings": facts.settings, "multi_label": multi_label, **modules, **computed}


def environment(*, autoescape: bool) -> Environment:
    """Jinja2 over this package's templates; a misspelt name in a template is an error."""
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    jinja.globals |= {"script": Markup(script), "script_hash": f"sha256-{digest}"}  # the page runs no other script
    jinja.filters |= {
        "short": short_path,
        "csv_text": csv_text,
        "csv_uri": csv_uri,
        "md": escape,
        "grid": grid,
        "worded": worded,
    }
    return jinja


def write(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    new.replace(path)
