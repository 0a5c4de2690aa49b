"""A new stage touches two places: its script, which names the settings it reads, and its entry in dvc.yaml."""

import json
from pathlib import Path

from kit.pipeline import stages_run
from kit.project import project, run
from touchstone.config import yaml

SCRIPT = '''"""seed, compare -> data/mine.json: a note."""

import json
from pathlib import Path

from touchstone.config.settings import load_settings
from touchstone.stage import run

SETTINGS = ("compare", "seed")


def main() -> None:
    settings = load_settings("mine")
    Path("data/mine.json").write_text(json.dumps([settings.seed, settings.compare.confidence]))


if __name__ == "__main__":
    run(main)
'''
ENTRY = """  mine:
    cmd: PYTHONPATH=src python stages/mine.py
    deps:
    - data/settings/mine.json
    outs:
    - data/mine.json
"""


def test_a_new_stage_is_its_script_and_its_entry(tmp_path: Path) -> None:
    space = project(tmp_path / "space")
    (space / "stages/mine.py").write_text(SCRIPT)
    (space / "dvc.yaml").write_text((space / "dvc.yaml").read_text() + ENTRY)
    assert stages_run(run("dvc", "repro", "mine", cwd=space).stdout) == {"settings", "mine"}
    assert json.loads((space / "data/mine.json").read_text()) == [0, 0.95]

    def ran_after(change: str) -> set[str]:
        text = (space / "params.yaml").read_text()
        (space / "params.yaml").write_text(yaml.changed(text, [change]))
        return stages_run(run("dvc", "repro", "mine", cwd=space).stdout)

    assert ran_after("models.simple.lr=0.5") == {"settings"}, "it does not read the models"
    assert ran_after("seed=4") == {"settings", "mine"}
    assert json.loads((space / "data/mine.json").read_text()) == [4, 0.95]
