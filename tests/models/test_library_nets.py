"""Nets of torchvision and timm by name: built, headed, frozen, trained and kept like our own; their weights fitted."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import safetensors.torch
import torch

from touchstone.config import pretrained_config as configs
from touchstone.config.load import resolve_model
from touchstone.config.net_names import TORCHVISION
from touchstone.config.pretrained_config import expected_statistics, names, pretrained_config
from touchstone.config.schema.model import Model, Phase
from touchstone.data.batches import View
from touchstone.errors import TouchstoneError
from touchstone.models.checks import check_plan
from touchstone.models.freezing import freeze, is_frozen_but_head, takes_vectors, train_mode
from touchstone.models.initial_weights import InitialWeights
from touchstone.models.nets import build, check_net, facts_of, head_of, outline, published_weights
from touchstone.models.pretrained import write_body

SAMPLE = ("mobilenet_v3_small", "squeezenet1_1", "googlenet", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf")
MOST = 90_000_000  # parameters of a net that is trained here
TIMM = (
    *("convnext_atto", "resnet10t", "efficientnet_lite0", "mobilenetv3_small_050", "vit_tiny_patch16_224"),
    *("deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "regnetx_002", "densenet121", "vgg11", "ghostnet_050"),
    *("mobilevit_xxs", "edgenext_xx_small", "lcnet_035", "tinynet_e", "mixnet_s", "dla46_c", "hardcorenas_a"),
    *("pit_ti_224", "poolformer_s12", "repvgg_a0", "tf_efficientnet_b0", "xcit_nano_12_p16_224", "mobileone_s0"),
)
COMMIT, OTHER = "a" * 40, "b" * 40


def side(name: str) -> int:
    """A small side in px that a net takes."""
    if name.startswith(("maxvit", "swin_tiny_patch4", "deit", "pit", "xcit", "vit_tiny")):
        return 224
    return {"vit_h_14": 56}.get(name, 96 if name in ("inception_v3", "googlenet") else 64)


def case(net: str, *, slow: bool) -> Any:
    return pytest.param(net, marks=pytest.mark.slow) if slow else net


def model(**changes: Any) -> Model:
    return resolve_model({"net": "timm/test_resnet", "input_size": 32, "num_steps": 1} | changes)


def check_net_works(net: str, tmp_path: Path) -> None:
    """Build, find the head, freeze, train a step, save and load."""
    size = side(net.split("/")[1])
    head, shape = head_of(net), {"num_classes": 5, "in_channels": 3, "input_size": size}
    number = sum(p.numel() for p in outline(net, **shape, options={}).parameters())
    if number > MOST:
        pytest.skip(f"{number:,} parameters: its outline and its head are checked, and it is not trained")
    torch.manual_seed(0)
    module = build(net, **shape, options={})
    last = next(name for name, _ in module.get_submodule(head).named_parameters())
    freeze(module, Phase(num_steps=1, trainable=("head",)), head=head)
    assert is_frozen_but_head(module, head)
    train_mode(module, head=head)
    caught: list[torch.Tensor] = []
    hook = module.get_submodule(head).register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    module.eval()
    with torch.no_grad():
        out = module(torch.randn(2, 3, size, size))
        assert out.shape == (2, 5)
        assert (caught[-1].ndim == 2) == takes_vectors(module, head)
        assert torch.allclose(module.get_submodule(head)(caught[-1]).flatten(1), out, atol=1e-5)
    hook.remove()
    freeze(module, Phase(num_steps=1), head=head)
    module.train()
    before = module.get_parameter(f"{head}.{last}").detach().clone()
    images, labels = torch.randn(2, 3, size, size), torch.tensor([0, 1])
    torch.nn.functional.cross_entropy(module(images), labels).backward()
    torch.optim.SGD(module.parameters(), lr=1e-3).step()
    assert not torch.equal(before, module.get_parameter(f"{head}.{last}"))
    safetensors.torch.save_file({k: v.contiguous() for k, v in module.state_dict().items()}, tmp_path / "w.safetensors")
    other = build(net, **shape, options={})
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "w.safetensors"))
    with torch.no_grad():
        assert torch.equal(module.eval()(images), other.eval()(images))


@pytest.mark.parametrize(
    "net", [case(net, slow=net.removeprefix(TORCHVISION) not in SAMPLE) for net in names(TORCHVISION)]
)
def test_nets_of_torchvision(net: str, tmp_path: Path) -> None:
    check_net_works(net, tmp_path)


@pytest.mark.parametrize("name", [case(name, slow=name not in TIMM[:4]) for name in TIMM])
def test_nets_of_timm(name: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    check_net_works(f"timm/{name}", tmp_path)


def test_weights_of_torchvision_say_how_they_expect_images() -> None:
    found = pretrained_config("torchvision/resnet50", "pretrained")
    assert (found.source, found.input_px, found.crop_share) == ("ResNet50_Weights.IMAGENET1K_V2", 224, 0.9655)
    assert pretrained_config("torchvision/resnet50", "IMAGENET1K_V1").crop_share == 0.875
    assert pretrained_config("torchvision/inception_v3", "imagenet").mean == (0.5, 0.5, 0.5), "transform_input"
    assert "SWAG" in pretrained_config("torchvision/vit_b_16", "IMAGENET1K_SWAG_E2E_V1").licence


def test_weights_of_timm_say_how_they_expect_images() -> None:
    pytest.importorskip("timm")
    found = pretrained_config("timm/convnext_atto.d2_in1k", "pretrained")
    assert (found.input_px, found.interpolation, found.licence) == (224, "bicubic", "apache-2.0")
    assert found.repository == "timm/convnext_atto.d2_in1k"


def test_the_versions_of_our_own_nets_weights_can_be_chosen() -> None:
    assert published_weights("mobilenet_v2", "imagenet", {}) == "MobileNet_V2_Weights.IMAGENET1K_V1"
    assert published_weights("mobilenet_v2", "IMAGENET1K_V2", {}) == "MobileNet_V2_Weights.IMAGENET1K_V2"
    assert published_weights("resnet", "imagenet", {"depth": 50}) == "ResNet50_Weights.IMAGENET1K_V2"
    assert published_weights("resnet", "IMAGENET1K_V1", {"depth": 50}) == "ResNet50_Weights.IMAGENET1K_V1"
    assert published_weights("mobilenet_v2", "IMAGENET1K_V2", {"hidden": 8, "input_dropout": 0.1}).endswith("V2")
    with pytest.raises(TouchstoneError, match="resnet has no IMAGENET1K_V2; it has IMAGENET1K_V1;"):
        published_weights("resnet", "IMAGENET1K_V2", {"depth": 18})
    for net in ("mobilenet_v2", "torchvision/mobilenet_v2"):
        with pytest.raises(TouchstoneError, match="it has IMAGENET1K_V1, IMAGENET1K_V2; did you mean"):
            published_weights(net, "IMAGENET1K_V3", {})


def test_the_library_and_its_version_decide_what_is_built() -> None:
    assert facts_of("torchvision/resnet18")["torchvision/resnet18"].startswith("torchvision ")
    assert facts_of("lenet") == {}


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("torchvision/resnet81", ["torchvision has no resnet81", "resnet18"]),
        ("timm/resnet50.a9_in1k", ["timm has no resnet50.a9_in1k", "its tags are", "a1_in1k"]),
        ("hf-hub:timm/resnet18@main", ["named with its commit", "a branch or a tag can move"]),
        ("local-dir:data/weights/none", ["no config.json in data/weights/none"]),
    ],
)
def test_unknown_nets_are_named_with_what_is_near(net: str, words: list[str]) -> None:
    if net.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(TouchstoneError) as error:
        check_net("models.x", net)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"net": "torchvision/vit_b_16", "input_size": 100}, ["torchvision/vit_b_16", "input_size 100", "divisible"]),
        ({"net": "torchvision/resnet18", "options": {"depth": 3}}, ["options depth 3", "unexpected keyword"]),
        ({"net": "torchvision/resnet18", "trainable": ("stem",)}, ["trainable: got 'stem'", "layer1"]),
        ({"net": "torchvision/resnet18", "weights": "IMAGENET1K_V7"}, ["has no IMAGENET1K_V7; it has IMAGENET1K_V1"]),
    ],
)
def test_what_a_library_refuses_is_one_line(changes: dict, words: list[str]) -> None:
    with pytest.raises(TouchstoneError) as error:
        check_plan("models.x", model(**changes), None, channels=3)
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_a_net_with_two_heads_is_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(TouchstoneError, match=r"got head, head_dist; choose another net"):
        head_of("timm/deit_tiny_distilled_patch16_224")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(TouchstoneError, match=r"touchstone\[timm\]"):
        check_net("models.x", "timm/resnet18")


def saved(net: str, file: Path, **shape: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    made = build(net, **({"num_classes": 1000, "in_channels": 3, "input_size": 224} | shape), options={})
    tensors = {name: value.contiguous().clone() for name, value in made.state_dict().items()}
    safetensors.torch.save_file(tensors, file)
    return tensors


def body_of(settings: Model, tmp_path: Path, **options: Any) -> dict[str, torch.Tensor]:
    given = {"channels": 3, "old": tmp_path / "old.json", "mirror": "", "downloads": tmp_path / "downloads"} | options
    write_body(tmp_path / "body.safetensors", settings, **given)
    return safetensors.torch.load_file(tmp_path / "body.safetensors")


def test_a_file_of_weights_is_fitted_to_a_net_of_torchvision(tmp_path: Path) -> None:
    net = "torchvision/shufflenet_v2_x0_5"
    whole = saved(net, tmp_path / "w.safetensors")
    body = body_of(model(net=net, weights=str(tmp_path / "w.safetensors")), tmp_path)
    assert set(whole) - set(body) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, whole[name]) for name, value in body.items())


def test_a_vision_transformer_takes_another_size(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    net = "timm/test_vit"
    saved(net, tmp_path / "w.safetensors", input_size=160)
    body = body_of(model(net=net, input_size=96, weights=str(tmp_path / "w.safetensors")), tmp_path)
    assert body["pos_embed"].shape[1] == (96 // 16) ** 2 + 1


def test_timm_takes_another_number_of_channels(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    whole = saved("timm/test_resnet", tmp_path / "w.safetensors")
    settings = model(weights=str(tmp_path / "w.safetensors"), normalisation="data")
    body = body_of(settings, tmp_path, channels=1)
    stem = next(name for name, value in whole.items() if value.ndim == 4)
    assert torch.allclose(body[stem], whole[stem].sum(1, keepdim=True), atol=1e-5)


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    whole = saved("timm/test_resnet", tmp_path / "w.safetensors")
    lost = next(name for name, value in whole.items() if value.ndim == 4 and "layer" in name)
    safetensors.torch.save_file({k: v for k, v in whole.items() if k != lost}, tmp_path / "w.safetensors")
    with pytest.raises(TouchstoneError, match=r"lack .*weight|do not fit"):
        body_of(model(weights=str(tmp_path / "w.safetensors")), tmp_path)


def model_folder(folder: Path, *, card: str = "---\nlicense: cc-by-4.0\n---\n") -> Path:
    folder.mkdir()
    saved("timm/test_resnet", folder / "model.safetensors", num_classes=10)
    expected = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 64, 64], "crop_pct": 0.9}
    expected |= {"num_classes": 10, "interpolation": "bilinear"}
    content = {"architecture": "test_resnet", "num_classes": 10, "pretrained_cfg": expected}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "README.md").write_text(card)
    return folder


def test_a_folder_with_a_model_card_is_a_net(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    net = f"local-dir:{model_folder(tmp_path / 'mine')}"
    found = pretrained_config(net, "pretrained")
    assert (found.input_px, found.crop_share, found.licence) == (64, 0.9, "cc-by-4.0")
    settings = model(net=net, weights="pretrained")
    expected = expected_statistics(net, "pretrained")
    initial = InitialWeights.of_model(settings, channels=3, expected=expected)
    assert initial.mean == [25.5, 51.0, 76.5]
    assert head_of(net) == "fc"
    whole = safetensors.torch.load_file(tmp_path / "mine/model.safetensors")
    body = body_of(settings, tmp_path)
    assert all(torch.equal(value, whole[name]) for name, value in body.items())
    assert set(whole) - set(body) == {"fc.weight", "fc.bias"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A hub on this machine with the model org/mine at COMMIT; "gated" and "sha" change its answers."""
    pytest.importorskip("timm")
    folder, state = model_folder(tmp_path / "mine"), {"gated": False, "sha": COMMIT}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path, body, headers = self.path.split("?")[0], b"{}", {}
            code = 200
            if state["gated"]:
                code, headers = 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}
            elif path.startswith("/api/models/org/mine/revision/"):
                files = [{"rfilename": file.name} for file in folder.iterdir()]
                body = json.dumps(
                    {"id": "org/mine", "modelId": "org/mine", "sha": state["sha"], "siblings": files}
                ).encode()
            elif path.startswith(f"/org/mine/resolve/{COMMIT}/"):
                body = (folder / path.rsplit("/", 1)[1]).read_bytes()
                headers = {"X-Repo-Commit": COMMIT, "ETag": '"1"'}
            else:
                code, headers = 404, {"X-Error-Code": "RepoNotFound"}
            self.answer(code, body, headers)

        def answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.chdir(tmp_path)
    configs.hub.cache_clear()
    pretrained_config.cache_clear()
    yield state
    server.shutdown()
    server.server_close()
    configs.hub.cache_clear()
    pretrained_config.cache_clear()


def test_a_model_of_the_hub_is_pinned_by_its_commit(hub: dict[str, Any], tmp_path: Path) -> None:
    net = f"hf-hub:org/mine@{COMMIT}"
    found = pretrained_config(net, "pretrained")
    assert (found.input_px, found.licence, found.revision) == (64, "cc-by-4.0", COMMIT)
    whole = safetensors.torch.load_file(tmp_path / "mine/model.safetensors")
    body = body_of(model(net=net, weights="pretrained"), tmp_path)
    assert all(torch.equal(value, whole[name]) for name, value in body.items())


def test_a_gated_model_and_a_moved_revision_are_one_line(hub: dict[str, Any]) -> None:
    hub["gated"] = True
    with pytest.raises(TouchstoneError, match=r"gated: accept its conditions") as error:
        pretrained_config(f"hf-hub:org/mine@{COMMIT}", "pretrained")
    assert "\n" not in str(error.value)
    hub |= {"gated": False, "sha": OTHER}
    with pytest.raises(TouchstoneError, match="the revision has moved"):
        pretrained_config(f"hf-hub:org/mine@{COMMIT}", "pretrained")


def test_the_net_sees_the_share_of_the_square_by_the_filter_of_its_weights() -> None:
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8, 1).numpy()
    assert View(8, 4, crop_share=0.5).seen(image, None)[0, :, :, 0].tolist() == image[0, 2:6, 2:6, 0].tolist()
    whole = View(8, 4).seen(image, None)
    assert not torch.equal(whole, View(8, 4, interpolation="bicubic").seen(image, None))
