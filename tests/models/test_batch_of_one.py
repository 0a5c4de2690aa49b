"""A batch of one image is refused where a batch norm would see a single value of each channel."""

from pathlib import Path

import pytest

from kit.project import ROOT
from touchstone.config import yaml
from touchstone.config.load import load
from touchstone.errors import TouchstoneError
from touchstone.models.checks import check_models


def check(tmp_path: Path, model: str) -> None:
    text = (ROOT / "recipes/digits/params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(yaml.changed(text, [f"models.simple={model}"]))
    check_models(load(file))


@pytest.mark.parametrize("net", ["resnet", "lenet_bn"])
def test_it_is_one_line(tmp_path: Path, net: str) -> None:
    with pytest.raises(TouchstoneError) as raised:
        check(tmp_path, f"{{net: {net}, input_size: 32, batch_size: 1}}")
    said = f"models.simple.batch_size: got 1, expected at least 2: {net} has batch norms that see a single value"
    assert str(raised.value).startswith(said)
    check(tmp_path, f"{{net: {net}, input_size: 32, batch_size: 2}}")


@pytest.mark.parametrize(
    "model",
    [
        "{net: simple, input_size: 16, batch_size: 1}",
        "{net: resnet, input_size: 64, batch_size: 1}",
        "{net: resnet, input_size: 32, batch_size: 1, weights: random, phases: [{num_steps: 4, trainable: [head]}]}",
    ],
    ids=["no batch norm", "several values", "frozen"],
)
def test_it_is_allowed_where_torch_can_train(tmp_path: Path, model: str) -> None:
    check(tmp_path, model)
