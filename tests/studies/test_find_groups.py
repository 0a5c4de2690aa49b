"""Groups that `touchstone init` proposes are those that preparation accepts, for a folder and for an archive of it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kit.pictures import classes, lay, zipped
from touchstone.config import yaml as project_yaml
from touchstone.config.load import settings_of
from touchstone.data.sources import RawImage
from touchstone.data.split_table import check_splits, split_table
from touchstone.studies.find_groups import Draw, find_groups
from touchstone.studies.look import Seen, look
from touchstone.studies.opened import opened
from touchstone.studies.propose import DRAW, plans, propose


@pytest.fixture(params=["folder", "zip"])
def begun(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that lays out pictures, and returns what is seen of them and their table after the proposed splits."""

    def begin(names: Iterable[str]) -> tuple[Seen, pd.DataFrame]:
        path = lay(tmp_path / "images", names)
        with opened("folder", str(zipped(path) if request.param == "zip" else path)) as raw:
            seen, _ = look(raw, DRAW)
            proposal = propose(seen, plans(seen)[0], source="folder", path="x", mirror=None, pretrained=False)
            settings = settings_of(project_yaml.changed(yaml.safe_dump(proposal.params), []))
            table = split_table(raw, {}, settings.data, settings.multi_label)
            check_splits(table, raw.classes, settings.data, marked=False)
            return seen, table

    return begin


def of_patients(folder: str, first: int, last: int, each: int = 4) -> list[str]:
    return [f"{folder}/patient{i:02d}_{k}.png" for i in range(first, last) for k in range(each)]


def test_groups_in_all_names_are_proposed_and_stay_whole(begun) -> None:
    seen, table = begun([*of_patients("cat", 0, 8), *of_patients("dog", 8, 16)])
    assert seen.group == r"(?i)(patient[-_ ]?[A-Za-z]*[0-9]+)(?:[-_./ ]|$)"
    assert table.groupby("group")["split"].nunique().max() == 1


def test_names_without_a_group_are_counted_and_no_pattern_is_proposed(begun) -> None:
    seen, _ = begun([*of_patients("cat", 0, 10), *of_patients("dog", 10, 20), "cat/new.png", "dog/old.png"])
    assert seen.group == ""
    assert any("but 2 of 82 images have none, such as cat/new.png" in note for note in seen.notes)


@pytest.mark.parametrize("word", ["person", "plant", "product_"])
def test_the_names_of_classes_are_no_groups(begun, word: str) -> None:
    seen, _ = begun(classes(*(f"{word}{i:02d}" for i in range(8)), count=6))
    assert (seen.group, seen.notes) == ("", [])


def test_names_of_files_that_begin_with_their_class_are_no_groups(begun) -> None:
    seen, _ = begun([f"plant{i}/plant{i}_{k:03d}.png" for i in range(8) for k in range(6)])
    assert seen.group == ""


def test_groups_within_classes_that_are_called_like_groups_are_found_in_the_files_names(begun) -> None:
    seen, table = begun([f"site{c}/site_{10 * c + i}_{k}.png" for c in (1, 2) for i in range(8) for k in range(4)])
    assert seen.group.endswith("(?:[-_. ][^/]*)?$")
    assert table[table["file"].str.startswith("site")]["group"].nunique() == 16


def test_a_patient_in_two_official_splits_is_a_leak_and_no_group(begun) -> None:
    train = [*of_patients("train/cat", 0, 8), *of_patients("train/dog", 8, 16)]
    seen, _ = begun([*train, *of_patients("test/cat", 6, 10), *of_patients("test/dog", 20, 24)])
    assert seen.group == ""
    told = "but 4 of them have images in several of the official splits, such as patient06 in test and train: a leak"
    assert any(told in note for note in seen.notes)


def test_groups_that_official_splits_keep_whole_are_proposed(begun) -> None:
    train = [*of_patients("train/cat", 0, 8), *of_patients("train/dog", 8, 16)]
    seen, _ = begun([*train, *of_patients("test/cat", 16, 20), *of_patients("test/dog", 20, 24)])
    assert seen.group


def test_groups_of_which_no_splits_can_be_drawn_are_told(begun) -> None:
    names = [f"{label}/patient{i + 2 * j}_{k}.png" for j, label in enumerate("abc") for i in (1, 2) for k in range(6)]
    seen, _ = begun(names)
    assert seen.group == ""
    assert any("too few or too large for training, validation and test images of whole groups" in n for n in seen.notes)


def test_groups_are_judged_by_the_splits_that_are_to_be_drawn() -> None:
    names = [*of_patients("cat", 0, 8), *of_patients("dog", 8, 16)]
    images = [RawImage(name, name.partition("/")[0], "", name) for name in names]
    assert find_groups(images, Draw(0.3, 0.2, seed=0)).setting
    none = find_groups(images, Draw(0.3, 0.0, seed=0))
    assert none.setting == ""
    assert "too few or too large for training, validation and test images" in none.notes[0]
