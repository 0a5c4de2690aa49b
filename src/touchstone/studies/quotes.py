"""Tables in README and docs that are made from what a study kept, so that no figure is typed in.

Between `<!-- KIND from SOURCE -->` and `<!-- end -->` stands what SOURCE says now:
  results, audit, attributions
                   of recipes/<name>/report.md: what it has between the comments `results:start` and `results:end`
  published        of recipes/<name>/published.csv: run, validation, test, note, per cent; beside them what metrics.json
                   in the same folder says
  sweep            of recipes/<name>/experiments.csv: test accuracy (or mean average precision), a row for the swept
                   values, a column a run
  worth            of the same file, swept over data.train_size: how many real images an arm is worth
  resplit          of the same file, swept over data.split_seed: what each run gains over the splits
"""

import json
import re
from collections.abc import Callable, Container
from pathlib import Path

import pandas as pd

from touchstone.errors import TouchstoneError
from touchstone.studies import learning_curves

QUOTE = re.compile(r"(<!-- (\w+) from (\S+) -->\n).*?(<!-- end -->)", re.S)


def quoted(text: str, root: Path) -> str:
    """`text` with every quotation as its source says now; a source that is not there yet leaves it as it is."""

    def fill(found: re.Match[str]) -> str:
        kind, source = found[2], root / found[3]
        table = MADE.get(kind, _part(kind))(source) if source.is_file() else ""
        return f"{found[1]}{table}{found[4]}" if table else found[0]

    return QUOTE.sub(fill, text)


def update(root: Path) -> list[Path]:
    """Bring README.md and docs/*.md up to date; returns the files that changed."""
    changed = []
    for file in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        old = file.read_text(encoding="utf-8")
        new = quoted(old, root)
        if new != old:
            file.write_text(new, encoding="utf-8")
            changed.append(file)
    return changed


def _part(kind: str) -> Callable[[Path], str]:
    part = re.compile(rf"<!-- {kind}:start -->\n(.*?)<!-- {kind}:end -->", re.S)

    def find(source: Path) -> str:
        found = part.search(source.read_text(encoding="utf-8"))
        return found[1] if found else ""

    return find


def published(source: Path) -> str:
    """The published figures beside those of the kept metrics; a run that diverged says so. Empty without metrics."""
    kept = source.parent / "metrics.json"
    if not kept.is_file():
        return ""
    metrics = json.loads(kept.read_text(encoding="utf-8"))
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    unknown = [run for run in table["run"] if run not in metrics]
    if unknown or table["run"].duplicated().any():
        raise TouchstoneError(f"{source}: expected each run once, of those in {kept}; got {', '.join(table['run'])}")
    rows = [["run", "published: val. %", "test %", "here: val. %", "test %", "note"]]
    for row in table.itertuples():
        found = metrics[row.run]
        here = [_percent(found.get(key)) for key in (f"val_{measure(found)}", measure(found))]
        note = [str(row.note)] if row.note else []
        note += [f"diverged: {found['diverged']}"] if "diverged" in found else []
        rows.append([str(row.run), str(row.validation) or "–", str(row.test) or "–", *here, ", ".join(note)])
    return _markdown(rows, "lrrrrl")


def swept(source: Path) -> str:
    """Test accuracy, or mean average precision, in per cent of every experiment and run."""
    table = pd.read_csv(source, keep_default_na=False)
    keys = list(table.columns[1 : list(table.columns).index("run")])
    runs = list(dict.fromkeys(table["run"]))
    rows = [[*(key.rsplit(".", 1)[-1] for key in keys), *runs]]
    for _, part in table.groupby("experiment", sort=False):
        cells = part.set_index("run")
        rows.append([*map(str, part.iloc[0][keys]), *(_cell(cells.loc[run]) for run in runs)])
    return _markdown(rows, "r" * len(rows[0]))


def resplit(source: Path) -> str:
    """What each run gains over several splits: the mean, how it varies from split to split, and its verdicts."""
    table = pd.read_csv(source, keep_default_na=False)
    compared = table[table["gain"].astype(str) != ""]
    rows = [
        ["run", "splits", "mean gain, points", "sd over splits", "lowest", "highest", "mean half-width", "verdicts"]
    ]
    for run, part in compared.groupby("run", sort=False):
        gains, low, high = (100 * part[key].astype(float) for key in ("gain", "gain_low", "gain_high"))
        words = part["verdict"].value_counts()
        told = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
        numbers = [gains.mean(), gains.std(ddof=1), gains.min(), gains.max(), ((high - low) / 2).mean()]
        rows.append([str(run), str(len(part)), *(f"{value:.2f}" for value in numbers), told])
    return _markdown(rows, "lrrrrrrl")


def worths(source: Path) -> str:
    """With how many real images alone the baseline is as good as each arm, by the number of real images it has."""
    table = learning_curves.worth(pd.read_csv(source, keep_default_na=False))
    if table.empty:  # what was swept changes the baseline, too
        return ""
    rows = [["arm", "real images", "gain, points", "as good as, real images alone", "by the gain's interval"]]
    most, least = max(table["images"]), min(table["images"])

    def shown(count: float) -> str:
        return f"more than {most:,}" if count > most else f"fewer than {least:,}" if count < least else f"{count:,.0f}"

    for row in table.to_dict("records"):
        between = f"{shown(row['low'])} to {shown(row['high'])}"
        rows.append([row["line"], f"{row['images']:,}", f"{100 * row['gain']:+.2f}", shown(row["equal"]), between])
    return _markdown(rows, "lrrrr")


MADE = {"published": published, "sweep": swept, "resplit": resplit, "worth": worths}


def measure(found: Container[str]) -> str:
    """What runs are judged by, seen from what there is of one: accuracy, or map of several labels an image."""
    return "map" if "map" in found else "accuracy"


def _cell(row: pd.Series) -> str:
    key = measure(row.index)
    text = _percent(float(row[key]))
    text += f" ± {_percent(float(row[f'{key}_sd']))}" if float(row[f"{key}_sd"]) else ""
    return f"{text}, diverged" if row["diverged"] else text


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"


def _markdown(rows: list[list[str]], align: str) -> str:
    marks = ["---:" if letter == "r" else ":---" for letter in align]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [rows[0], marks, *rows[1:]]) + "\n"
