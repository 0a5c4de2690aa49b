"""Every net of the project as a file: ONNX Runtime, OpenVINO and TorchScript give what torch gives."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from touchstone.export import libraries
from touchstone.export.description import Description, Images
from touchstone.export.formats import FORMATS, Format
from touchstone.export.graph import ExportedNet
from touchstone.models.nets import nets
from touchstone.models.runs import Predictor, RunMetadata

LIBRARIES = {"onnx": "onnxscript", "openvino": "openvino", "torchscript": "torch"}
OPTIONS = {
    "resnet_graph_attention": {"at": "layer2"},
    "resnet_classic_attention": {"at": "layer2", "heads": 2},
    "airbench_graph_attention": {"at": "block2"},
    "airbench_classic_attention": {"at": "block1", "patch": 3, "heads": 2},
}


def exported(net: str, images: Images) -> ExportedNet:
    """A net of random weights for seven classes, at its smallest size or 32 px."""
    size = max(32, importlib.import_module(f"touchstone.models.nets.{net}").LEAST_PX)
    metadata = RunMetadata(
        net=net,
        options=OPTIONS.get(net, {}),  # type: ignore[arg-type]
        classes=list("abcdefg"),
        channels=3,
        input_size=size,
        test_input_size=size,
        image_size=size,
        resize="crop",
        max_pixels=10**6,
        mean=[100.0, 110.0, 120.0],
        std=[50.0, 60.0, 70.0],
        test_flips=False,
        weights={"0": ""},
        selected_step={},
        diverged={},
    )
    torch.manual_seed(0)
    predictor = Predictor(metadata.untrained(), metadata)
    description = Description(
        name=net,
        classes=metadata.classes,
        multi_label=False,
        channels=3,
        image_size=size,
        resize="crop",
        max_pixels=10**6,
        images=images,
        views=[{"size_px": size, "input_px": size}],
        temperatures=[1.5],
        thresholds=None,
        rule="",
        weights={net: {"0": ""}},
        versions={},
    )
    return ExportedNet(description, {net: [predictor]}, None).eval().requires_grad_(False)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
@pytest.mark.parametrize("images", ["prepared", "any"])
@pytest.mark.parametrize("net", nets())
def test_a_file_gives_what_torch_gives(net: str, images: Images, form: Format, tmp_path: Path) -> None:
    if not libraries.is_installed(LIBRARIES[form.name]):
        pytest.skip(f"the extra {form.name} is not installed")
    module = exported(net, images)
    file = form.file(tmp_path, int8=False)
    form.write(module, file)
    description, session = form.open(file, threads=1)
    assert description == module.description
    for count in (1, 3):
        height, width = (module.description.image_size + extra * (images == "any") for extra in (count, 9 - count))
        pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)
        with torch.no_grad():
            expected = module(torch.from_numpy(pixels))
        for found, wanted in zip(session([pixels]), expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=2e-4)
