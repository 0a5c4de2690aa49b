"""Attributions: sums that must come out, a patch that alone decides, unchanged answers, the sanity check."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from touchstone.config.schema.explain import Explain
from touchstone.explain.attributions import METHODS, Attribution, attribute
from touchstone.explain.sanity import cascade, likeness, sanity
from touchstone.explain.separation import Apart, called, separated
from touchstone.models.nets import build, nets

LEAST = {"c3": 132, "complex": 64}
ATTENTIVE = tuple(
    f"{backbone}_{kind}_attention" for backbone in ("resnet", "airbench") for kind in ("classic", "graph")
)
PRODUCTS = (*ATTENTIVE, "efficientnet_b0")  # of two paths: no rule is exact


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A net with statistics and weights as if trained, and three images."""
    torch.manual_seed(0)
    side = LEAST.get(name, 32)
    net = build(name, num_classes=4, in_channels=3, input_size=side, options={}).eval()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.02, 0.2)
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.1)
    return net, torch.randn(3, 3, side, side)


def outputs(net: nn.Module, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net(x).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("name", nets())
def test_separated_nets_answer_alike_and_deep_lift_sums_to_the_difference(name: str) -> None:
    net, x = made(name)
    apart = separated(net, x[:1])
    assert not [m for m in apart.modules() if getattr(m, "inplace", False)]
    leaves = [m for m in called(apart, x[:1]) if not m.state_dict()]
    assert len(leaves) == len(set(leaves)), "each is called once"
    with torch.no_grad():
        torch.testing.assert_close(apart(x), net(x), rtol=1e-4, atol=1e-5)
    targets = torch.tensor([0, 1, 3])
    found = attribute(net, x, targets, training_images=x, settings=Explain(methods=("deep_lift",)), seed=0)["deep_lift"]
    wanted = (outputs(net, x, targets) - outputs(net, torch.zeros_like(x), targets)).numpy()
    assert np.isfinite(found.maps).all()
    np.testing.assert_allclose(found.maps.sum((1, 2)) - wanted, found.delta, atol=1e-4 * np.abs(wanted).max() + 1e-5)
    if name not in PRODUCTS:
        assert np.abs(found.delta).max() < 1e-3 * np.abs(wanted).max() + 1e-5


@pytest.mark.parametrize("name", ["lenet", "simple", "c3", pytest.param("resnet_cifar", marks=pytest.mark.slow)])
def test_integrated_gradients_sum_to_the_difference_of_the_outputs(name: str) -> None:
    net, x = made(name)
    targets = torch.tensor([0, 1, 3])
    settings = Explain(methods=("integrated_gradients",), steps=200, tolerance=1e9)
    found = attribute(net, x, targets, training_images=x, settings=settings, seed=0)["integrated_gradients"]
    wanted = (outputs(net, x, targets) - outputs(net, torch.zeros_like(x), targets)).numpy()
    assert np.abs(wanted).max() > 0.02
    scale = max(1, np.abs(wanted).max())
    assert np.abs(found.maps.sum((1, 2)) - wanted).max() < 1e-2 * scale
    assert np.abs(found.delta).max() < 1e-2 * scale


def test_integrated_gradients_take_more_steps_where_they_are_off() -> None:
    net, x = made("c3")
    targets = torch.tensor([0, 1, 3])
    differences = np.abs((outputs(net, x, targets) - outputs(net, torch.zeros_like(x), targets)).numpy())

    def found(steps: int, tolerance: float, doublings: int = 3) -> Attribution:
        how = Explain(methods=("integrated_gradients",), steps=steps, tolerance=tolerance, doublings=doublings)
        return attribute(net, x, targets, training_images=x, settings=how, seed=0)["integrated_gradients"]

    rough = found(8, 1e9)
    errors = np.abs(rough.delta) / differences
    middle = float(np.sort(errors)[1]) * 1.0001
    mended = found(8, middle)  # the farthest off of three alone
    changed = errors > middle
    assert changed.tolist() == [not np.array_equal(*maps) for maps in zip(rough.maps, mended.maps, strict=True)]
    assert changed.sum() == 1
    assert np.abs(mended.delta)[changed] < np.abs(rough.delta)[changed]
    np.testing.assert_array_equal(found(8, 1e-9).delta, found(64, 1e9).delta, "three times twice the steps, at most")
    np.testing.assert_array_equal(found(8, 1e-9, doublings=1).delta, found(16, 1e9).delta)


def test_overlapping_windows_lose_nothing() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(4 * 7 * 7, 2)
    ).eval()
    x = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(separated(net, x)(x), net(x))
    found = attribute(net, x, torch.tensor([0, 1]), training_images=x, settings=Explain(methods=("deep_lift",)), seed=0)
    assert np.abs(found["deep_lift"].delta).max() < 1e-5


def test_deterministic_mode_is_no_hindrance_and_stays_on() -> None:
    net, x = made("lenet")
    torch.use_deterministic_algorithms(True)
    try:
        attribute(net, x, torch.tensor([0, 1, 3]), training_images=x, settings=Explain(steps=8, samples=2), seed=0)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_module_that_is_called_twice_gets_a_copy_for_each_call() -> None:
    relu = nn.ReLU(inplace=True)
    net = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)
    apart = separated(net, torch.randn(1, 3))
    assert isinstance(apart[1], Apart)
    assert apart[1] is apart[3]
    assert len(apart[1].copies) == 2
    assert relu.inplace, "the net itself is left alone"


@pytest.fixture(scope="module")
def planted() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small net trained on noise in which a 4x4 patch at rows and columns 8 to 11 alone decides the class."""
    torch.manual_seed(0)

    def drawn(labels: torch.Tensor) -> torch.Tensor:
        x = torch.randn(len(labels), 1, 16, 16)
        x[:, 0, 8:12, 8:12] = (2.0 * labels - 1)[:, None, None]
        return x

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 2)
    )
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 800)
    for _ in range(800):
        labels = torch.randint(2, (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(drawn(labels)), labels).backward()
        optimizer.step()
        schedule.step()
    net.eval()
    targets = torch.arange(16) % 2
    fresh = drawn(targets)
    assert (net(fresh).argmax(1) == targets).all()
    return net, fresh, targets


# The patch is a sixteenth of the image. Shares of the absolute mass upon it, as seen: saliency .55, integrated
# gradients .58, noise tunnel .77, DeepLift .60, GradientShap .59, occlusion .66.
@pytest.mark.parametrize("method", list(METHODS))
def test_on_a_planted_patch_each_method_puts_most_of_its_mass(method, planted) -> None:
    net, x, targets = planted
    settings = Explain(methods=(method,), noise=0.1)
    values = np.abs(attribute(net, x, targets, training_images=x, settings=settings, seed=0)[method].maps)
    share = values[:, 8:12, 8:12].sum((1, 2)) / values.sum((1, 2))
    print(f"{method}: {share.mean():.2f}, least {share.min():.2f}")
    assert share.mean() > 0.5


class Patches(nn.Module):
    """Logits of three classes that two patches alone decide: A - B, B and -A, of their means."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x[:, 0, :4, :4].mean((1, 2)), x[:, 0, 8:12, 8:12].mean((1, 2))
        return torch.stack([a - b, b, -a], 1)


@pytest.mark.parametrize("method", list(METHODS))
def test_each_patch_speaks_for_its_class_and_against_others(method) -> None:
    x = torch.ones(3, 1, 16, 16)
    settings = Explain(methods=(method,), noise=0.0, steps=16, window=1)
    how = {"training_images": torch.zeros(2, 1, 16, 16), "settings": settings, "seed": 0}
    maps = attribute(Patches(), x, torch.tensor([0, 1, 2]), **how)[method].maps
    found = np.stack([maps[:, :4, :4].sum((1, 2)), maps[:, 8:12, 8:12].sum((1, 2))], 1)
    expected = np.array([[1, -1], [0, 1], [-1, 0]])
    unsigned = method in ("saliency", "noise_tunnel")
    assert np.sign(found.round(6)).tolist() == (np.abs(expected) if unsigned else expected).tolist()
    rest = np.abs(maps).sum((1, 2)) - np.abs(maps[:, :4, :4]).sum((1, 2)) - np.abs(maps[:, 8:12, 8:12]).sum((1, 2))
    np.testing.assert_allclose(rest, 0, atol=1e-6)


def test_no_other_image_has_to_do_with_a_map(planted) -> None:
    net, x, targets = planted
    how = {"training_images": x[4:], "settings": Explain(steps=16), "seed": 0}
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    together = attribute(net, torch.cat([5 * x[:1], x[1:3]]), targets[:3], **how)
    alone = attribute(net, x[2:3], targets[2:3], **how)
    for method, found in alone.items():
        np.testing.assert_array_equal(found.maps[0], together[method].maps[2], method)
    np.testing.assert_array_equal(np.random.get_state()[1], before, "NumPy's generator is as it was")  # noqa: NPY002


def test_draws_are_those_of_the_seed(planted) -> None:
    net, x, targets = planted
    settings = Explain(methods=("noise_tunnel", "gradient_shap"), steps=16)
    one, other, third = (attribute(net, x, targets, training_images=x, settings=settings, seed=s) for s in (0, 0, 1))
    for method in settings.methods:
        np.testing.assert_array_equal(one[method].maps, other[method].maps)
        assert (one[method].maps != third[method].maps).any()


def test_weights_drawn_anew_change_what_a_net_attributes(planted) -> None:
    net, x, targets = planted
    torch.manual_seed(5)
    untrained = nn.Sequential(*[type(m)(*_arguments(m)) for m in net])
    settings = Explain(methods=("saliency", "integrated_gradients"), steps=16)

    def again(net: nn.Module) -> dict[str, np.ndarray]:
        found = attribute(net, x, targets, training_images=x, settings=settings, seed=0)
        return {method: each.maps for method, each in found.items()}

    rows = sanity(again(net), again, cascade(net, untrained, x[:1], stages=5))
    table = pd.DataFrame(rows)
    assert table["layers"].tolist() == [0, 0, 1, 1, 2, 2], "two layers have weights, the last one goes first"
    ends = table[table["layers"] == 2].set_index("method")["likeness"]
    assert (ends < 0.6).all()
    assert (table[table["layers"] == 0]["likeness"] == 1).all()


def _arguments(module: nn.Module) -> tuple:
    if isinstance(module, nn.Conv2d):
        size = module.kernel_size[0]
        return module.in_channels, module.out_channels, size, 1, size // 2
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return (2,) if isinstance(module, nn.MaxPool2d) else ()


def test_the_cascade_ends_in_the_untrained_net_and_leaves_the_trained_one() -> None:
    net, x = made("resnet_cifar")
    torch.manual_seed(9)
    untrained = build("resnet_cifar", num_classes=4, in_channels=3, input_size=32, options={}).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    steps = [(layers, made(x)) for layers, made in cascade(net, untrained, x[:1], stages=4)]
    assert len(steps) == 4
    torch.testing.assert_close(steps[-1][1], untrained(x))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_likeness_is_spearmans_of_absolute_values() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 5, 5))
    assert likeness(maps, -(maps**3)) == pytest.approx(1.0)
    assert likeness(maps, 1 / np.abs(maps)) == pytest.approx(-1.0)
    assert np.isnan(likeness(maps, np.ones_like(maps)))
