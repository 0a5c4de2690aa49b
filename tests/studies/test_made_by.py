"""The code and settings that made a recipe's kept files are written down, and later changes are named."""

import json
import shutil
from pathlib import Path

import pytest

from kit.project import ROOT
from kit.studies import TINY
from touchstone.cli import main
from touchstone.config import yaml
from touchstone.errors import TouchstoneError
from touchstone.studies.hashes import file_hash
from touchstone.studies.made_by import (
    DEFAULT,
    FILE,
    KEPT,
    ONLY_WITH,
    RENDERING,
    State,
    maker,
    mark,
    present,
    record,
    state,
    states,
)

TEXT = yaml.changed((ROOT / "recipes/digits/params.yaml").read_text(), TINY)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the recipe `mine`, which keeps a metrics.json, a report and a picture."""
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "recipes/mine"
    (folder / "figures").mkdir(parents=True)
    (folder / "params.yaml").write_text(TEXT)
    for name in ("metrics.json", "report.md", "figures/gains.png"):
        (folder / name).write_text(name)
    return tmp_path


def recorded(root: Path, command: str = "study") -> Path:
    folder = root / "recipes/mine"
    record(folder, command, present(folder, command, root))
    return folder


def test_files_are_unrecorded_then_those_of_the_present_code(root: Path) -> None:
    folder = root / "recipes/mine"
    assert state(folder, "study", root) is State.UNRECORDED
    assert state(folder, "sweep", root) is State.NOTHING
    recorded(root)
    assert state(folder, "study", root) is State.CURRENT
    before = (folder / FILE).read_bytes()
    recorded(root)
    assert (folder / FILE).read_bytes() == before
    assert json.loads(before)["study"]["files"].keys() == {"metrics.json", "report.md", "figures/gains.png"}


@pytest.mark.parametrize("name", ["metrics.json", "figures/gains.png", "figures/another.png"])
def test_a_kept_file_that_was_changed_or_added_is_noticed(root: Path, name: str) -> None:
    folder = recorded(root)
    (folder / name).write_text("by hand")
    assert state(folder, "study", root) is State.ALTERED


def test_a_kept_file_that_was_deleted_is_noticed(root: Path) -> None:
    folder = recorded(root)
    (folder / "report.md").unlink()
    assert state(folder, "study", root) is State.ALTERED
    (folder / "metrics.json").unlink()
    shutil.rmtree(folder / "figures")
    assert state(folder, "study", root) is State.ALTERED


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("seed=7", State.OTHER_SETTINGS),
        ("models.lenet.input_size=12", State.OTHER_SETTINGS),
        ("source.mirror=elsewhere", State.CURRENT),
        ("source.path=data/external/mine", State.CURRENT),
    ],
)
def test_settings_count_unless_they_say_where_the_data_are(root: Path, change: str, expected: State) -> None:
    folder = recorded(root)
    (folder / "params.yaml").write_text("# A comment.\n" + yaml.changed(TEXT, [change]))
    assert state(folder, "study", root) is expected


def test_a_study_with_changed_parameters_is_not_of_the_recipe_and_keeps_no_path(root: Path) -> None:
    folder = root / "recipes/mine"
    text = yaml.changed(TEXT, [f"source.mirror={root}"])
    record(folder, "study", maker(text, root))
    assert state(folder, "study", root) is State.CURRENT
    assert str(root) not in (folder / FILE).read_text()
    record(folder, "study", maker(yaml.changed(text, ["train.num_steps=7"]), root))
    assert state(folder, "study", root) is State.OTHER_SETTINGS


@pytest.mark.parametrize(
    ("stage", "line", "expected"),
    [
        ("train", "STEPS = 3\n", State.EARLIER),
        ("train", "# A comment.\n", State.CURRENT),
        ("evaluate", "from touchstone.explain import cost\n", State.EARLIER),
        ("report", "STEPS = 3\n", State.CURRENT),
        ("fit", "STEPS = 3\n", State.CURRENT),
    ],
    ids=["a stage", "a comment", "an import", "the report", "a stage without generators"],
)
def test_code_counts_where_it_decides_the_figures(root: Path, stage: str, line: str, expected: State) -> None:
    folder, script = recorded(root), root / f"stages/{stage}.py"
    edited = root / "edited"  # hashes are remembered by path
    shutil.copytree(root / "recipes", edited / "recipes")
    shutil.copytree(root / "stages", edited / "stages")
    (edited / script.relative_to(root)).write_text(script.read_text() + line)
    assert state(edited / folder.relative_to(root), "study", edited) is expected


def test_a_copy_of_the_project_anywhere_is_the_same_code(root: Path) -> None:
    """The order of paths must not count: here the stages of a copy import the package of the checkout."""
    assert maker(TEXT, root).code == maker(TEXT, ROOT).code


def test_the_source_the_net_and_the_kinds_of_generators_belong_to_the_code() -> None:
    generators = yaml.parse((ROOT / "recipes/digits/params.yaml").read_text())["generators"]
    one_each = [f"generators={json.dumps({name: generators[name]})}" for name in ("dcgan", "ddpm")]
    changes = ["seed=7", "data.source=cifar10", "models={simple: {}}", *one_each]
    codes = {change: maker(yaml.changed(TEXT, [change]), ROOT).code for change in changes}
    assert codes.pop("seed=7") == maker(TEXT, ROOT).code
    assert len({*codes.values(), maker(TEXT, ROOT).code}) == 5


def test_a_sweep_has_its_own_entry_and_its_values_count(root: Path) -> None:
    folder = recorded(root)
    (folder / "experiments.csv").write_text("table")
    (folder / "sweep.yaml").write_text("seed:\n- 1\n- 2\n")
    assert state(folder, "sweep", root) is State.UNRECORDED
    recorded(root, "sweep")
    assert list(json.loads((folder / FILE).read_text())) == ["study", "sweep"]
    assert [each for _, _, each in states(root)] == [State.CURRENT, State.CURRENT]
    (folder / "sweep.yaml").write_text("seed:\n- 1\n- 3\n")
    assert [each for _, _, each in states(root)] == [State.CURRENT, State.OTHER_SETTINGS]
    assert mark(folder / "report.md", root) == mark(folder / "figures/README.md", root) == ""
    assert mark(folder / "experiments.csv", root) == State.OTHER_SETTINGS.mark


def test_the_default_is_compared_with_the_lock(root: Path) -> None:
    folder = root / "recipes/mine"
    default = folder.rename(root / "recipes" / DEFAULT)
    shutil.rmtree(default / "figures")
    shutil.copy(default / "params.yaml", root)
    record(default, "study", maker(TEXT, root))
    assert not (default / FILE).exists()
    assert state(default, "study", root) is State.NOT_LOCKED, "nothing is locked"
    md5s = {name: file_hash(default / name) for name in ("metrics.json", "report.md")}
    outs = "".join(f"    - path: metrics/{name}\n      md5: {md5}\n" for name, md5 in md5s.items())
    (root / "dvc.lock").write_text(f"stages:\n  report:\n    cmd: x\n    outs:\n{outs}")
    assert state(default, "study", root) is State.LOCKED
    (default / "report.md").write_text("by hand")
    assert state(default, "study", root) is State.NOT_LOCKED
    (default / "report.md").write_text("report.md")
    (root / "params.yaml").write_text(yaml.changed(TEXT, ["seed=7"]))
    assert state(default, "study", root) is State.NOT_LOCKED
    assert mark(default / "report.md", root) == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"study": 1}', '{"study": {"code": ""}}'])
def test_a_damaged_record_is_one_line(root: Path, text: str) -> None:
    folder = root / "recipes/mine"
    (folder / FILE).write_text(text)
    with pytest.raises(TouchstoneError, match=r"made_by\.json: .*run the recipe again") as caught:
        state(folder, "study", root)
    assert "\n" not in str(caught.value)


def test_a_recipe_with_a_mistake_is_named(root: Path) -> None:
    folder = recorded(root)
    (folder / "params.yaml").write_text(yaml.changed(TEXT, ["train.lrr=1"]))
    with pytest.raises(TouchstoneError, match=r"^recipes/mine: .*did you mean lr\?"):
        state(folder, "study", root)


def test_the_command_lists_recipes_fills_docs_and_fails_on_altered_files(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(root)
    (root / "README.md").write_text("<!-- results from recipes/mine/report.md -->\n<!-- end -->\n")
    (folder / "report.md").write_text("<!-- results:start -->\n| 1 |\n<!-- results:end -->\n")
    (root / "recipes/idle").mkdir()
    shutil.copy(folder / "params.yaml", root / "recipes/idle")
    recorded(root)
    monkeypatch.chdir(root)
    main(["studies"])
    assert capsys.readouterr().out.splitlines() == [
        "idle (study): nothing kept",
        "mine (study): made by the present code and settings",
    ]
    (folder / "metrics.json").write_text("by hand")
    with pytest.raises(SystemExit):
        main(["studies", "--fill"])
    done = capsys.readouterr()
    assert done.out.splitlines()[1:] == [
        "mine (study): changed since the run that made them",
        "README.md: brought up to date",
    ]
    assert done.err.count("\n") == 1
    assert "mine: kept files differ from those recorded in made_by.json" in done.err
    assert f"| 1 |\n\n*{State.ALTERED.mark}*\n" in (root / "README.md").read_text()


def test_a_project_without_recipes_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["studies"])
    assert "recipes/*/params.yaml: no such file" in capsys.readouterr().err


def test_no_recipe_here_holds_files_that_were_changed_since() -> None:
    found = {f"{name} ({command})": each for name, command, each in states(ROOT)}
    altered = [name for name, each in found.items() if each is State.ALTERED]
    assert altered == [], "run the recipe again, or `git checkout` its files"
    assert found[f"{DEFAULT} (study)"] is State.LOCKED, "copy metrics/metrics.json and metrics/report.md there"


def test_the_stages_that_do_not_always_count_exist() -> None:
    assert set(RENDERING) | set(ONLY_WITH) <= {script.stem for script in (ROOT / "stages").glob("*.py")}
    assert {path.name for path in ROOT.glob("recipes/*/*.csv")} <= {KEPT["sweep"][0], "published.csv"}
