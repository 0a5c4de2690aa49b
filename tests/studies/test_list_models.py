"""The list of nets: found by patterns, described without being run."""

import importlib.util
from pathlib import Path

import pytest

from touchstone.errors import TouchstoneError
from touchstone.models.nets import nets
from touchstone.studies.list_models import described, matching, mirror_of


def test_patterns_find_nets_in_all_libraries() -> None:
    assert matching([]) == nets()
    assert matching(["torchvision/resnet1*"]) == [
        "torchvision/resnet101",
        "torchvision/resnet152",
        "torchvision/resnet18",
    ]
    assert {"resnet", "torchvision/resnet50"} <= set(matching(["resnet*"]))


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="the extra timm is not installed")
@pytest.mark.parametrize("given", ["timm/resnet18", "resnet18", "timm/mobilenetv3_small_100", "mobilenetv3_small_100"])
def test_a_name_that_params_yaml_may_have_is_found_with_its_tags_or_without(given: str) -> None:
    name = f"timm/{given.removeprefix('timm/')}"
    assert name in matching([given])
    assert name not in matching([f"{given}*"]), "its tags stand for it"
    assert [found for found in matching([f"{given}.*"]) if found.startswith(f"{name}.")]


def test_the_mirror_is_read_whatever_else_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    assert mirror_of(file) == ""
    file.write_text("source: {mirror: /mnt/weights}\nmodels: {x: {net: timm/no_such_net}}\ntrian: 3\n")
    assert mirror_of(file) == "/mnt/weights"
    for text in ("source: {mirror: 3}", "source: 3", "source: [", "3"):
        file.write_text(text)
        assert mirror_of(file) == ""


def test_a_misspelt_name_is_told_the_nearest() -> None:
    with pytest.raises(TouchstoneError, match=r"did you mean mobilenet_v3_small"):
        matching(["torchvision/mobilenet_v3_smal"])


def test_a_net_is_described_by_its_size_and_its_weights() -> None:
    rows = described(["torchvision/mobilenet_v3_small"], channels=3, mirror="", speed=False).splitlines()
    _, parameters, macs, side, speed, weights, licence = [cell.strip() for cell in rows[2].strip("|").split("|")]
    assert (parameters, macs, side) == ("2,542,856", "0.06 G", "224")
    assert weights.startswith("MobileNet")
    assert licence == "not stated"
    assert float(speed) > 0


def test_many_nets_are_listed_by_name_alone() -> None:
    told = described(matching(["torchvision/*"]), channels=3, mirror="", speed=False)
    assert told.splitlines()[-1].startswith("80 nets") or "nets; a narrower pattern" in told
