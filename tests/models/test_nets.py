"""Every model file: builds at its sizes, shapes, gradients, parameters as its header says, memory format, errors."""

import importlib
import re

import pytest
import safetensors.torch
import torch
from torchvision import models as torchvision_models

from kit.project import ROOT
from touchstone.errors import TouchstoneError
from touchstone.models.nets import (
    attends,
    build,
    check_net,
    check_settings,
    from_images,
    head_of,
    nets,
    published_weights,
)

CASES = [(net, {}) for net in nets()] + [
    ("resnet", {"depth": 34}),
    ("resnet", {"depth": 50}),
    ("resnet_cifar", {"depth": 34}),
    ("mobilenet_v2", {"hidden": 512, "dropout": 0.3}),
    ("resnet_graph_attention", {"at": "image", "patch": 4, "heads": 2}),
    ("resnet_classic_attention", {"at": "layer2", "depth": 34}),
    ("airbench_graph_attention", {"at": "block2", "width": 32, "heads": 2}),
]
NAMES = [" ".join([net, *(f"{k}={v}" for k, v in options.items())]) for net, options in CASES]


def made(net: str, options=None, *, size: int = 0, channels: int = 3, classes: int = 10) -> torch.nn.Module:
    torch.manual_seed(0)
    size = size or max(32, module_of(net).LEAST_PX)
    return build(net, num_classes=classes, in_channels=channels, input_size=size, options=options or {})


def module_of(net: str):
    return importlib.import_module(f"touchstone.models.nets.{net}")


@pytest.mark.parametrize(("net", "options"), CASES, ids=NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_gradients(net: str, options: dict, channels: int) -> None:
    size = max(32, module_of(net).LEAST_PX)
    module = made(net, options, channels=channels, classes=7)
    if attends(net):
        torch.nn.init.normal_(module.attention.restore.weight)  # at zero, nothing before it would have a gradient yet
    out = module(torch.randn(4, channels, size, size))
    assert out.shape == (4, 7)
    torch.nn.functional.cross_entropy(out, torch.arange(4)).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(("net", "options"), CASES, ids=NAMES)
def test_memory_format_seed_and_file_change_nothing(net: str, options: dict, tmp_path) -> None:
    module = made(net, options).eval()
    size = max(32, module_of(net).LEAST_PX)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        plain = module(x)
        assert torch.equal(plain, module(x))
        safetensors.torch.save_file(module.state_dict(), tmp_path / "w.safetensors")
        other = made(net, options).eval()
        assert torch.equal(plain, other(x)), "the same seed, the same weights"
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        other.load_state_dict(safetensors.torch.load_file(tmp_path / "w.safetensors"))
        assert torch.equal(plain, other(x))
        last = module.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    scale = plain.abs().max()
    assert torch.allclose(plain / scale, last / scale, atol=1e-5)


@pytest.mark.parametrize(("net", "options"), CASES, ids=NAMES)
def test_the_head_is_the_last_module_and_takes_features(net: str, options: dict) -> None:
    module, caught = made(net, options).eval(), []
    size = max(32, module_of(net).LEAST_PX)
    head = module.get_submodule(head_of(net))
    head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        out = module(torch.randn(2, 3, size, size))
        features = caught[0]
        assert features.ndim == 2
        assert torch.equal(head(features), out)


@pytest.mark.parametrize(("net", "options"), CASES, ids=NAMES)
def test_a_net_takes_any_number_of_channels(net: str, options: dict) -> None:
    with torch.device("meta"):
        module, size = made(net, options, channels=7).eval(), max(32, module_of(net).LEAST_PX)
        assert module(torch.empty(2, 7, size, size)).shape == (2, 10)


@pytest.mark.parametrize("net", nets())
def test_the_header_states_the_true_parameter_count(net: str) -> None:
    text = module_of(net).__doc__ or ""
    stated = re.search(r"Parameters: ([\d,]+) at (\d+) px, (\d+) channels, (\d+) classes", text)
    assert stated, "the header must say: Parameters: N at S px, 3 channels, K classes"
    module = made(net, size=int(stated[2]), channels=int(stated[3]), classes=int(stated[4]))
    assert sum(p.numel() for p in module.parameters()) == int(stated[1].replace(",", ""))
    assert f"Input: at least {module_of(net).LEAST_PX} px" in text


def test_airbench_whitens_the_patches_of_its_images() -> None:
    torch.manual_seed(0)
    images = torch.nn.functional.avg_pool2d(torch.randn(200, 3, 34, 34), 3, 1)  # neighbours resemble each other
    net = made("airbench")
    from_images("airbench", net, images)
    weight = net.whitening.weight
    assert torch.equal(weight[12:], -weight[:12])
    out = torch.nn.functional.conv2d(images, weight[:12]).transpose(0, 1).flatten(1)
    covariance = out @ out.T / out.shape[1]
    off = covariance - torch.diag(covariance.diag())
    assert off.abs().max() < 1e-3
    assert ((covariance.diag() > 0.5) & (covariance.diag() <= 1.001)).all()
    again = made("airbench")
    from_images("airbench", again, images)
    assert torch.equal(weight, again.whitening.weight)
    assert "whitening.weight" not in dict(net.named_parameters()), "it is not trained"


def test_airbench_shifts_as_a_batch_norm_without_a_scale_does() -> None:
    from touchstone.models.nets._airbench import BIAS_FACTOR, MOMENTUM, Norm

    torch.manual_seed(0)
    x = torch.randn(8, 5, 4, 4).to(memory_format=torch.channels_last)
    norm = Norm(5)
    torch.nn.init.normal_(norm.bias)
    mean, var = torch.zeros(5), torch.ones(5)
    shift = BIAS_FACTOR * norm.bias.detach()
    wanted = torch.nn.functional.batch_norm(x, mean, var, None, shift, True, MOMENTUM, norm.eps)
    assert torch.equal(norm(x), wanted)
    assert torch.equal(norm.running_var, var)


def test_averaged_weights_of_airbench_get_the_statistics_of_all_batches() -> None:
    from torch.optim.swa_utils import update_bn

    from touchstone.models.nets._airbench import MOMENTUM, Norm

    torch.manual_seed(0)
    norm, batches = Norm(3), [torch.randn(16, 3, 4, 4) + shift for shift in range(4)]
    update_bn(batches, norm)
    assert torch.allclose(norm.running_mean, torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0))
    assert norm.momentum == MOMENTUM


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7])
def test_complex_pools_as_adaptive_pooling_does(side: int) -> None:
    from touchstone.models.nets.complex import MaxPoolToFour

    torch.manual_seed(0)
    one, other = (torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    one.requires_grad_(), other.requires_grad_()
    weights = torch.randn(2, 3, 2, 2)
    pooled, wanted = MaxPoolToFour()(one), torch.nn.functional.adaptive_max_pool2d(other, 2)
    assert torch.equal(pooled, wanted)
    (pooled * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert torch.equal(one.grad, other.grad)


def test_c3_has_the_published_size() -> None:
    assert sum(p.numel() for p in made("c3", size=256, classes=8).parameters()) == 10_832


@pytest.mark.parametrize(
    ("net", "size", "features"), [("simple", 32, 128), ("medium", 64, 8192), ("complex", 150, 512), ("net", 32, 4096)]
)
def test_the_features_that_the_studies_state(net: str, size: int, features: int) -> None:
    head = made(net, size=size).get_submodule(head_of(net))
    first = next(layer for layer in head.modules() if isinstance(layer, torch.nn.Linear))
    assert first.in_features == features


@pytest.mark.parametrize(("net", "options"), [(n, o) for n, o in CASES if hasattr(module_of(n), "imagenet")])
def test_weights_load_strictly_under_torchvisions_names(net: str, options: dict) -> None:
    """The state dict of torchvision's own net, 1,000 classes, in ours with its stock head."""
    body = {k: v for k, v in options.items() if k not in ("hidden", "dropout")}
    weights = torchvision_models.get_weight(published_weights(net, "imagenet", body))
    with torch.device("meta"):
        theirs = getattr(torchvision_models, type(weights).__name__.removesuffix("_Weights").lower())()
        assert sum(p.numel() for p in theirs.parameters()) == weights.meta["num_params"]
        ours = build(net, num_classes=1000, in_channels=3, input_size=64, options=body)
    shapes = {name: value.shape for name, value in theirs.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == shapes
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for entry in ("mean", "std"):
        assert getattr(weights.transforms(), entry) == [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]][entry == "std"]


def test_the_versions_that_the_docs_name_are_torchvisions() -> None:
    [table] = re.findall(
        r"\| net \| `imagenet` is \| also \|\n.*\n((?:\|.*\n)+)", (ROOT / "docs/models.md").read_text()
    )
    told = set()
    for row in table.splitlines():
        net, usual, others = (re.findall(r"`(\w+)`", cell) for cell in row.strip("|").split("|"))
        for depth in re.findall(r"\d\d", row.split("|")[1]) or [""]:
            told.add((net[0], depth, *usual, *others))
    found = set()
    for net, options in CASES:
        if hasattr(module_of(net), "imagenet") and "hidden" not in options:
            weights = torchvision_models.get_weight(published_weights(net, "imagenet", options))
            others = [each.name for each in type(weights) if each is not weights]
            depth = str(options.get("depth", 18)) if net == "resnet" else ""
            found.add((net, depth, weights.name, *others))
    assert told == found


def theirs_with_the_head_of_the_study(hidden: int, dropout: float) -> torch.nn.Module:
    """As the study's notebook makes it: only the linear layer of torchvision's classifier is replaced."""
    theirs = torchvision_models.mobilenet_v2()
    theirs.classifier[1] = torch.nn.Sequential(
        torch.nn.Linear(1280, hidden), torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.Linear(hidden, 10)
    )
    return theirs


def test_mobilenets_hidden_head_is_the_studys_dropouts_included() -> None:
    ours, theirs = made("mobilenet_v2", {"hidden": 16, "dropout": 0.3}), theirs_with_the_head_of_the_study(16, 0.3)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x, outputs = torch.randn(8, 3, 32, 32), []
    for net in (ours, theirs):
        torch.manual_seed(5)
        outputs.append(net.train()(x))
    assert torch.equal(*outputs)


def test_weights_of_a_head_without_the_first_dropout_load_and_predict_the_same() -> None:
    options = {"hidden": 16, "dropout": 0.3}
    old, new = made("mobilenet_v2", options | {"input_dropout": 0}), made("mobilenet_v2", options)
    assert [type(layer).__name__ for layer in old.classifier] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert [type(layer).__name__ for layer in new.classifier] == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert new.classifier.input_dropout.p == 0.2
    names = [name for name in old.state_dict() if name.startswith("classifier")]
    assert names == ["classifier.0.weight", "classifier.0.bias", "classifier.3.weight", "classifier.3.bias"]
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items())
    with torch.no_grad():
        new.classifier[1].weight.zero_()
        new.load_state_dict(old.state_dict())
        x = torch.randn(2, 3, 32, 32)
        assert torch.equal(old.eval()(x), new.eval()(x))


def test_the_cifar_stem_keeps_the_resolution() -> None:
    module, caught = made("resnet_cifar").eval(), []
    module.layer1.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].shape))
    module(torch.randn(1, 3, 32, 32))
    assert caught == [(1, 64, 32, 32)]


@pytest.mark.parametrize("net", nets())
def test_the_least_size_works_and_a_smaller_one_says_what_is_needed(net: str) -> None:
    least = module_of(net).LEAST_PX
    for size in (least, least + 1, least + 7):
        assert made(net, size=size).eval()(torch.zeros(1, 3, size, size)).shape == (1, 10)
    with pytest.raises(TouchstoneError, match=f"{net}: got input_size {least - 1} px, at least {least} px"):
        made(net, size=least - 1)


@pytest.mark.parametrize("net", nets())
def test_what_a_file_says_is_checked_without_building(net: str) -> None:
    least = module_of(net).LEAST_PX
    check_settings("models.mine", net, input_size=least, options={})
    with pytest.raises(TouchstoneError, match=f"{net}: got input_size {least - 1} px"):
        check_settings("models.mine", net, input_size=least - 1, options={})
    with pytest.raises(TouchstoneError, match=f"{net}: unknown option 'widht'"):
        check_settings("models.mine", net, input_size=least, options={"widht": 3})


def test_a_net_without_a_named_head_is_an_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("LEAST_PX = 3\ndef build(*, num_classes): ...\n")
    monkeypatch.setattr("touchstone.models.nets.FOLDER", tmp_path)
    with pytest.raises(TouchstoneError, match=r"mine: no HEAD in src/touchstone/models/nets/mine\.py"):
        check_settings("models.mine", "mine", input_size=32, options={})


def test_unknown_nets_and_options_name_the_nearest() -> None:
    with pytest.raises(
        TouchstoneError, match=r"models\.mine: no src/touchstone/models/nets/lenett\.py.*did you mean lenet\?"
    ):
        check_net("models.mine", "lenett")
    with pytest.raises(TouchstoneError, match="lenet: unknown option 'width'"):
        build("lenet", num_classes=2, in_channels=1, input_size=32, options={"width": 3})
    with pytest.raises(TouchstoneError, match="resnet: option depth: got 19, expected one of 18, 34, 50"):
        made("resnet", {"depth": 19})
    for options in (
        {"dropout": 2.0}, {"hidden": -1}, {"hidden": "x"}, {"hidden": 0.5}, {"hidden": 8, "input_dropout": -0.1}
    ):  # fmt: skip
        with pytest.raises(TouchstoneError, match=r"mobilenet_v2: options .*; correct models\.<name>\.options"):
            made("mobilenet_v2", options)
    with pytest.raises(TouchstoneError, match="input_dropout: the head without hidden has one dropout; set dropout"):
        made("mobilenet_v2", {"input_dropout": 0.1})
    with pytest.raises(TouchstoneError, match="lenet: torchvision has no ImageNet weights"):
        published_weights("lenet", "imagenet", {})
