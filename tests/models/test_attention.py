"""The attention block: its formulas against plain loops, what it leaves alone at first, its memory, its errors."""

import numpy as np
import pytest
import torch

from kit.images import image_set
from touchstone.errors import TouchstoneError
from touchstone.explain import attention_maps
from touchstone.models.nets import build
from touchstone.models.nets._attention import SLOPE, Attentive, PatchAttention, additive, attended, bilinear

KINDS = ("graph", "classic")
PLAIN = {"resnet": "resnet_cifar", "airbench": "airbench"}


def made(kind: str = "graph", backbone: str = "resnet", **options) -> Attentive:
    torch.manual_seed(0)
    net = build(f"{backbone}_{kind}_attention", num_classes=5, in_channels=3, input_size=16, options=options)
    assert isinstance(net, Attentive)
    return net


def block(kind: str, **changes) -> PatchAttention:
    torch.manual_seed(1)
    settings = {"channels": 3, "side_px": 8, "patch": 2, "heads": 2, "width": 6} | changes
    module = PatchAttention(kind, **settings)
    torch.nn.init.normal_(module.restore.weight)
    torch.nn.init.normal_(module.restore.bias)
    return module.double()


def by_loops(module: PatchAttention, kind: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(A, what the block gives) of one image (C, S, S), node by node."""
    patch, heads = module.embed.kernel_size[0], module.heads
    side = x.shape[1] // patch
    kernel, bias = module.embed.weight, module.embed.bias
    corners = [(r * patch, c * patch) for r in range(side) for c in range(side)]
    h = [torch.einsum("dcij,cij->d", kernel, x[:, r : r + patch, c : c + patch]) + bias for r, c in corners]
    q, k, v = ([layer.weight @ node for node in h] for layer in (module.queries, module.keys, module.values))
    each, wide = len(q[0]) // heads, len(v[0]) // heads
    a = torch.zeros(heads, len(h), len(h), dtype=x.dtype)
    out = x.clone()
    for i, (r, c) in enumerate(corners):
        z = []
        for head in range(heads):
            mine = slice(head * each, (head + 1) * each)
            for j in range(len(h)):
                if kind == "graph":
                    score = k[i][head] + q[j][head]
                    a[head, i, j] = score if score > 0 else SLOPE * score
                else:
                    a[head, i, j] = (q[i][mine] @ k[j][mine]) / each**0.5
            e = (a[head, i] - a[head, i].max()).exp()
            a[head, i] = e / e.sum()
            z.append(sum(a[head, i, j] * v[j][head * wide : (head + 1) * wide] for j in range(len(h))))
        patch_out = (
            torch.einsum("dcij,d->cij", module.restore.weight, torch.cat(z)) + module.restore.bias[:, None, None]
        )
        out[:, r : r + patch, c : c + patch] += patch_out
    return a, out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("patch", "heads"), [(2, 2), (1, 1), (4, 3)])
def test_the_block_equals_a_double_loop_over_nodes(kind: str, patch: int, heads: int) -> None:
    module = block(kind, patch=patch, heads=heads)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        a, out = module.attention(module.nodes(x)), module(x)
        for i in range(2):
            wanted_a, wanted = by_loops(module, kind, x[i])
            assert (a[i] - wanted_a).abs().max() < 1e-6
            assert (out[i] - wanted).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_sum_to_one_and_differ(kind: str) -> None:
    module = block(kind).float()
    with torch.no_grad():
        a = module.attention(module.nodes(torch.randn(4, 3, 8, 8)))
    assert a.shape == (4, 2, 16, 16)
    assert (a.sum(-1) - 1).abs().max() < 1e-6
    assert (a[:, :, 0] - a[:, :, 1]).abs().max() > 1e-4, "a node of its own attention: σ is not linear"


@pytest.mark.parametrize("attend", [additive, bilinear])
def test_gradients(attend) -> None:
    each = 1 if attend is additive else 3
    q, k = (torch.randn(2, 4, each, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(attend, (q, k))


def kept_bytes(kind: str, side: int, batch: int) -> int:
    """Tensors that the block keeps for its gradient, each one's memory counted once."""
    module, seen = block(kind, side_px=side, patch=1, width=32, heads=1).float(), {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        keep.append(tensor)  # a freed address would be used again
        return tensor

    keep: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(torch.randn(batch, 3, side, side))
    return sum(seen.values())


def test_memory_of_the_additive_form_is_no_more_and_grows_as_said() -> None:
    graph, classic = kept_bytes("graph", 16, 2), kept_bytes("classic", 16, 2)
    assert graph <= classic
    of_a = 2 * 256 * 256 * 4  # bytes
    assert of_a < graph < 2 * of_a, "A is among it, once"
    assert 1.9 < kept_bytes("graph", 16, 4) / graph < 2.1, "linear in the batch"
    rest = kept_bytes("graph", 32, 2) - 16 * of_a  # of 4 times the nodes A is 16 times as large
    assert 3.9 < rest / (graph - of_a) < 4.1, "and all else 4 times"


def test_without_gradients_a_batch_is_taken_in_parts(monkeypatch) -> None:
    module, x = block("graph").float(), torch.randn(5, 3, 8, 8)
    whole, sizes = module(x), []
    monkeypatch.setattr("touchstone.models.nets._attention.MAX_NUMBERS", 2 * 2 * 16**2)
    module.embed.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        assert torch.allclose(module(x), whole, atol=1e-6)
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        *(("resnet", {"at": at, "patch": 2, "width": 8}) for at in ("image", "layer1", "layer3")),
        *(("airbench", {"at": at, "patch": patch}) for at, patch in (("block1", 7), ("block2", 1), ("block3", 1))),
    ],
)
def test_a_new_block_changes_nothing_and_the_backbone_is_the_plain_one(kind: str, backbone: str, options: dict) -> None:
    torch.manual_seed(0)
    plain = build(PLAIN[backbone], num_classes=5, in_channels=3, input_size=16, options={}).eval()
    net = made(kind, backbone, **options).eval()
    own = net.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in plain.state_dict().items())
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(plain(x), net(x))
        torch.nn.init.normal_(net.attention.restore.weight)
        assert not torch.allclose(plain(x), net(x))


def test_a_copy_of_the_net_has_a_block_of_its_own() -> None:
    from torch.optim.swa_utils import AveragedModel

    net = made()
    copy = AveragedModel(net).module.eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        before = copy(x)
        torch.nn.init.normal_(net.attention.restore.weight)
        assert torch.equal(before, copy(x))


@pytest.mark.parametrize(
    ("backbone", "options", "side"),
    [("resnet", {"at": "layer2", "patch": 2, "width": 8}, 4), ("airbench", {"at": "block2", "node_width": 8}, 3)],
)
def test_the_map_is_the_mean_of_a(backbone: str, options: dict, side: int) -> None:
    net = made("graph", backbone, **options).eval()
    x = torch.randn(3, 3, 16, 16)
    attention = attended(net, x)
    assert attention.shape == (3, side, side)
    assert (attention.sum((1, 2)) - 1).abs().max() < 1e-6
    with torch.no_grad():
        a = net.attention.attention(net.attention.nodes(net.before_attention(x)))
    assert torch.allclose(attention.flatten(1)[0, 5], a[0, :, :, 5].mean())


def test_the_picture_is_brightest_where_attention_is(tmp_path) -> None:
    pixels = image_set(["a", "b"], side=16, channels=3, seed=0).images
    shares = np.full((2, 4, 4), 0.01, np.float32)
    shares[0, 3, 0] = 0.5
    picture = np.asarray(attention_maps.drawn(pixels, shares)).astype(int)
    side, gap = attention_maps.SIDE, 4
    assert picture.shape == (gap + 2 * (side + gap), gap + 2 * (side + gap), 3)
    second = picture[2 * gap + side :]
    corner, plain = second[side - 10, gap + 5], second[5, gap + side - 5]
    assert corner[0] - corner[2] > 100, "orange over the lower left patch of the first image"
    assert plain[0] == plain[1] == plain[2], "grey elsewhere"
    table = attention_maps.table(shares, ["x", "y"])
    assert table[table["share"] > 0.1].to_numpy().tolist() == [["x", 3, 0, 0.5]]
    assert len(table) == 32


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"patch": 4}, ["patch: got 4, larger than the map of 2x2, expected one of 1, 2"]),
        (
            {"at": "layer2", "patch": 3},
            ["patch: got 3, which does not divide the map of 8x8, expected one of 1, 2, 4, 8"],
        ),
        ({"at": "layer5"}, ["option at: got 'layer5', expected one of image, layer1, layer2, layer3, layer4"]),
        ({"heads": 3}, ["heads: got 3, which does not divide the nodes' width 128"]),
        ({"patch": 0}, ["patch: got 0, expected a whole number of at least 1"]),
        ({"depth": 50}, ["option depth: got 50, expected one of 18, 34"]),
        ({"backbone": "airbench", "at": "layer1"}, ["option at: got 'layer1', expected one of block1, block2, block3"]),
        ({"backbone": "airbench", "at": "block1", "patch": 3}, ["patch: got 3, which does not divide the map of 7x7"]),
        ({"pach": 2}, ["unknown option 'pach'", "did you mean patch?"]),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_options_that_cannot_be_are_one_line(kind: str, options: dict, parts: list[str]) -> None:
    with pytest.raises(TouchstoneError) as caught:
        made(kind, **options)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
