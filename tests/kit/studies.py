"""A recipe that trains one tiny run."""

from pathlib import Path

from touchstone.config import yaml

TINY = [
    "data.train_size=40",
    "train.num_steps=6",
    "train.eval_steps=3",
    "train.replicates=1",
    "transforms={repeat: {}}",
    "generators={}",
    "arms={real: {add: []}}",
    "models={lenet: {input_size: 16}}",
    "explain.runs=[]",
    "ensembles={}",
    "compare.num_resamples=200",
    "audit.num_draws=2",
]


def recipe(root: Path, name: str) -> str:
    """Add recipes/`name` to the project and return its params.yaml."""
    text = yaml.changed((root / "params.yaml").read_text(), TINY)
    (root / "recipes" / name).mkdir()
    (root / "recipes" / name / "params.yaml").write_text(text)
    return text
