"""Projects in folders whose names have blanks, commas, # and umlauts, and in sub-folders of a git repository."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit.pipeline import TINY
from kit.project import ROOT, project, run
from touchstone.cluster.copies import copy_project
from touchstone.cluster.repro import _in_one_line
from touchstone.config import yaml
from touchstone.data.walk import check_names
from touchstone.errors import TouchstoneError
from touchstone.studies import workspace
from touchstone.studies.stored import Stored

NAME = "my data, n\u00e4me #1"


def test_make_keeps_its_environment_inside(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    plain: Any = {"cwd": folder, "capture_output": True, "text": True, "check": True, "env": alone}
    said = subprocess.run(["make", "-n", "repro"], **plain).stdout
    assert "test -x .venv/bin/python || python3 -m venv .venv\n" in said
    assert "touch .venv/.ready" in said
    assert str(tmp_path) not in said
    (folder / "path.mk").write_text("path:\n\t@echo $$PATH\n")
    command = ["make", "-s", "-f", "Makefile", "-f", "path.mk", "path"]
    path = subprocess.run(command, **plain).stdout
    assert path.startswith(f"{folder}/.venv/bin:")


def test_copies_of_a_project_name_its_cache(tmp_path: Path) -> None:
    root = project(tmp_path / NAME)
    (root / ".dvc/config.local").write_text('["remote \\"s, t\\""]\n    url = "s3://a, b"\n')
    copy_project(root, tmp_path / "copy", names=["params.yaml", ".dvc/config"], cache=root / ".dvc/cache")
    workspace.copy_project(root, tmp_path / "space", settings="seed: 1\n")
    for copy in ("copy", "space"):
        assert run("dvc", "cache", "dir", cwd=tmp_path / copy).stdout.strip() == str(root / ".dvc/cache")


def test_revisions_are_read_in_a_sub_folder_of_a_repository(tmp_path: Path) -> None:
    top = tmp_path / NAME
    root = project(top / "deeper/pipeline")
    shutil.rmtree(root / ".git")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "start")):
        run("git", *command, cwd=top)
    expected = (root / "params.yaml").read_bytes()
    (root / "params.yaml").write_text("seed: 1\n")
    assert Stored(root, "HEAD").read("params.yaml") == expected
    assert Stored(root, "workspace").read("params.yaml") == b"seed: 1\n"
    assert Stored(root, "HEAD").read("no/such/file") is None


def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    check_names(tmp_path)
    with open(bytes(tmp_path) + b"/cat/K\xe4se.png", "wb"):
        pass
    with pytest.raises(TouchstoneError, match=r"the name cat/K\\xe4se\.png is not UTF-8; rename it"):
        check_names(tmp_path)


def test_such_a_name_in_data_added_is_blamed_on_that_folder_where_dvc_stops(tmp_path: Path) -> None:
    for folder, said in (("data/external", "source.path: a name in it is not UTF-8"), ("data/added", "the name mine/")):
        (tmp_path / folder / "mine").mkdir(parents=True)
        with open(bytes(tmp_path) + f"/{folder}/mine/".encode() + b"K\xe4se.png", "wb"):
            pass
        with pytest.raises(TouchstoneError, match=said), _in_one_line(tmp_path):
            raise UnicodeEncodeError("utf-8", "", 0, 1, "surrogates not allowed")


@pytest.mark.slow
def test_stages_run_side_by_side_in_such_a_folder(tmp_path: Path) -> None:
    root = project(tmp_path / NAME, *TINY)
    said = run("touchstone", "repro", "--jobs", "2", "transform", cwd=root).stdout
    assert "transform@tilt" in said
    assert run("dvc", "status", "transform", cwd=root).stdout == "Data and pipelines are up to date.\n"
    settings = root / "params.yaml"
    settings.write_text(
        yaml.changed(settings.read_text(), ["data.source=folder", "source.path=data/external/pictures"])
    )
    pictures = root / "data/external/pictures/cat"
    pictures.mkdir(parents=True)
    with open(bytes(pictures) + b"/K\xe4se.png", "wb"):
        pass
    for command in (("dvc", "repro", "download"), ("touchstone", "repro", "download")):
        done = run(*command, cwd=root, check=False)
        assert done.returncode
        assert "is not UTF-8" in done.stderr
        assert "Traceback" not in done.stderr
