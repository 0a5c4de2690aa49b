"""Pictures of one's own: how they are read, and that they are explained after the test images."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from kit.images import image_set
from kit.pictures import lay
from touchstone.config.schema.explain import MOST_IMAGES, Explain
from touchstone.errors import TouchstoneError
from touchstone.explain.cost import extent
from touchstone.explain.pictures import Pictures, pictures_of, read_pictures
from touchstone.explain.run import Explanation, explain
from touchstone.models.nets import build
from touchstone.models.runs import Predictor, RunMetadata
from touchstone.report.gather import attributions
from touchstone.training.resume import fingerprint

HOW = SimpleNamespace(channels=3, max_pixels=10**4, bits=8, white=0, image_size=16, resize="squash")
FILES = ["a", "b", "c", "d"]
PROBS = np.array([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]]])
LABELS = np.array([1, 1, 0, 1])
FEW = {"steps": 8, "samples": 2, "randomised": 1}


def test_a_folder_an_archive_and_a_file_are_read_and_prepared(tmp_path: Path) -> None:
    root = lay(tmp_path / "own", ["b.png", "cats/a.png", "README.md", "._b.png"])
    found = read_pictures(root, HOW)
    assert found.files == ["b.png", "cats/a.png"]
    assert [image.shape for image in found.images] == [(16, 16, 3)] * 2
    packed = read_pictures(Path(shutil.make_archive(str(tmp_path / "own"), "zip", root)), HOW)
    one = read_pictures(root / "b.png", HOW)
    assert (packed.files, one.files) == (found.files, ["b.png"])
    for images in (packed.images, one.images):
        np.testing.assert_array_equal(images[0], found.images[0])
    assert pictures_of(Explain(), HOW) is None


def test_what_cannot_be_explained_is_one_line(tmp_path: Path) -> None:
    for names, said in (
        (["README.md"], r"own: no images in it; give a folder of images"),
        ([f"{i}.png" for i in range(MOST_IMAGES + 1)], r"own: got 33 pictures, expected at most 32; name a folder"),
    ):
        with pytest.raises(TouchstoneError, match=f"^explain.pictures: .*{said}[^\n]*$"):
            read_pictures(lay(tmp_path / str(len(names)) / "own", names), HOW)
    root = lay(tmp_path / "own", ["a.png"])
    with pytest.raises(TouchstoneError, match=r"^explain.pictures: .*own/b.png: no such file or folder; put the pict"):
        read_pictures(root / "b.png", HOW)
    (root / "lost.png").write_bytes(b"no image")
    for path in (root, root / "lost.png"):
        with pytest.raises(TouchstoneError, match=r"^explain.pictures: .*: lost.png: not an image, .*; replace it, or"):
            read_pictures(path, HOW)
    (root / "lost.png").unlink()
    (root / "gone.png").symlink_to("nowhere")
    with pytest.raises(TouchstoneError, match=r"^explain.pictures: .*own: gone.png: is a link to nowhere"):
        read_pictures(root, HOW)


def explained(settings: Explain, pictures: Pictures | None, *, resize: str = "squash") -> Explanation:
    card = RunMetadata(
        net="lenet", options={}, classes=["x", "y"], channels=3, input_size=16, test_input_size=16, image_size=16,
        resize=resize, max_pixels=10**6, mean=[100.0] * 3, std=[50.0] * 3, test_flips=False, weights={},
        selected_step={}, diverged={},
    )  # fmt: skip
    nets = []
    for seed in range(2):
        torch.manual_seed(seed)
        net = build("lenet", num_classes=2, in_channels=3, input_size=16, options={})
        nets.append(Predictor(net, card))
    test = image_set(["y", "y", "x", "y"], side=16)
    train = image_set(["x", "y"] * 5, side=16, seed=1)
    given = {"test": test, "train": train, "files": FILES, "settings": settings, "seed": 0, "pictures": pictures}
    return explain(nets, card, PROBS, LABELS, **given)


def own(*shapes: tuple[int, int]) -> Pictures:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    return Pictures([f"own{i}.png" for i in range(len(shapes))], images)


def test_they_follow_the_test_images_for_the_class_that_the_mean_over_the_seeds_predicts(tmp_path: Path) -> None:
    settings, pictures = Explain(images=2, **FEW), own((16, 16), (16, 16), (16, 16))
    alone, both = explained(settings, None), explained(settings, pictures)
    assert "own" not in alone.images
    assert both.images["file"].tolist() == ["a", "d", *pictures.files]
    assert both.images["true"].tolist() == ["y", "y", "", "", ""]
    assert both.images["own"].tolist() == ["", "", "yes", "yes", "yes"]
    for method, maps in alone.maps.items():
        np.testing.assert_array_equal(both.maps[method][:2], maps, "those of test images stay as they were")
    probs = []
    for seed in range(2):
        torch.manual_seed(seed)
        net = build("lenet", num_classes=2, in_channels=3, input_size=16, options={}).eval()
        x = (torch.from_numpy(np.stack(pictures.images)).float().permute(0, 3, 1, 2) - 100) / 50
        with torch.no_grad():
            probs.append(torch.softmax(net(x), 1).numpy())
    mean = np.mean(probs, 0)
    assert both.images["explained"].tolist()[2:] == [["x", "y"][k] for k in mean.argmax(1)]
    np.testing.assert_allclose(both.images["probability"][2:], mean.max(1), atol=1e-4)
    both.save(tmp_path / "run")
    read = attributions(tmp_path / "run")
    assert read.images["own"].tolist() == ["", "", "yes", "yes", "yes"]
    assert len(read.tiles) == 5


def test_they_are_explained_where_no_test_image_is_and_in_sizes_of_their_own() -> None:
    found = explained(Explain(images=0, **FEW), own((16, 24), (20, 16)), resize="shortest_edge")
    assert found.images["file"].tolist() == ["own0.png", "own1.png"]
    assert found.maps["deep_lift"].shape == (2, 16, 16)
    assert found.extent.chosen == 2


def test_a_costly_net_gives_up_test_images_and_no_picture() -> None:
    settings, pictures = Explain(images=3, max_teraflop=1e-9, **FEW), own(*[(16, 16)] * 5)
    found = explained(settings, pictures)
    assert found.images["file"].tolist() == ["a", "d", *pictures.files]
    net = build("lenet", num_classes=2, in_channels=3, input_size=16, options={}).eval()
    least = extent(net, torch.zeros(1, 3, 16, 16), 8, settings, num_own=5)
    assert (least.chosen, least.images, least.checked) == (13, 7, 1)


def test_their_bytes_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    root = lay(tmp_path / "own", ["a.png"])
    before = fingerprint([str(root)], accelerator="cpu")
    Image.new("RGB", (8, 8)).save(root / "a.png")
    assert fingerprint([str(root)], accelerator="cpu") != before


def test_the_sheet_is_wider_by_no_picture(tmp_path: Path) -> None:
    settings = Explain(images=1, methods=("saliency",), randomised=0)
    one, two = explained(settings, None).sheet, explained(settings, own((16, 16))).sheet
    assert one.width == two.width
    assert two.height - 18 == 2 * (one.height - 18), "a row each below the header"
    assert pd.Series(two.getextrema()).notna().all()
