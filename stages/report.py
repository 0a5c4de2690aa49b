"""All results -> metrics/report.html, metrics/figures; in git report.md, metrics.json, audit.json; and runtime.html."""

from pathlib import Path

from touchstone import notes
from touchstone.config.settings import load_settings
from touchstone.data.folders import replaced
from touchstone.report import figures, pages, runtime
from touchstone.report.gather import gather
from touchstone.stage import run

SETTINGS = (
    "arithmetic",
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
    "students",
    "train",
    "transforms",
)
TO = Path("metrics")


def main() -> None:
    facts = gather(Path(), load_settings("report"))
    pages.write(TO / "report.html", pages.html(facts))
    pages.write(TO / "report.md", pages.markdown(facts))
    with replaced(TO / "figures") as folder:
        for name, png in figures.figures(facts).items():
            (folder / f"{name}.png").write_bytes(png)
        (folder / "README.md").write_text(figures.page(facts), encoding="utf-8")
    for file in ("data/evaluated/metrics.json", "data/audit/audit.json"):  # for git, and for those who read numbers
        pages.write(TO / Path(file).name, Path(file).read_text(encoding="utf-8"))
    pages.write(TO / "runtime.html", runtime.render(notes.RUNTIME))


if __name__ == "__main__":
    run(main)
