"""Parameters that suit a data set."""

from typing import Any

import numpy as np
import pytest
import yaml

from touchstone.config import yaml as project_yaml
from touchstone.config.load import settings_of
from touchstone.studies.look import Seen
from touchstone.studies.propose import mirrors, numbers, plans, propose


def seen(**changes: Any) -> Seen:
    fields: dict[str, Any] = {
        "num_images": 1000,
        "classes": ["cat", "dog"],
        "multi_label": False,
        "splits": {"": 1000},
        "counts": {"cat": 500, "dog": 500},
        "heights": np.full(10, 100),
        "widths": np.full(10, 100),
        "grey": False,
        "unreadable": [],
        "num_tried": 10,
        "repeats": 0,
        "conflicts": [],
        "group": "",
        "group_about": "",
    }
    return Seen(**fields | changes)


def proposed(found: Seen, mirror: bool | None = None, pretrained: bool = False) -> dict[str, Any]:
    given: Any = {"source": "folder", "path": "data/external/none", "mirror": mirror, "pretrained": pretrained}
    proposal = propose(found, plans(found)[0], **given)
    settings_of(project_yaml.changed(yaml.safe_dump(proposal.params), []))  # it is valid
    return proposal.params


@pytest.mark.parametrize(
    ("side", "size", "net"), [(12, 16, "lenet_bn"), (28, 32, "lenet_bn"), (50, 48, "simple"), (300, 96, "complex")]
)
def test_the_size_and_the_net_follow_from_the_images(side: int, size: int, net: str) -> None:
    params = proposed(seen(heights=np.full(5, side), widths=np.full(5, side + 2)))
    assert params["data"]["image_size"] == size
    assert params["models"]["small"]["net"] == net
    assert params["models"]["small"]["input_size"] >= size


def test_splits_that_are_given_stay_and_others_are_drawn() -> None:
    assert numbers(seen()) == {"train": 560, "val": 140, "test": 300}
    assert numbers(seen(splits={"train": 700, "test": 300})) == {"train": 560, "val": 140, "test": 300}
    assert numbers(seen(splits={"train": 600, "val": 100, "test": 300})) == {"train": 600, "val": 100, "test": 300}
    whole = proposed(seen(splits={"train": 600, "val": 100, "test": 300}))["data"]
    assert (whole["test_fraction"], whole["val_fraction"]) == (0, 0)
    drawn = proposed(seen())["data"]
    assert (drawn["test_fraction"], drawn["val_fraction"]) == (0.3, 0.2)
    assert proposed(seen(group="patient"))["data"]["group"] == "patient"


def test_channels_and_bits_are_kept_where_files_have_them() -> None:
    plain = proposed(seen())["data"]
    assert (plain["channels"], "bits" in plain, "white" in plain) == (3, False, False)
    deep = proposed(seen(channels=5, bits=16, white=4095), pretrained=True)
    assert (deep["data"]["channels"], deep["data"]["bits"], deep["data"]["white"]) == (5, 16, 4095)
    assert "mobilenet" not in deep["models"]
    grey = proposed(seen(grey=True, bits=16))["data"]
    assert (grey["channels"], grey["bits"]) == (1, 16)


def test_letters_digits_and_sides_are_not_mirrored() -> None:
    assert mirrors(seen(classes=["cat", "dog"]))
    assert not mirrors(seen(classes=["0", "1", "12"]))
    for sides in (["turn left", "turn right"], ["TurnLeft", "stop"], ["northeast", "north"], ["westbound", "x-ray"]):
        assert not mirrors(seen(classes=sides)), sides
    for others in (
        ["yeast", "bacteria"],
        ["breast_benign", "breast_malignant"],
        ["bright", "dark"],
        ["leftover", "new"],
    ):
        assert mirrors(seen(classes=others)), others
    assert "mirrored" in proposed(seen())["arms"]
    assert "mirrored" not in proposed(seen(), mirror=False)["arms"]
    assert "mirrored" not in proposed(seen(classes=list("abc")))["transforms"]


def test_pictures_become_square_by_what_they_are_like() -> None:
    wide = {"heights": np.full(5, 100), "widths": np.full(5, 150)}
    assert proposed(seen(**wide))["data"]["resize"] == "crop"
    assert proposed(seen(**wide, multi_label=True))["data"]["resize"] == "squash", "a label may speak of an edge"
    assert proposed(seen())["data"]["resize"] == "squash"
    assert proposed(seen(heights=np.full(5, 10), widths=np.full(5, 300)))["data"]["resize"] == "pad"
    assert proposed(seen(grey=True))["data"]["channels"] == 1
    assert proposed(seen(unreadable=["x: damaged"]))["data"]["bad_images"] == "skip"


def test_a_pretrained_net_is_added_where_its_weights_are(tmp_path) -> None:
    params = proposed(seen(heights=np.full(5, 200), widths=np.full(5, 200)), pretrained=True)
    assert params["models"]["mobilenet"]["trainable"] == ["head"]
    assert params["data"]["image_size"] == 96
    assert "mobilenet" not in proposed(seen(grey=True), pretrained=True)["models"]


def test_plans_go_from_the_most_thorough_to_the_quickest() -> None:
    work = [plan.work for plan in plans(seen())]
    assert work == sorted(work, reverse=True)
    assert work[-1] <= work[0] / 10


def test_a_table_that_was_given_alone_is_named() -> None:
    given: Any = {"source": "table", "path": "data/external", "table": "list.csv", "mirror": None, "pretrained": False}
    proposal = propose(seen(), plans(seen())[0], **given)
    assert settings_of(project_yaml.changed(yaml.safe_dump(proposal.params), [])).data.columns.table == "list.csv"
    assert "Of the tables in data/external only list.csv is read (data.columns.table)." in proposal.assumed


def test_shares_and_folds_of_the_settings_count() -> None:
    assert numbers(seen(), test=0.5, val=0.1) == {"train": 450, "val": 50, "test": 500}
    assert numbers(seen(), test=0.2, val=0.1, fold="2 of 4") == {"train": 600, "val": 200, "test": 200}
    given = seen(splits={"train": 600, "val": 100, "test": 300})
    assert numbers(given, test=0.5, val=0.5) == {"train": 600, "val": 100, "test": 300}
