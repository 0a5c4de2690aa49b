"""data/raw -> data/prepared: decoded, resized, split, searched for copies."""

from pathlib import Path

from touchstone.config.resolved import load, read
from touchstone.config.schema.data import Data, MultiLabel
from touchstone.data.findings import read as read_findings
from touchstone.data.prepare import prepare
from touchstone.data.sources import load_source
from touchstone.stage import run

import pandas as pd

SETTINGS = ("data", "multi_label")
RAW = Path("data/raw")
TO = Path("data/prepared")


def main() -> dict[str, object]:
    data, multi_label = load(Data, "prepare", "data"), load(MultiLabel, "prepare", "multi_label")
    raw = load_source(data.source).read(RAW)
    draws, sheet_size = read("replicates")["draws"], read("sheet")
    told = read_findings(RAW / "findings.csv")
    summary = prepare(raw, data=data, multi_label=multi_label, draws=draws, to=TO, sheet_size=sheet_size, told=told)
    print(pd.read_csv(TO / "findings/counts.csv", dtype=str, keep_default_na=False).to_string(index=False))
    print(*(f"{key}: {value}" for key, value in summary.items()), sep="\n")
    return summary


if __name__ == "__main__":
    run(main)
