"""Tables in README and docs that are quoted from the files of recipes; none of their figures is typed by hand.

Between `<!-- KIND from SOURCE -->` and `<!-- end -->` stands a table that is made of SOURCE. The kinds:
  results, audit, attributions
                   from recipes/<name>/report.md: the text between its comments such as `results:start`, `results:end`
  published        from recipes/<name>/published.csv: what a study published beside what was measured
  overview         from recipes: the same of all recipes in one table, with data, budgets, intervals and minutes
  sweep            from recipes/<name>/experiments.csv: test accuracy (or mean average precision); a row for each
                   combination of swept values, a column for each run
  worth            from the same file, swept over data.train_size: how many real images an arm is worth
  resplit          from the same file, swept over data.split_seed: how the gain of each run varies over the splits
  figures          from recipes/<name>/figures/README.md: its pictures with their captions

Below it stands a sentence where the kept figures are not by the present code and settings (`studies.made_by`).
"""

import os
import re
from pathlib import Path

import pandas as pd

from touchstone.evaluation.metrics import primary_key
from touchstone.report.table import Table, grid
from touchstone.report.words import percent
from touchstone.studies import learning_curves, made_by, overview

QUOTE = re.compile(r"(<!-- (\w+) from (\S+) -->\n).*?(<!-- end -->)", re.S)


def quoted(text: str, root: Path, *, page: Path | None = None) -> str:
    """Return `text` with every quotation brought up to date; one whose source does not exist yet stays as it is.

    page: the file of the text, from which links to pictures lead; default: one in `root`.
    """
    folder = page.parent if page else root

    def fill(quotation: re.Match[str]) -> str:
        opening, kind, source, closing = quotation.groups()
        file, table = root / source, ""
        if file.is_file() or kind == "overview":
            table = _figures(file, folder) if kind == "figures" else _table(kind, file)
        return f"{opening}{table}{_mark(file, root)}{closing}" if table else quotation[0]

    return QUOTE.sub(fill, text)


def pages(root: Path) -> list[Path]:
    """The files in which quotations are brought up to date."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def update(root: Path) -> list[Path]:
    """Bring README.md and the pages in docs up to date and return the files that changed."""
    changed = []
    for file in pages(root):
        old = file.read_text(encoding="utf-8")
        new = quoted(old, root, page=file)
        if new != old:
            file.write_text(new, encoding="utf-8")
            changed.append(file)
    return changed


def _mark(source: Path, root: Path) -> str:
    sentence = made_by.mark(source, root) if source.is_file() else ""  # the overview marks each of its rows
    return f"\n*{sentence}*\n" if sentence else ""


def _table(kind: str, source: Path) -> str:
    return TABLES[kind](source) if kind in TABLES else _part(kind, source)


def _figures(source: Path, folder: Path) -> str:
    """The pictures of a README.md in a recipe's figures/ with their captions, as a page in `folder` links to them."""
    place = Path(os.path.relpath(source.parent, folder)).as_posix()
    _, _, body = source.read_text(encoding="utf-8").partition("\n\n")  # without the heading
    return re.sub(r"!\[\]\(", f"![]({place}/", body)


def _part(kind: str, report: Path) -> str:
    """The part of a report between the comments `KIND:start` and `KIND:end`; "" without them."""
    pattern = rf"<!-- {kind}:start -->\n(.*?)<!-- {kind}:end -->"
    match = re.search(pattern, report.read_text(encoding="utf-8"), re.S)
    return match[1] if match else ""


def swept(source: Path) -> str:
    """Test accuracy, or mean average precision, in per cent: a row for each experiment, a column for each run."""
    table = pd.read_csv(source, keep_default_na=False)
    keys = list(table.columns[1 : list(table.columns).index("run")])
    runs = list(dict.fromkeys(table["run"]))
    rows = []
    for _, experiment in table.groupby("experiment", sort=False):
        scores = experiment.set_index("run")
        rows.append([*map(str, experiment.iloc[0][keys]), *(_cell(scores.loc[run]) for run in runs)])
    header = [*(key.rsplit(".", 1)[-1] for key in keys), *runs]
    return _text("r" * len(header), header, rows)


def resplit(source: Path) -> str:
    """The gain of each run over several splits: its mean, how it varies from split to split, and the verdicts."""
    table = pd.read_csv(source, keep_default_na=False)
    compared = table[table["gain"].astype(str) != ""]
    header = ["run", "splits", "mean gain, points", "sd over splits", "lowest", "highest", "mean half-width"]
    rows = []
    for run, splits in compared.groupby("run", sort=False):
        gains, low, high = (100 * splits[key].astype(float) for key in ("gain", "gain_low", "gain_high"))
        counts = sorted(splits["verdict"].value_counts().items())
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        numbers = [gains.mean(), gains.std(ddof=1), gains.min(), gains.max(), ((high - low) / 2).mean()]
        rows.append([str(run), str(len(splits)), *(f"{value:.2f}" for value in numbers), verdicts])
    return _text("lrrrrrrl", [*header, "verdicts"], rows)


def equivalents(source: Path) -> str:
    """Tabulate how many real images the baseline alone needs to equal each arm; "" where the sweep changes it too."""
    table = learning_curves.equivalent_images(pd.read_csv(source, keep_default_na=False))
    if table.empty:
        return ""
    most, fewest = max(table["images"]), min(table["images"])

    def count(images: float) -> str:
        if images > most:
            return f"more than {most:,}"
        return f"fewer than {fewest:,}" if images < fewest else f"{images:,.0f}"

    rows = []
    for row in table.to_dict("records"):
        interval = f"{count(row['low'])} to {count(row['high'])}"
        rows.append([row["line"], f"{row['images']:,}", f"{100 * row['gain']:+.2f}", count(row["equal"]), interval])
    header = ["arm", "real images", "gain, points", "as good as, real images alone", "95 % interval"]
    return _text("lrrrr", header, rows)


TABLES = {
    "published": overview.published,
    "overview": overview.overview,
    "sweep": swept,
    "resplit": resplit,
    "worth": equivalents,
}


def _cell(row: pd.Series) -> str:
    key = primary_key(row.index)
    text, sd = percent(float(row[key])), float(row[f"{key}_sd"])
    text += f" ± {percent(sd)}" if sd else ""
    return f"{text}, diverged" if row["diverged"] else text


def _text(align: str, header: list[str], rows: list[list[str]]) -> str:
    return grid(Table(align, header, rows)) + "\n"
