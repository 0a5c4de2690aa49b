"""All results but the audit and the explanations -> metrics/verdict.html, the report as soon as there is a verdict."""

from pathlib import Path

from touchstone.config.settings import load_settings
from touchstone.report import pages
from touchstone.report.gather import gather
from touchstone.stage import run

SETTINGS = (
    "arithmetic",
    "arms",
    "compare",
    "data",
    "ensembles",
    "finetunes",
    "generators",
    "models",
    "multi_label",
    "report",
    "seed",
    "students",
    "train",
    "transforms",
)


def main() -> None:
    facts = gather(Path(), load_settings("verdict"), complete=False)
    pages.write(Path("metrics/verdict.html"), pages.html(facts))


if __name__ == "__main__":
    run(main)
