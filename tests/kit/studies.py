"""A tiny recipe."""

from pathlib import Path

from touchstone.config import yaml12

TINY = [
    "data.train_size=40",
    "train.num_steps=6",
    "train.eval_steps=3",
    "train.seeds=[0]",
    "transforms={repeat: {}}",
    "arms={real: {add: []}}",
    "models={lenet: {input_size: 16}}",
    "explain.runs=[]",
    "ensembles={}",
]


def recipe(root: Path, name: str) -> str:
    text = yaml12.changed((root / "params.yaml").read_text(), TINY)
    (root / "recipes" / name).mkdir()
    (root / "recipes" / name / "params.yaml").write_text(text)
    return text
