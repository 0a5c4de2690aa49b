"""The results of a run as an HTML page and as its Markdown twin for reviews, both from one set of facts.

    facts = gather.gather(Path(), settings)    everything, read from files once
    html.render(facts), markdown.render(facts)

Equal inputs give equal bytes: neither holds a date, duration, version or path. Those are in `runtime.render`.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from touchstone.report.table import csv_text, csv_uri

TEMPLATES = Path(__file__).parent / "templates"


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
    jinja.filters |= {"csv_text": csv_text, "csv_uri": csv_uri}
    return jinja


def write(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    new.replace(path)
