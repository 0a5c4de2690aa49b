"""The exported module against the pipeline's own predictions: every rule, kind of label and view."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kit.exported import house
from touchstone.data.imageset import load, valid_sizes
from touchstone.evaluation.calibration import scaled
from touchstone.export.build import build, probabilities_folder
from touchstone.export.graph import ExportedNet


def outputs(net: ExportedNet, data: Path, split: str = "test") -> list[np.ndarray]:
    images = load(data / "prepared" / split)
    views = [view.seen(np.array(images.images), valid_sizes(images.table)) for view in net.description.seen]
    with torch.no_grad():
        return [out.numpy() for out in net(*views)]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("flips", [False, True])
def test_runs_and_ensembles_predict_as_the_pipeline_does(tmp_path: Path, multi_label: bool, flips: bool) -> None:
    project = house(tmp_path, multi_label=multi_label, flips=flips)
    for name in (*project.settings.runs, *project.settings.ensembles):
        net = build(name, settings=project.settings, data=project.data, images="prepared")
        folder = probabilities_folder(name, project.settings, project.data) / name
        expected = np.load(folder / "test.npy")
        assert len(set(expected.mean(0).argmax(1))) > 1, "the nets must differ in what they say"
        found = outputs(net, project.data)
        np.testing.assert_allclose(found[0], expected.mean(0), atol=1e-5)
        at = scaled(expected, np.array(net.description.temperatures), multi_label=multi_label).mean(0)
        np.testing.assert_allclose(found[1], at, atol=1e-3)
        assert len(found) == (3 if multi_label else 2)
        if multi_label:
            np.testing.assert_array_equal(found[2], found[0] >= np.float32(net.description.thresholds))


@pytest.mark.parametrize("crop_px", [0, 16])
def test_images_of_any_size_are_prepared_inside(tmp_path: Path, crop_px: int) -> None:
    project = house(tmp_path, mode="shortest_edge", crop_px=crop_px)
    net = build("mean", settings=project.settings, data=project.data, images="any")
    images = load(project.data / "prepared/test")
    sizes = valid_sizes(images.table)
    assert sizes is not None
    expected = np.load(project.data / "ensembles/mean/test.npy").mean(0)
    for row, (height, width) in enumerate(sizes[:6]):
        with torch.no_grad():
            found = net(torch.from_numpy(np.array(images.images[row : row + 1, :height, :width])))[0]
        np.testing.assert_allclose(found[0], expected[row], atol=0.02 if not crop_px else 1e-5)
