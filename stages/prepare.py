"""data/raw -> data/prepared: decoded, resized, split, searched for copies."""

from pathlib import Path

import pandas as pd

from touchstone.config import params
from touchstone.data.prepare import prepare
from touchstone.data.sources import load_source
from touchstone.stage import run

TO = Path("data/prepared")


def main() -> dict[str, object]:
    settings = params.load()
    raw = load_source(settings.data.source).read(raw=Path("data/raw"))
    summary = prepare(raw, data=settings.data, several=settings.multi_label, to=TO, sheet_size=settings.report.sheet)
    print(pd.read_csv(TO / "findings/counts.csv", dtype=str, keep_default_na=False).to_string(index=False))
    print(*(f"{key}: {value}" for key, value in summary.items()), sep="\n")
    return summary


if __name__ == "__main__":
    run(main)
