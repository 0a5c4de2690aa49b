"""`touchstone init`, `plan` and `new` as a user types them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from kit.params import DEFAULT
from kit.project import ROOT, project, run
from touchstone.cluster import start
from touchstone.cluster.forecast import Counts, Forecast
from touchstone.config import yaml as project_yaml
from touchstone.config.load import load, settings_of
from touchstone.config.settings import Settings
from touchstone.data import sources
from touchstone.data.sources import load_source
from touchstone.data.split_table import check_splits, split_table
from touchstone.studies.hashes import hash_of
from touchstone.studies.look import Seen
from touchstone.studies.opened import opened
from touchstone.studies.published import SETS


def pictures(folder: Path, count: int = 40, side: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for label, level in (("cat", 60), ("dog", 190)):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = np.clip(rng.normal(level, 40, (side, side, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after `touchstone init`, and what it said."""
    root = tmp_path_factory.mktemp("begun") / "project"
    project(root)
    pictures(root / "data/external/pictures")
    return root, run("touchstone", "init", "data/external/pictures", "--minutes", "60", cwd=root).stdout


def test_init_says_what_it_saw_and_assumed_and_writes_parameters(begun: tuple[Path, str]) -> None:
    root, said = begun
    assert "data/external/pictures: 80 images of 2 classes" in said
    assert "classes: cat 40, dog 40" in said
    assert "sizes: 24 to 24 px wide, 24 to 24 px high; colour" in said
    assert "Images may be mirrored" in said
    assert re.search(r"`touchstone repro` will take about \d+ (seconds|minutes)", said)
    assert Image.open(root / ".touchstone/init/sheet.png").width > 200
    params = yaml.safe_load((root / "params.yaml").read_text())
    assert params["source"]["path"] == "data/external/pictures"
    assert (params["data"]["source"], params["data"]["image_size"], params["data"]["channels"]) == ("folder", 32, 3)
    assert list(params["arms"]) == ["real", "mirrored", "fixed"]


def test_parameters_that_are_not_committed_are_not_replaced(begun: tuple[Path, str]) -> None:
    root, _ = begun
    done = run("touchstone", "init", "data/external/pictures", cwd=root, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml has changes that are not committed; commit them, or give --force")


@pytest.mark.slow
def test_init_leads_to_a_verdict_without_editing_a_line(begun: tuple[Path, str]) -> None:
    root, _ = begun
    run("touchstone", "repro", cwd=root)
    assert "small" in (root / "metrics/report.md").read_text()
    said = run("touchstone", "plan", cwd=root).stdout
    assert said.startswith("Everything is up to date.")
    assert "The smallest true gain" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such file or folder; give a folder or an archive of images"),
        (
            ["README.md"],
            "README.md: got a file, expected a folder or a .zip or .tar archive of images, or a table of them",
        ),
        (["."], ".: its folder holds this project; put the images into data/external, or beside it"),
        (["list.csv"], "list.csv: its folder holds this project; put the images into data/external, or beside it"),
        (["src", "--minutes", "0"], "--minutes 0: expected more than 0"),
        (["few"], "few: class cat has 2 different images to train and validate with; add some"),
        (["one"], "source.path: one: got 1 class (cat), expected at least two"),
    ],
)
def test_bad_input_is_one_line_and_keeps_the_parameters(tmp_path: Path, arguments: list[str], said: str) -> None:
    for name in ("params.yaml", "dvc.yaml", "README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    run("git", "init", "-q", cwd=tmp_path)
    pictures(tmp_path / "few", 2)
    pictures(tmp_path / "one", 3)
    (tmp_path / "list.csv").write_text("file,label\n")
    for file in (tmp_path / "one/dog").iterdir():
        file.unlink()
    (tmp_path / "one/dog").rmdir()
    done = run("touchstone", "init", "--force", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_outside_a_project_init_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("touchstone", "init", ".", cwd=tmp_path, check=False)
    assert done.stderr.strip() == "error: there is no dvc.yaml here; `touchstone new FOLDER` lays out a project"


def test_without_git_init_says_so(tmp_path: Path) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = run("touchstone", "init", "--force", str(pictures(tmp_path / "p", 6)), cwd=tmp_path, check=False)
    assert done.stderr.strip() == "error: this folder is in no git repository, which DVC needs; run `git init`"


def test_new_lays_out_a_project_that_dvc_can_read(tmp_path: Path) -> None:
    said = run("touchstone", "new", "mine", cwd=tmp_path).stdout
    root = tmp_path / "mine"
    assert said.startswith("mine: ")
    assert not [name for name in ("recipes", "tests", "docs", "dvc.lock", "metrics") if (root / name).exists()]
    assert "touchstone init PATH" in (root / "README.md").read_text()
    stages = run("dvc", "stage", "list", "--name-only", cwd=root).stdout
    assert "train@lenet-real" in stages.split()
    pictures(root / "data/external/pictures")
    said = run("touchstone", "init", "data/external/pictures", cwd=root).stdout
    assert "params.yaml is written" in said, "its own parameters are nobody's changes"
    (root / "params.yaml").write_text("seed: 1\n")
    refused = run("touchstone", "init", "data/external/pictures", cwd=root, check=False)
    assert "changes that are not committed" in refused.stderr
    again = run("touchstone", "new", "mine", cwd=tmp_path, check=False)
    assert again.stderr.strip() == "error: mine: exists already; give a new folder"


def test_a_project_in_a_project_is_refused(tmp_path: Path) -> None:
    run("touchstone", "new", "mine", cwd=tmp_path)
    inside = tmp_path / "mine/data/external"
    pictures(inside / "pictures", 2)
    outside = tmp_path / "sub"
    for to, cwd in (("sub", tmp_path / "mine"), ("../../sub", inside), ("mine/data/sub", tmp_path)):
        done = run("touchstone", "new", to, cwd=cwd, check=False)
        assert done.returncode == 1
        assert done.stderr.strip() == (
            f"error: {to}: lies in the project {tmp_path / 'mine'}, and projects cannot be nested; give a folder "
            f"outside of it, such as {outside}, or run `touchstone init PATH` in {tmp_path / 'mine'} to set that one up"
        )
    assert not (tmp_path / "mine/sub").exists()
    done = run("touchstone", "init", "pictures", cwd=inside, check=False)
    assert done.stderr.strip() == (
        f"error: this folder lies in the project {tmp_path / 'mine'}; run there: cd {tmp_path / 'mine'}, "
        f"touchstone init {inside / 'pictures'}"
    )
    run("touchstone", "new", "sub", cwd=tmp_path)  # beside it is fine


def settings(*changes: str) -> Settings:
    return settings_of(project_yaml.changed(DEFAULT, ["train.vary=seed", "data.train_size=0", *changes]))


def expected(monkeypatch: pytest.MonkeyPatch, *changes: str) -> tuple[Counts, Seen, str]:
    """The numbers of images that `plan` counts with, what it takes for seen, and what it says."""
    found: list[Seen] = []
    monkeypatch.setattr(start, "unfinished", lambda root: ({}, {"prepare"}))
    monkeypatch.setattr(start, "estimate", lambda root, settings, *, seen, jobs: found.append(seen))
    monkeypatch.setattr(start, "text", lambda forecast: "A table.")
    said = start.planned(Path(), settings(*changes), Path("none.json"), jobs=1)
    return start._expected(found[0], settings(*changes)), found[0], said


def test_plan_counts_images_by_the_fractions_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = (f"source.path={pictures(tmp_path / 'p', 50)}", "data.source=folder")
    counts, _, _ = expected(monkeypatch, *place, "data.test_fraction=0.5", "data.val_fraction=0.1")
    assert (counts.train, counts.val, counts.test) == (45, 5, 50)
    counts, _, _ = expected(monkeypatch, *place, "data.test_fraction=0.2", "data.fold=1 of 4")
    assert (counts.train, counts.val, counts.test) == (60, 20, 20)


def test_the_spread_of_another_data_set_is_no_pilot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "data/prepared/test/table.csv"
    table.parent.mkdir(parents=True)
    table.write_text("id,label\na,cat\nb,dog\n")
    (tmp_path / "metrics.json").write_bytes((ROOT / "metrics/metrics.json").read_bytes())
    lock = tmp_path / "dvc.lock"
    monkeypatch.setattr(start, "unfinished", lambda root: ({}, {"evaluate"}))
    monkeypatch.setattr(start, "estimate", lambda *_, **__: None)
    monkeypatch.setattr(start, "text", lambda forecast: "A table.")

    def said() -> str:
        return start.planned(tmp_path, settings(), Path("metrics.json"), jobs=1)

    entry = "stages: {evaluate: {deps: [{path: data/prepared/test/table.csv, md5: HASH}]}}"
    for other in ("", "stages: {}", entry.replace("HASH", "0" * 32)):
        lock.write_text(other) if other else lock.unlink(missing_ok=True)
        assert "is known after its first run" in said()
    lock.write_text(entry.replace("HASH", str(hash_of(table))))
    assert "The smallest true gain, in points, found with 80 % power" in said()
    (tmp_path / "metrics.json").write_text("{}")
    assert "A table.\n\nWhich gains the study could find" in said(), "a pilot without a spread leaves the plan"


@pytest.mark.parametrize("mirror", ["''", "https://example.org/kept"])
def test_plan_downloads_no_published_data_set(monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setattr(load_source("cifar10"), "download", None)  # calling it would fail
    changes = ("data.source=cifar10", f"source.mirror={mirror}", "data.val_fraction=0.1")
    counts, seen, said = expected(monkeypatch, *changes)
    assert (counts.train, counts.val, counts.test, len(seen.classes)) == (45_000, 5_000, 10_000, 10)
    assert "assumes the images that are published of cifar10 (50,000 train, 10,000 test); none are fetched" in said


def test_each_source_that_is_fetched_has_published_numbers() -> None:
    fetched = [file.stem for pattern in ("cifar*.py", "voc2*.py") for file in sources.FOLDER.glob(pattern)]
    assert set(fetched) == SETS.keys()


@pytest.mark.parametrize("what", ["data/list.csv", "data/pictures", "data/pictures.zip", "file://"])
def test_what_init_writes_is_read_and_split_without_editing_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    run("git", "init", "-q", cwd=tmp_path)
    data = tmp_path / "data"
    rows = [f"{file.relative_to(data)},{file.parent.name}" for file in pictures(data / "pictures").rglob("*.png")]
    (data / "list.csv").write_text("\n".join(["file,label", *rows]))
    (data / "other.csv").write_text("file,label\nnone.png,bird\n")
    shutil.make_archive(str(data / "pictures"), "zip", data / "pictures")
    monkeypatch.setattr(start, "estimate", lambda *_, **__: Forecast({}, 1, 60.0, 0.0))
    monkeypatch.chdir(tmp_path)
    place = f"file://{data}/pictures" if what == "file://" else what
    start.init(tmp_path, place, mirror=None, minutes=60, jobs=1, force=True)
    told = f"data/list.csv is read with its folder {data}, where DVC hashes all files"
    assert (told in capsys.readouterr().out) == (what == "data/list.csv")
    found = load(Path("params.yaml"))
    with opened(found.data.source, found.source.path, columns=found.data.columns) as raw:
        table = split_table(raw, {}, found.data, found.multi_label)
        check_splits(table, raw.classes, found.data, marked=False)
    assert (raw.classes, len(table)) == (["cat", "dog"], 80)
    assert found.data.columns.table == ("list.csv" if what == "data/list.csv" else "")
