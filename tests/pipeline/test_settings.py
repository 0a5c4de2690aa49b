"""The stage `settings`: a change in params.yaml or in the code changes the files of the stages that it concerns."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.project import ROOT
from kit.studies import TINY
from touchstone.config import yaml

# Stages that train, fit, sample, predict or make images: what no word may run again.
COSTLY = {"encoder", "find_lr", "fit", "predict", "prepare", "pretrained", "synthesize", "train", "transform", "tune"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code and the parameters of the project."""
    return copied(tmp_path)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files that the stage writes for the unchanged project."""
    return written(copied(tmp_path_factory.mktemp("before")))


def copied(to: Path) -> Path:
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data/external", to / "data/external")
    shutil.copy(ROOT / "recipes/digits/params.yaml", to / "params.yaml")
    shutil.copy(ROOT / "dvc.yaml", to / "dvc.yaml")
    return to


def written(folder: Path) -> dict[str, str]:
    """Run the stage in a copy: name of a file in data/settings -> its text."""
    environment = os.environ | {"PYTHONPATH": "src"}
    command = [sys.executable, "stages/settings.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    files = (folder / "data/settings").rglob("*.json")
    return {path.relative_to(folder / "data/settings").with_suffix("").as_posix(): path.read_text() for path in files}


def test_a_name_that_is_not_utf8_is_blamed_on_its_own_folder(copy: Path) -> None:
    (copy / "data/added/mine/cat").mkdir(parents=True)
    with open(bytes(copy) + b"/data/added/mine/cat/K\xe4se.png", "wb"):
        pass
    command = [sys.executable, "stages/settings.py"]
    done = subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": "src"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert r"data/added: the name mine/cat/K\xe4se.png is not UTF-8; rename it" in done.stderr
    assert "source.path" not in done.stderr


def changed(folder: Path, before: dict[str, str]) -> set[str]:
    """The files that differ now, but for that of the stage itself."""
    after = written(folder)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - {"settings"}


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new))


def test_messages_checks_loggers_and_the_command_line_change_no_stage(copy: Path, before: dict[str, str]) -> None:
    for file, old, new in (
        ("data/training_set.py", "there are", "we have"),
        ("training/loggers.py", "is not installed", "is missing"),
        ("config/checks.py", "grey images have no colours", "there is no colour in grey images"),
        ("config/load.py", '"""Read a params.yaml', '"""Load a params.yaml'),
        ("cli.py", "help=", "help=" + repr("In short: ") + " + "),
        ("stage.py", "peak_memory_mib", "peak_mib"),
        ("errors.py", "did you mean", "or rather"),
    ):
        replace(copy / "src/touchstone" / file, old, new)
    assert changed(copy, before) == set()


def test_docstrings_comments_and_layout_of_every_file_change_nothing(copy: Path, before: dict[str, str]) -> None:
    def reword() -> None:
        for path in (copy / "src").rglob("*.py"):
            path.write_text(f"# A comment.\n\n{path.read_text()}\n\n# And another one.\n")

    reword()
    assert changed(copy, before) == set()


def test_a_column_of_the_report_runs_the_report_alone(copy: Path, before: dict[str, str]) -> None:
    file = copy / "src/touchstone/report/pages.py"
    file.write_text(file.read_text() + "\nCOLUMN = 1\n")
    assert changed(copy, before) == {"report", "verdict"}


def test_wordings_of_settings_are_for_the_report(copy: Path, before: dict[str, str]) -> None:
    """They stand in the schema, on which the report depends as a folder."""
    file = copy / "src/touchstone/config/schema/augmentation.py"
    replace(file, "rotation ±", "turned by up to ±")
    assert changed(copy, before) == set()


def test_a_new_setting_of_the_report_runs_nothing_costly(copy: Path, before: dict[str, str]) -> None:
    file = copy / "src/touchstone/config/schema/report.py"
    file.write_text(file.read_text() + "    more: int = 3\n")
    found = changed(copy, before)
    assert "report" in found
    assert not found & COSTLY


def test_a_change_of_what_training_does_runs_training_and_nothing_before_it(copy: Path, before: dict[str, str]) -> None:
    file = copy / "src/touchstone/training/optimizers.py"
    file.write_text(file.read_text() + "\nNEW = 1\n")
    found = changed(copy, before)
    assert found == {"train", "encoder", "find_lr", "tune"}


def test_a_net_counts_for_the_models_that_are_made_of_it(copy: Path, before: dict[str, str]) -> None:
    file = copy / "src/touchstone/models/nets/simple.py"
    file.write_text(file.read_text() + "\nNEW = 1\n")
    shutil.copy(file, file.with_name("mine.py"))
    assert changed(copy, before) == {"models/simple"}, "a new net changes nothing"


def test_a_kind_counts_for_its_generators(copy: Path, before: dict[str, str]) -> None:
    file = copy / "src/touchstone/generators/dcgan/net.py"
    file.write_text(file.read_text() + "\nNEW = 1\n")
    shutil.copytree(file.parent, file.parents[1] / "mine")
    assert changed(copy, before) == {"generators/dcgan.fit", "generators/dcgan.sample"}, "a new kind changes nothing"


def test_a_source_counts_where_it_is_the_one(copy: Path, before: dict[str, str]) -> None:
    sources = copy / "src/touchstone/data/sources"
    replace(sources / "digits.py", "import numpy", "import os\nimport numpy")
    replace(sources / "cifar10.py", "import numpy", "import os\nimport numpy")
    assert changed(copy, before) == {"download", "prepare"}
    replace(sources / "digits.py", "import os\nimport numpy", "import numpy")
    assert changed(copy, before) == set(), "the source that is not used counts nowhere"


@pytest.mark.parametrize(
    ("change", "files"),
    [
        ("models.simple.lr=0.5", {"models/simple", "evaluate", "explain", "pretrained", "report", "verdict"}),
        ("generators.ddpm.sample.per_class=61", {"generators/ddpm.sample", "filters", "audit", "report", "verdict"}),
        ("generators.ddpm.fit.lr=0.001", {"generators/ddpm.fit", "filters", "audit", "report", "verdict"}),
        ("transforms.brighter.brightness=1.3", {"transforms/brighter", "audit", "evaluate", "report", "verdict"}),
        ("arms.fixed.ratio=1", {"augment", "evaluate", "explain", "report", "verdict"}),
        ("compare.num_resamples=300", {"ensemble", "evaluate", "report", "verdict"}),
        ("report.worst=3", {"report", "verdict"}),
        ("report.sheet=9", {"sheet", "report", "verdict"}),
        ("data.image_size=32", {"prepare", "audit", "report", "verdict"}),
        ("audit.num_splits=50", {"audit", "report"}),
        ("train.tune.trials=5", {"tune", "report", "verdict"}),
        ("source.mirror=elsewhere", {"download", "pretrained"}),
        ("machine.num_workers=3", set()),
        ("cluster={partition: gpu, stages: {train: {gpus: 1}}}", set()),
        ("audit.seed=5", {"models/audit-encoder", "audit", "pretrained", "report"}),
        ("multi_label={difficult: count}", {"prepare", "report", "verdict"}),
    ],
)
def test_a_parameter_changes_the_files_of_those_who_read_it(
    copy: Path, before: dict[str, str], change: str, files: set[str]
) -> None:
    params = copy / "params.yaml"
    params.write_text(yaml.changed(params.read_text(), [change]))
    assert changed(copy, before) == files


def test_a_setting_of_train_changes_models_that_do_not_override_it(copy: Path, before: dict[str, str]) -> None:
    params = copy / "params.yaml"
    params.write_text(yaml.changed(params.read_text(), ["train.lr=0.5"]))
    found = changed(copy, before)
    assert {"models/lenet", "models/audit-encoder"} <= found
    assert "models/simple" not in found, "it has a learning rate of its own"


def test_the_encoder_is_null_where_no_generator_needs_it(copy: Path, before: dict[str, str]) -> None:
    params = copy / "params.yaml"
    params.write_text(yaml.changed(params.read_text(), TINY))
    assert json.loads(before["models/audit-encoder"])["settings"]["net"] == "lenet"
    assert json.loads(written(copy)["models/audit-encoder"]) == {"settings": None, "code": {}}


def test_each_model_is_written_whole(before: dict[str, str]) -> None:
    model = json.loads(before["models/simple"])
    [phase] = model["settings"]["phases"]
    assert (phase["lr"], phase["num_steps"], phase["schedule"]) == (0.003, 600, "one_cycle")
    assert "src/touchstone/models/nets/simple.py" in model["code"]
