"""All results -> metrics/report.html, metrics/report.md; and metrics/runtime.html, which is no output."""

from pathlib import Path

from touchstone.config.settings import load_settings
from touchstone.report import html, markdown, runtime, write
from touchstone.report.gather import gather
from touchstone.stage import RUNTIME, run

SETTINGS = (
    "arms",
    "audit",
    "compare",
    "data",
    "ensembles",
    "explain",
    "finetunes",
    "generators",
    "models",
    "multi_label",
    "report",
    "seed",
    "train",
    "transforms",
)
TO = Path("metrics")


def main() -> None:
    facts = gather(Path(), load_settings("report"))
    write(TO / "report.html", html.render(facts))
    write(TO / "report.md", markdown.render(facts))
    write(TO / "runtime.html", runtime.render(RUNTIME))


if __name__ == "__main__":
    run(main)
