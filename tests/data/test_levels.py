import numpy as np
import pytest
import torch

from kit.images import image_set
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.data import Arm, Transform
from touchstone.data import levels
from touchstone.data.augment import augment, draw
from touchstone.data.batches import statistics, to_float
from touchstone.data.imageset import ImageSet, load, write
from touchstone.data.ops.resize import resize, scale
from touchstone.data.sheets import gallery, thumbnail
from touchstone.data.thumbnails import is_textured, standardised, thumbnails
from touchstone.data.training_set import combine
from touchstone.data.transforms import apply

COLOURS = Augmentation(
    rotate_deg=20, crop_padding=1, hflip=True, jitter_brightness=0.3, jitter_contrast=0.3, jitter_saturation=0.3
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, shape, np.uint16)


def doubled(images: ImageSet) -> ImageSet:
    """The same images with 16 bits."""
    return ImageSet(levels.of_depth(images.images, 16), images.table)


def test_depths_convert_into_each_other_and_back() -> None:
    every = np.arange(256, dtype=np.uint8)
    deep = levels.of_depth(every, 16)
    assert (deep.dtype, deep[0], deep[1], deep[255]) == (np.uint16, 0, 257, 65535)
    np.testing.assert_array_equal(levels.of_depth(deep, 8), every)
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(levels.of_depth(values, 8), np.rint(values / 257).astype(np.uint8))


def test_the_white_of_an_instrument_becomes_that_of_16_bits() -> None:
    values = np.array([0, 1, 2048, 4095, 9999], np.uint16)
    assert levels.prepared(values, bits=16, white_value=4095).tolist() == [0, 16, 32776, 65535, 65535]
    np.testing.assert_array_equal(levels.prepared(values, bits=16), values)
    eight = np.array([7], np.uint8)
    assert levels.prepared(eight, bits=16, white_value=4095).tolist() == [7 * 257]


def test_grey_of_colours_is_the_same_at_both_depths() -> None:
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    np.testing.assert_array_equal(levels.luma(colours)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))
    grey = np.repeat(noise(5, 5, 1), 3, 2)
    np.testing.assert_array_equal(levels.luma(grey), grey[..., :1])
    assert levels.luma(np.full((1, 1, 3), 65535, np.uint16))[0, 0, 0] == 65535


def test_statistics_and_the_nets_input_are_in_grey_levels_at_both_depths() -> None:
    images = image_set(["a"] * 9, channels=3)
    plain, deep = (combine(Arm(), train=each, name="real") for each in (images, doubled(images)))
    np.testing.assert_allclose(statistics(plain), statistics(deep), atol=1e-4)
    mean, std = (torch.tensor(values)[:, None, None] for values in statistics(plain))
    rows = np.arange(9)
    inputs = [to_float(torch.from_numpy(each.gather(rows)), mean, std) for each in (plain, deep)]
    torch.testing.assert_close(*inputs)
    one_off = deep.gather(rows).copy()
    one_off[0, 0, 0, 0] ^= 1  # less than a grey level is seen
    assert not torch.equal(to_float(torch.from_numpy(one_off), mean, std), inputs[1])


def test_a_constant_image_does_not_divide_by_zero() -> None:
    white = ImageSet(np.full((2, 4, 4, 1), 65535, np.uint16), image_set(["a", "b"]).table)
    assert statistics(combine(Arm(), train=white, name="real")) == ([255.0], [round(1 / 257, 6)])


@pytest.mark.parametrize("mode", ["squash", "crop", "pad", "shortest_edge"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5, 13])
def test_resizing_takes_each_channel_by_itself(mode: str, channels: int) -> None:
    for image in (noise(20, 31, channels), noise(7, 5, channels)):
        whole = resize(image, size_px=12, mode=mode)
        alone = [resize(image[..., c : c + 1], size_px=12, mode=mode) for c in range(channels)]
        assert whole.dtype == np.uint16
        np.testing.assert_allclose(whole.astype(int), np.dstack(alone), atol=1)  # OpenCV rounds three together alike


def test_area_averages_of_16_bits_are_exact() -> None:
    image = noise(8, 8, 5)
    mean = image.reshape(4, 2, 4, 2, 5).astype(np.int64).sum((1, 3))
    assert np.abs(4 * scale(image, 4, 4).astype(np.int64) - mean).max() <= 2  # half of the last bit


@pytest.mark.parametrize("channels", [2, 5])
def test_transforms_and_augmentation_change_channels_alike(channels: int) -> None:
    images = noise(4, 12, 12, channels)
    settings = Transform(rotate_deg=15, shift_x=0.1, zoom=0.8, brightness=1.2, hflip=True)
    whole = apply(images[0], settings)
    alone = [apply(np.ascontiguousarray(images[0, ..., c : c + 1]), settings) for c in range(channels)]
    np.testing.assert_array_equal(whole, np.dstack(alone))
    online = Augmentation(rotate_deg=20, crop_scale=0.5, hflip=True, jitter_brightness=0.3)
    drawn = draw(online, seed=0, epoch=0, count=4)
    changed = augment(images, drawn, online, input_px=10)
    alone = [augment(images[..., c : c + 1], drawn, online, input_px=10) for c in range(channels)]
    assert changed.dtype == np.uint16
    np.testing.assert_array_equal(changed, np.concatenate(alone, 3))


def test_changes_of_16_bits_are_those_of_8_bits_but_finer() -> None:
    images = image_set(["a"] * 8, channels=3, side=12).images
    drawn = draw(COLOURS, seed=0, epoch=0, count=8)
    plain, deep = (augment(each, drawn, COLOURS, input_px=12) for each in (images, levels.of_depth(images, 16)))
    assert np.abs(plain - deep / 257).max() < 4  # each of the operations rounds 8 bits anew
    assert len(np.unique(deep % 257)) > 200
    for settings in (Transform(hue=0.2), Transform(saturation=1.5), Transform(contrast=0.7, brightness=1.3)):
        one, other = apply(images[0], settings), apply(levels.of_depth(images[0], 16), settings)
        assert np.abs(one - other / 257).max() < 1.01, settings
    assert apply(np.full((4, 4, 3), 60000, np.uint16), Transform(brightness=2)).min() == 65535


def test_thumbnails_for_copies_do_not_depend_on_the_depth() -> None:
    images = image_set(["a"] * 5, side=16, channels=5).images
    both = (standardised(thumbnails(each)) for each in (images, levels.of_depth(images, 16)))
    np.testing.assert_allclose(*both, atol=2e-3)
    flat = levels.of_depth(np.full((1, 16, 16, 2), 9, np.uint8), 16)
    assert not is_textured(thumbnails(flat)).any()


def test_image_sets_keep_their_type(tmp_path) -> None:
    images = doubled(image_set(["a", "b"], channels=5))
    write(tmp_path, images)
    assert load(tmp_path).images.dtype == np.uint16
    np.testing.assert_array_equal(load(tmp_path).images, images.images)
    with pytest.raises(ValueError, match=r"got float32 .*, expected uint8 or uint16"):
        ImageSet(images.images.astype(np.float32), images.table)


# --- pictures ---


def test_pictures_of_8_bits_are_the_images_themselves() -> None:
    for channels in (1, 3):
        image = image_set(["a"], channels=channels).images[0]
        np.testing.assert_array_equal(levels.shown(image), image)
        assert levels.how_shown(channels, 8) == ""


def test_pictures_of_other_channels_show_the_first_three_of_them() -> None:
    image = image_set(["a"], channels=5).images[0]
    np.testing.assert_array_equal(levels.shown(image), image[..., :3])
    two = levels.shown(image[..., :2])
    np.testing.assert_array_equal(two[..., :2], image[..., :2])
    assert not two[..., 2].any()
    assert levels.how_shown(5, 8) == "channels 1, 2 and 3 of 5 as red, green and blue"
    assert "channel 1 as red and channel 2 as green" in levels.how_shown(2, 16)
    assert thumbnail(image, 16).mode == "RGB"


def test_pictures_of_16_bits_are_stretched() -> None:
    ramp = np.linspace(1000, 3000, 101).astype(np.uint16).reshape(1, 101, 1)  # much of it dark
    picture = levels.shown(ramp)
    assert (picture.dtype, picture[0, 0, 0], picture[0, 1, 0], picture[0, 50, 0]) == (np.uint8, 0, 0, 128)
    assert picture[0, 99:, 0].tolist() == [255, 255]
    assert levels.shown(np.full((4, 4, 1), 32768, np.uint16)).max() == 128  # nothing to stretch: its own grey
    assert levels.how_shown(1, 16) == "values from the 1st to the 99th percentile of the images beside them"
    assert levels.how_shown(5, 16).endswith(", each channel on its own")


def test_colours_of_16_bits_keep_their_hue_and_other_channels_are_stretched_alone() -> None:
    ramp = np.linspace(1000, 3000, 101).astype(np.uint16).reshape(1, 101, 1)
    bands = np.dstack([ramp, ramp * 4, ramp * 10, ramp])
    colours = levels.shown(bands[..., :3])
    assert colours[0, 50].tolist() == sorted(colours[0, 50].tolist())
    assert colours[0, 50, 0] < 30
    own = levels.shown(bands)
    assert own[0, 50].tolist() == [128, 128, 128]


def test_images_on_one_sheet_are_stretched_alike() -> None:
    dark, bright = (np.full((8, 8, 1), value, np.uint16) for value in (1000, 3000))
    sheet = np.asarray(gallery([dark, bright], columns=2))
    assert (sheet[30, 30, 0], sheet[30, 100, 0]) == (0, 255)
    middle = np.asarray(gallery([np.full((8, 8, 1), 2000, np.uint16)], beside=[dark, bright]))
    assert middle[30, 30, 0] == 128
    np.testing.assert_array_equal(np.asarray(gallery([]))[10, 10], [255, 255, 255])
