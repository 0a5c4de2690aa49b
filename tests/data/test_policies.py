"""Policies of strong augmentation: torchvision's spaces and operations, at every strength, by the position alone."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from kit.params import load, message
from touchstone.config.schema.augmentation import Augmentation
from touchstone.config.schema.model import Phase
from touchstone.config.schema.tune import Tuned
from touchstone.data import policies
from touchstone.data.augment import augment, draw
from touchstone.data.ops.colour import sharpen
from touchstone.data.ops.erasing import erase
from touchstone.seeds import generator, substream

POLICIES = ("randaugment", "trivialaugment", "augmix")
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 16, 16, 3), np.uint8)
SMOOTH = np.stack(np.meshgrid(np.arange(32) * 7, np.arange(32) * 5), -1).astype(np.uint8)
SMOOTH = np.concatenate([SMOOTH, SMOOTH[..., :1] // 2 + SMOOTH[..., 1:] // 2], 2)  # (32, 32, 3)
TORCHVISIONS = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "shift_x": "TranslateX",
    "shift_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "saturation": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}

BILINEAR = v2.InterpolationMode.BILINEAR


def by_library(image: np.ndarray, name: str, *arguments: object, **options: object) -> np.ndarray:
    out = getattr(functional, name)(torch.from_numpy(image).permute(2, 0, 1), *arguments, **options)
    return out.permute(1, 2, 0).numpy()


def changed(images: np.ndarray, *, seed: int = 0, **settings: object) -> np.ndarray:
    chosen = Augmentation(**settings)
    return augment(images, draw(chosen, seed=seed, epoch=0, count=len(images)), chosen, input_px=images.shape[1])


@pytest.mark.parametrize(
    ("space", "library"),
    [
        (policies.RANDAUGMENT, v2.RandAugment._AUGMENTATION_SPACE),
        (policies.TRIVIALAUGMENT, v2.TrivialAugmentWide._AUGMENTATION_SPACE),
        (policies.AUGMIX, v2.AugMix._PARTIAL_AUGMENTATION_SPACE),
    ],
)
def test_the_spaces_are_torchvisions(space: dict, library: dict) -> None:
    assert {TORCHVISIONS[name] for name in space} == set(library)
    for name, member in space.items():
        magnitudes, signed = library[TORCHVISIONS[name]]
        values = magnitudes(11, 200, 200)
        if values is None:
            assert not member.has_magnitude
            continue
        assert member.is_signed == signed
        least, most = float(values[0]), float(values[-1])
        if name == "posterize":
            assert (8 - member.least, 8 - member.most) == (least, most)
        elif name == "solarize":
            assert (256 - member.least, 256 - member.most) == (255 * least, 255 * most)
        else:
            share = 200 if name.startswith("shift") and member.most < 1 else 1
            assert (member.least, share * member.most) == pytest.approx((least, most))


@pytest.mark.parametrize("magnitude", [-0.3, 0.17, 0.99])
def test_shears_are_torchvisions(magnitude: float) -> None:
    angle = np.degrees(np.arctan(magnitude))
    common = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "center": [0, 0], "interpolation": BILINEAR}
    white = np.full_like(SMOOTH, 255)
    for name, shear in (("shear_x", [angle, 0.0]), ("shear_y", [0.0, angle])):
        own, frame = (policies.RANDAUGMENT[name].apply(image, magnitude) for image in (SMOOTH, white))
        library = by_library(SMOOTH, "affine", shear=shear, **common)
        inside = (frame == 255).all(2) & (by_library(white, "affine", shear=shear, **common) == 255).all(2)
        assert inside.mean() > 0.3
        assert np.abs(own.astype(int) - library)[inside].max() <= 4, "steps of 1/32 px"


@pytest.mark.parametrize("shift", [-40, -7, 0, 5, 31, 32])
def test_shifts_are_torchvisions(shift: int) -> None:
    common = {"angle": 0.0, "scale": 1.0, "shear": [0.0, 0.0]}
    for name, pair in (("shift_x", [shift, 0]), ("shift_y", [0, shift])):
        library = by_library(SMOOTH, "affine", translate=pair, **common)
        assert np.array_equal(policies.TRIVIALAUGMENT[name].apply(SMOOTH, shift + np.sign(shift) * 0.9), library)


@pytest.mark.parametrize("change", [-0.99, -0.4, 0.0, 0.3, 0.9])
def test_changes_of_level_are_torchvisions(change: float) -> None:
    for image in COLOURS:
        for name, function in (("brightness", "adjust_brightness"), ("sharpness", "adjust_sharpness")):
            own = policies.RANDAUGMENT[name].apply(image, change).astype(int)
            assert np.abs(own - by_library(image, function, 1 + change)).max() <= 1, (
                "which cuts off instead of rounding"
            )
    assert np.array_equal(sharpen(COLOURS[0], 1.0), COLOURS[0])


def test_levels_are_cut_inverted_and_spread_as_by_torchvision() -> None:
    image = COLOURS[0]
    for bits in (2, 5, 8):
        own = policies.RANDAUGMENT["posterize"].apply(image, 8 - bits + 0.3)
        assert np.array_equal(own, by_library(image, "posterize", bits))
    for threshold in (0, 100, 255):
        own = policies.RANDAUGMENT["solarize"].apply(image, 256 - threshold)
        assert np.array_equal(own, by_library(image, "solarize", threshold))
    for name in ("autocontrast", "equalize"):
        assert np.array_equal(policies.AUGMIX[name].apply(image // 3 + 20, 0.0), by_library(image // 3 + 20, name))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_policy_changes_images_and_at_no_strength_none(policy: str, channels: int) -> None:
    images = RNG.integers(0, 256, (200, 16, 16, channels), np.uint8)
    out = changed(images, policy=policy)
    assert (out.dtype, out.shape) == (np.uint8, images.shape)
    assert (out != images).any((1, 2, 3)).mean() > 0.7
    assert np.array_equal(changed(images, policy=policy, policy_strength=0.0), images)
    assert np.array_equal(changed(images, policy=policy, policy_strength=1e-9), images), "in the limit, too"
    assert not Augmentation(policy=policy, policy_strength=0.0).augments
    weak = np.abs(changed(images, policy=policy, policy_strength=0.2).astype(int) - images).mean()
    assert 0 < weak < 0.6 * np.abs(out.astype(int) - images).mean()


def test_grey_images_are_drawn_no_change_of_saturation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(image: np.ndarray, change: float) -> np.ndarray:
        raise AssertionError("grey images have no saturation")

    monkeypatch.setitem(policies.RANDAUGMENT, "saturation", policies.Member(refuse, 0.9))
    changed(RNG.integers(0, 256, (200, 4, 4, 1), np.uint8), policy="randaugment")
    with pytest.raises(AssertionError, match="no saturation"):
        changed(RNG.integers(0, 256, (200, 4, 4, 3), np.uint8), policy="randaugment")


def test_every_operation_is_drawn_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = dict.fromkeys(policies.TRIVIALAUGMENT, 0)

    def counting(name: str) -> policies.Member:
        def apply(image: np.ndarray, magnitude: float) -> np.ndarray:
            counts[name] += 1
            return image

        return policies.Member(apply)

    for name in counts:
        monkeypatch.setitem(policies.TRIVIALAUGMENT, name, counting(name))
    changed(np.zeros((2800, 4, 4, 3), np.uint8), policy="trivialaugment")
    assert sum(counts.values()) == 2800
    assert 150 < min(counts.values()) <= max(counts.values()) < 250


def test_augmix_without_operations_is_the_image_and_with_them_between(monkeypatch: pytest.MonkeyPatch) -> None:
    black = policies.Member(lambda image, _: np.zeros_like(image))
    monkeypatch.setattr(policies, "AUGMIX", {"black": black})
    white = np.full((500, 2, 2, 3), 255, np.uint8)
    levels = changed(white, policy="augmix")[:, 0, 0, 0] / 255
    assert levels.mean() == pytest.approx(0.5, abs=0.05), "1 - m is uniform for alpha 1"
    assert levels.min() < 0.05
    assert levels.max() > 0.95
    narrow = changed(white, policy="augmix", augmix_alpha=50.0)[:, 0, 0, 0] / 255
    assert narrow.std() < 0.3 * levels.std()


def test_an_image_depends_on_its_position_alone() -> None:
    for policy in POLICIES:
        settings = Augmentation(policy=policy, erase=0.5)
        drawn = draw(settings, seed=3, epoch=2, count=6)
        whole = augment(COLOURS, drawn, settings, input_px=16)
        for i in (4, 1):
            assert np.array_equal(augment(COLOURS[i : i + 1], drawn[i : i + 1], settings, input_px=16)[0], whole[i])
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002  (it must not matter)
        assert np.array_equal(augment(COLOURS, drawn, settings, input_px=16), whole), "no global generator"
        other = draw(settings, seed=3, epoch=3, count=6)
        assert not np.array_equal(augment(COLOURS, other, settings, input_px=16), whole)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_number_of_threads_changes_nothing(policy: str) -> None:
    """A loader's worker has one thread, the training process several, which share the pixels of large images."""
    images = RNG.integers(0, 256, (24, 200, 230, 3), np.uint8)
    before, outputs = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        outputs.append(changed(images, policy=policy, randaugment_ops=4))
    torch.set_num_threads(before)
    assert np.array_equal(*outputs)


def test_a_substream_draws_the_numbers_that_it_has_always_drawn() -> None:
    number = float(generator(5, "policy", 1).random())
    assert number == pytest.approx(0.124553, abs=1e-6)
    assert substream(number).integers(0, 14, 6).tolist() == [3, 9, 9, 2, 7, 10]
    assert substream(number).random() != substream(number + 2**-50).random()


def test_erased_rectangles_have_the_areas_and_ratios_that_are_allowed() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    shares, ratios = [], []
    for i in range(200):
        out = erase(image, substream(i / 200), scale=(0.1, 0.3), ratio=(0.5, 2.0), value=9)
        rows, columns = np.nonzero(out[..., 0])
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert (out[..., 0] == 9).sum() == height * width, "a rectangle"
        shares.append(height * width / 3600)
        ratios.append(height / width)
    assert 0.09 < min(shares) < 0.12
    assert 0.28 < max(shares) < 0.32
    assert 0.45 < min(ratios) < 0.6
    assert 1.7 < max(ratios) < 2.1


def test_what_is_erased_is_filled_as_told() -> None:
    image = COLOURS[0]
    filled = {
        value: erase(image, substream(0.3), scale=(0.3, 0.3), ratio=(1.0, 1.0), value=value)
        for value in ("random", "mean", 0, 255)
    }
    where = (filled[0] != filled[255]).all(2)
    assert 0.2 < where.mean() < 0.4
    assert all(np.array_equal(out[~where], image[~where]) for out in filled.values())
    assert np.abs(filled["mean"][where] - image.mean((0, 1))).max() <= 0.5
    assert filled["random"][where].std() > 50
    erased = (changed(np.zeros((400, 8, 8, 1), np.uint8), erase=0.25, erase_value=7) == 7).any((1, 2, 3))
    assert erased.mean() == pytest.approx(0.25, abs=0.06)


def test_tune_scales_a_policy_and_the_probability_of_erasing() -> None:
    phase = Phase(num_steps=10, policy="randaugment", randaugment_magnitude=14, erase=0.5, policy_strength=0.8)
    assert phase.scalable == {"policy_strength": 0.8, "erase": 0.5}
    half = phase.tuned(Tuned(strength=0.5))
    assert (half.policy_strength, half.erase, half.randaugment_magnitude) == (0.4, 0.25, 14)
    assert not phase.tuned(Tuned(strength=0.0)).augments
    assert Phase(num_steps=10, randaugment_magnitude=14, erase_value=3).scalable == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.policy=randaug", "train.policy: got 'randaug'.*did you mean randaugment"),
        ("train.policy_strength=1.5", "train.policy_strength: got 1.5, .*less than or equal to 1"),
        (
            "models.simple={policy: randaugment, randaugment_magnitude: 31}",
            "models.simple: randaugment_magnitude 31 is not below magnitude_bins 31; set it to 30 or less",
        ),
        ("train.randaugment_ops=0", "train.randaugment_ops: got 0"),
        ("train.augmix_severity=11", "train.augmix_severity: got 11, .*less than or equal to 10"),
        ("train.augmix_alpha=0", "train.augmix_alpha: got 0"),
        ("train.erase=2", "train.erase: got 2"),
        ("train.erase_scale=[0.4, 0.1]", "train.erase_scale: got .*expected the smaller number first"),
        ("train.erase_ratio=[0, 3]", "train.erase_ratio"),
        ("train.erase_value=black", "train.erase_value: got 'black', expected random, mean or a grey level"),
        ("train.erase_value=256", "train.erase_value: got 256, expected random, mean or a grey level"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, change: str, said: str) -> None:
    import re

    assert re.search(said, message(tmp_path, change))


def test_policies_are_settings_of_models_and_phases(tmp_path) -> None:
    settings = load(
        tmp_path,
        "train.policy=augmix",
        "models.simple={policy: none, phases: [{num_steps: 3}, {num_steps: 3, policy: trivialaugment, erase: 0.2}]}",
    )
    assert settings.models["lenet"].phases[0].policy == "augmix"
    assert [phase.policy for phase in settings.models["simple"].phases] == ["none", "trivialaugment"]
    assert [phase.erase for phase in settings.models["simple"].phases] == [0.0, 0.2]
