"""What a run found, told twice: an HTML page for eyes and a Markdown twin for reviews, from one set of facts.

    facts = gather.gather(Path(), params)    everything, read from files once
    html.render(facts), markdown.render(facts)

Equal inputs give equal bytes: no date, duration, version or place is in either; those are in `runtime.render`.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from touchstone.report.table import csv_text, csv_uri

TEMPLATES = Path(__file__).parent / "templates"


def environment(*, autoescape: bool) -> Environment:
    """Jinja2 over this package's templates; a name that a template misspells is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"csv_text": csv_text, "csv_uri": csv_uri}
    return found


def write(path: Path, text: str) -> None:
    """Replace a file at once: whoever reads it sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    new.replace(path)
