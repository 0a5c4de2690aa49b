"""Online augmentation: what each operation does, and how little it takes to add one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.images import image_set
from kit.project import ROOT
from touchstone.config.schema.augmentation import DETAILS, Augmentation
from touchstone.data.augment import OPERATIONS, augment, draw

IMAGES = image_set(["a"] * 10).images
COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def difference(one: np.ndarray, two: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - two.astype(int)).max())


def by_purpose(drawn: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of each operation."""
    ends = np.cumsum([operation.num_draws for operation in OPERATIONS])[:-1]
    return {op.purpose: part for op, part in zip(OPERATIONS, np.split(drawn, ends, axis=1), strict=True)}


def test_resized_crops_have_the_area_and_the_shape_that_are_allowed() -> None:
    """The pixels of these images say where they are, so the corners of a crop give its box."""
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    images = np.stack([rows * 4, columns * 4], -1).astype(np.uint8)[None].repeat(200, 0)
    settings = Augmentation(crop_scale=0.25, crop_ratio=2.0)
    drawn = draw(settings, seed=0, epoch=0, count=200)
    crops = augment(images, drawn, settings, input_px=64).astype(float) / 4
    assert crops.shape == (200, 64, 64, 2)
    heights, widths = crops[:, -1, 0, 0] - crops[:, 0, 0, 0] + 1, crops[:, 0, -1, 1] - crops[:, 0, 0, 1] + 1
    shares = heights * widths / 64**2
    assert 0.2 < shares.min() < 0.3
    assert 0.85 < shares.max() <= 1
    ratios = widths / heights
    assert 0.45 < ratios.min() < 0.7
    assert 1.5 < ratios.max() < 2.2
    assert len({tuple(crop[0, 0]) for crop in crops}) > 100
    assert augment(images[:3], drawn[:3], settings, input_px=32).shape == (3, 32, 32, 2)


def test_jitter_changes_brightness_and_contrast_within_its_bounds() -> None:
    images = np.zeros((300, 4, 4, 1), np.uint8)
    images[:, :2], images[:, 2:] = 80, 120  # mean 100
    settings = Augmentation(jitter_brightness=0.2, jitter_contrast=0.5)
    out = augment(images, draw(settings, seed=0, epoch=0, count=300), settings, input_px=4).astype(float)
    means, spreads = out.mean((1, 2, 3)), (out[:, 3, 0, 0] - out[:, 0, 0, 0]) / 40
    assert 79 < means.min() < 84
    assert 116 < means.max() < 121
    contrast = spreads / (means / 100)
    assert 0.45 < contrast.min() < 0.6
    assert 1.4 < contrast.max() < 1.55
    assert abs(np.corrcoef(means, contrast)[0, 1]) < 0.2


def test_mirrored_crops_are_the_crops_mirrored() -> None:
    plain, both = Augmentation(crop_scale=0.3), Augmentation(crop_scale=0.3, hflip=True)
    drawn = draw(both, seed=1, epoch=0, count=10)
    crops, others = (augment(IMAGES, drawn, settings, input_px=8) for settings in (plain, both))
    flips = by_purpose(drawn)["augment"][:, 2].tolist()
    for crop, other, flip in zip(crops, others, flips, strict=True):
        assert np.array_equal(other, crop[:, ::-1] if flip else crop)
    assert set(flips) == {0, 1}


def test_flips_that_alternate_show_each_image_and_its_mirror_image_in_turn() -> None:
    settings = Augmentation(hflip=True, alternate_flips=True, crop_padding=2)
    drawn = [by_purpose(draw(settings, seed=3, epoch=epoch, count=50))["augment"] for epoch in range(4)]
    first, second, third, fourth = (numbers[:, 2] for numbers in drawn)
    assert set(first) == {0, 1}
    assert np.array_equal(second, 1 - first)
    assert np.array_equal(third, first)
    assert np.array_equal(fourth, second)
    independent = [by_purpose(draw(Augmentation(crop_padding=2), seed=3, epoch=epoch, count=50)) for epoch in range(4)]
    for mine, other in zip(drawn, independent, strict=True):
        assert np.array_equal(mine[:, :2], other["augment"][:, :2]), "crops are those without"
    assert np.array_equal(first, independent[0]["augment"][:, 2])


def test_a_border_may_mirror_the_image() -> None:
    images = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    numbers = np.zeros((1, draw(Augmentation(), seed=0, epoch=0, count=1).shape[1]))  # the crop at the top left
    zeros, mirrored = (
        augment(images, numbers, Augmentation(crop_padding=2, crop_border=border), input_px=4)[0, :, :, 0]
        for border in ("zeros", "reflect")
    )
    assert zeros.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 4, 5]]
    assert mirrored.tolist() == [[10, 9, 8, 9], [6, 5, 4, 5], [2, 1, 0, 1], [6, 5, 4, 5]]


def test_colours_and_rotation_depend_on_what_is_drawn() -> None:
    settings = Augmentation(jitter_saturation=0.5, jitter_hue=0.1, rotate_deg=30.0)
    images = np.stack([COLOURS] * 3)
    drawn = draw(settings, seed=0, epoch=0, count=3)
    out = augment(images, drawn, settings, input_px=16)
    assert difference(out[0], out[1]) > 20
    assert np.array_equal(out, augment(images, drawn, settings, input_px=16))
    assert np.array_equal(images[0], COLOURS), "stored images do not change"
    middle = np.full((1, drawn.shape[1]), 0.5)  # no turn, factors of 1
    assert difference(augment(images[:1], middle, settings, input_px=16)[0], COLOURS) <= 2


@pytest.mark.parametrize("name", sorted(set(Augmentation.model_fields) - set(DETAILS)))
def test_every_setting_switches_one_operation_on(name: str) -> None:
    value = {"hflip": True, "crop_padding": 1, "policy": "augmix"}.get(name, 0.25)
    assert Augmentation(**{name: value}).augments
    assert sum(name in operation.switches for operation in OPERATIONS) == 1


def test_a_seed_draws_the_numbers_that_it_has_always_drawn() -> None:
    """All results depend on them."""
    numbers = by_purpose(draw(Augmentation(crop_padding=2), seed=5, epoch=1, count=4))
    assert numbers.pop("augment").tolist() == [[4, 2, 1], [0, 4, 0], [1, 1, 1], [0, 4, 1]]
    assert numbers["resized crop"][:, 0] == pytest.approx([0.169585, 0.364436, 0.532971, 0.585314], abs=1e-6)
    known = {
        "rotation": pytest.approx([0.570431], abs=1e-6),
        "resized crop": pytest.approx([0.169585, 0.453774, 0.528394, 0.719632], abs=1e-6),
        "jitter": pytest.approx([0.912165, 0.123391], abs=1e-6),
        "colour": pytest.approx([0.918218, 0.736265], abs=1e-6),
        "policy": pytest.approx([0.124553], abs=1e-6),
        "erasing": pytest.approx([0.778656, 0.461568], abs=1e-6),
    }
    assert {purpose: numbers[purpose][0] for purpose in known} == known


FIELD = """    hflip: Annotated[bool"""
NEW_FIELD = """    invert_share: Annotated[Fraction, Shown(COLUMN, "inverted {:g}")] = 0.0
    hflip: Annotated[bool"""
FUNCTION = """

def invert(images, drawn, settings, input_px):
    return np.where(drawn[:, 0, None, None, None] < settings.invert_share, 255 - images, images)
"""
IMPORT = "from touchstone.data.ops.colour import "
LINE = "OPERATIONS = (\n"
NEW_LINE = LINE + '    Operation(invert, ("invert_share",), "inversion", 1),\n'
USE = """
import numpy as np
from touchstone.config.load import settings_of
from touchstone.config.schema.augmentation import COLUMN, Augmentation
from touchstone.config.schema.section import shown
from touchstone.config.yaml import changed
from touchstone.data.augment import augment, draw

phases = "[{num_steps: 3, invert_share: 0.75}, {num_steps: 3}]"
text = changed(open("params.yaml").read(), ["train.invert_share=0.25", "models.lenet.invert_share=0.5"])
lenet, simple = settings_of(text).models.values()
assert [phase.invert_share for phase in (*lenet.phases, *simple.phases)] == [0.5, 0.25]
[first, second] = settings_of(changed(text, [f"models.simple.phases={phases}"])).models["simple"].phases
assert (first.invert_share, second.invert_share, first.augments) == (0.75, 0.25, True)
assert shown(first, COLUMN) == ["inverted 0.75"]

images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
drawn = draw(first, seed=5, epoch=1, count=100)
out = augment(images, drawn, first, input_px=1)
inverted = (out != images).ravel()
assert 60 < inverted.sum() < 90
assert np.array_equal(out[inverted], 255 - images[inverted])
assert np.array_equal(drawn[:, 1:], np.load("drawn.npy")), "the other operations draw what they drew before"
"""


def test_a_new_operation_is_a_setting_a_function_and_a_line(tmp_path: Path) -> None:
    """In a copy of the package: params.yaml knows its key, the report words it, and the others draw what they drew."""
    package = shutil.copytree(ROOT / "src/touchstone", tmp_path / "src/touchstone")
    edit(package / "config/schema/augmentation.py", FIELD, NEW_FIELD)
    with open(package / "data/ops/colour.py", "a") as file:
        file.write(FUNCTION)
    edit(package / "data/augment.py", LINE, NEW_LINE)
    edit(package / "data/augment.py", IMPORT, IMPORT + "invert, ")
    shutil.copy(ROOT / "recipes/digits/params.yaml", tmp_path)
    np.save(tmp_path / "drawn.npy", draw(Augmentation(), seed=5, epoch=1, count=100))
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
