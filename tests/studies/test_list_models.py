"""The list of nets: found by patterns, described without being run."""

import pytest

from touchstone.errors import TouchstoneError
from touchstone.models.nets import nets
from touchstone.studies.list_models import described, matching


def test_patterns_find_nets_in_all_libraries() -> None:
    assert matching([]) == nets()
    assert matching(["torchvision/resnet1*"]) == [
        "torchvision/resnet101",
        "torchvision/resnet152",
        "torchvision/resnet18",
    ]
    assert {"resnet", "torchvision/resnet50"} <= set(matching(["resnet*"]))


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
