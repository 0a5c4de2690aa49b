"""Initial weights: read safely, plain errors where they do not fit, ImageNet's file by its hash."""

import hashlib
import pickle
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import safetensors.torch
import torch
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from touchstone.config.load import resolve_model
from touchstone.config.pretrained_config import pretrained_config
from touchstone.config.schema.model import Model
from touchstone.errors import TouchstoneError
from touchstone.models.initial_weights import EVERY_SEED, InitialWeights, load_initial_weights
from touchstone.models.nets import build
from touchstone.models.pretrained import read_tensors, write_body


def model(**changes) -> Model:
    return resolve_model({"net": "resnet", "input_size": 32, "num_steps": 1} | changes)


def resnet(classes: int = 3, **options) -> torch.nn.Module:
    return build("resnet", num_classes=classes, in_channels=3, input_size=32, options=options)


def body_of(file: Path | str, *, folder: Path | None = None, mirror: str = "", **changes) -> dict[str, torch.Tensor]:
    folder = folder or Path(file).parent / "out"
    folder.mkdir(exist_ok=True)
    where = {"old": folder / "old.json", "mirror": mirror, "downloads": folder / "downloads"}
    write_body(folder / "body.safetensors", model(weights=str(file), **changes), channels=3, **where)
    return safetensors.torch.load_file(folder / "body.safetensors")


def load_body(net: torch.nn.Module, body: dict[str, torch.Tensor]) -> None:
    InitialWeights("file", tensors={EVERY_SEED: body}).load_into(net, seed=0, net_name="resnet")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A file of weights with 1,000 classes, as torchvision's are."""
    torch.manual_seed(1)
    safetensors.torch.save_file(resnet(1000).state_dict(), tmp_path / "theirs.safetensors")
    return tmp_path / "theirs.safetensors"


def test_everything_but_the_head_is_taken(theirs: Path) -> None:
    body, whole = body_of(theirs), safetensors.torch.load_file(theirs)
    assert set(whole) - set(body) == {"fc.weight", "fc.bias"}
    torch.manual_seed(2)
    net = resnet()
    head = net.fc.weight.clone()
    load_body(net, body)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in body.items())
    assert torch.equal(net.fc.weight, head)


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: {"state_dict": d, "epoch": torch.tensor(3)}, lambda d: {"model": d}]
)
def test_pth_files_are_read_as_tensors(theirs: Path, wrap) -> None:
    tensors = safetensors.torch.load_file(theirs)
    torch.save(wrap(tensors), theirs.with_suffix(".pth"))
    assert body_of(theirs.with_suffix(".pth")).keys() == body_of(theirs).keys()


def test_old_batch_norms_lack_a_counter(theirs: Path, tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(theirs)
    old = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    safetensors.torch.save_file(old, tmp_path / "old.safetensors")
    body = body_of(tmp_path / "old.safetensors")
    assert body["bn1.num_batches_tracked"] == 0
    load_body(resnet(), body)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_truncated_weights_are_one_line(theirs: Path, suffix: str) -> None:
    file = theirs.with_suffix(suffix)
    if suffix != ".safetensors":
        torch.save(safetensors.torch.load_file(theirs), file)
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(
        TouchstoneError, match=rf"{file.name}: no readable weights \(.+\); put the whole file there"
    ) as got:
        body_of(file)
    assert "\n" not in str(got.value)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.pth").write_bytes(pickle.dumps({"fc.weight": Evil()}, protocol=2))
    torch.save({"fc.weight": Evil()}, "evil.pt")
    for name in ("evil.pth", "evil.pt"):
        with pytest.raises(TouchstoneError, match="holds more than tensors, which is never loaded"):
            read_tensors(Path(name))
    assert not Path("executed").exists()


def test_other_contents_and_suffixes(tmp_path: Path) -> None:
    torch.save({"a": 3}, tmp_path / "number.pth")
    with pytest.raises(TouchstoneError, match="expected a state dict"):
        read_tensors(tmp_path / "number.pth")
    torch.save({3: torch.ones(2)}, tmp_path / "number.pth")
    with pytest.raises(TouchstoneError, match="expected a state dict"):
        read_tensors(tmp_path / "number.pth")
    for page in ("access denied", "Rate limit exceeded", "<html>", ""):
        (tmp_path / "page.pth").write_text(page)
        with pytest.raises(TouchstoneError, match=r"page\.pth: (no readable weights|damaged)"):
            read_tensors(tmp_path / "page.pth")
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(TouchstoneError, match=r"got \.bin, expected \.safetensors, \.pth or \.pt"):
        read_tensors(tmp_path / "weights.bin")
    with pytest.raises(TouchstoneError, match="no such file; put the weights there"):
        body_of(tmp_path / "nothing.pth")


def test_weights_of_another_architecture_say_what_differs(theirs: Path) -> None:
    with pytest.raises(
        TouchstoneError, match=r"the weights do not fit mobilenet_v2 .*: \d+ missing \(features.*\d+ unknown \(bn1"
    ):
        body_of(theirs, net="mobilenet_v2")
    with pytest.raises(
        TouchstoneError, match=r"of another shape \(layer1\.0\.conv1\.weight \(64, 64, 3, 3\), not \(64, 64, 1, 1\)"
    ):
        body_of(theirs, options={"depth": 50})


def test_a_hash_that_is_asked_for_is_checked(theirs: Path) -> None:
    right = hashlib.sha256(theirs.read_bytes()).hexdigest()
    assert body_of(theirs, weights_sha256=right)
    with pytest.raises(TouchstoneError, match=rf"got sha256 {right}, expected weights_sha256 {'0' * 64}"):
        body_of(theirs, weights_sha256="0" * 64)


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server that has torchvision's file, under a name with the digits of its hash."""
    folder = tmp_path / "served"
    folder.mkdir()
    torch.manual_seed(3)
    torch.save(resnet(1000).state_dict(), folder / "new.pth")
    digits = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    file = (folder / "new.pth").rename(folder / f"resnet18-{digits}.pth")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    weights = type("Weights", (), {"url": f"http://127.0.0.1:{server.server_port}/{file.name}"})
    monkeypatch.setattr("torchvision.models.get_weight", {"ResNet18_Weights.IMAGENET1K_V1": weights}.__getitem__)
    yield file
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("from_mirror", [False, True])
def test_imagenets_weights_come_from_their_address_or_a_mirror(
    official: Path, tmp_path: Path, from_mirror: bool
) -> None:
    body = body_of("imagenet", folder=tmp_path / "out", mirror=str(official.parent) if from_mirror else "")
    assert len(body) == 120
    assert (tmp_path / "out/downloads" / official.name).is_file()


def test_imagenets_weights_of_an_earlier_run_are_not_fetched_again(official: Path, tmp_path: Path) -> None:
    body = body_of("imagenet", folder=tmp_path / "out")
    shutil.rmtree(tmp_path / "out/downloads")
    official.unlink()
    (tmp_path / "out/body.safetensors").rename(tmp_path / "out/old.safetensors")
    sha256 = hashlib.sha256((tmp_path / "out/old.safetensors").read_bytes()).hexdigest()
    source = "ResNet18_Weights.IMAGENET1K_V1"
    InitialWeights("imagenet", source, sha256={EVERY_SEED: sha256}).write(tmp_path / "out/old.json")
    again = body_of("imagenet", folder=tmp_path / "out")
    assert all(torch.equal(value, body[name]) for name, value in again.items())
    with pytest.raises(TouchstoneError, match="HTTP 404"):
        body_of("imagenet", folder=tmp_path / "out", weights_sha256="0" * 64)
    (tmp_path / "out/old.safetensors").write_bytes(b"damaged")
    with pytest.raises(TouchstoneError, match="HTTP 404"):
        body_of("imagenet", folder=tmp_path / "out")


def test_imagenets_weights_of_another_hash_are_refused(official: Path, tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=rf"expected weights_sha256 {'0' * 64}"):
        body_of("imagenet", folder=tmp_path / "out", weights_sha256="0" * 64)
    shutil.rmtree(tmp_path / "out")
    official.write_bytes(official.read_bytes() + b" ")
    with pytest.raises(
        TouchstoneError, match=r"got sha256 [0-9a-f]{64}, expected [0-9a-f]{8}; the file is damaged or another"
    ):
        body_of("imagenet", folder=tmp_path / "out")
    assert not list((tmp_path / "out/downloads").iterdir())


@pytest.fixture
def stems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server that has both versions of MobileNetV2's weights; the first tensor of each."""
    folder, found = tmp_path / "served", {}
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    for seed, version in enumerate(MobileNet_V2_Weights):
        torch.manual_seed(seed)
        theirs = mobilenet_v2().state_dict()
        torch.save(theirs, folder / "new.pth")
        digits = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
        file = (folder / "new.pth").rename(folder / f"mobilenet_v2-{digits}.pth")
        monkeypatch.setattr(version.value, "url", f"http://127.0.0.1:{server.server_port}/{file.name}")
        found[version.name] = theirs["features.0.0.weight"]
    pretrained_config.cache_clear()
    yield found
    pretrained_config.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("net", "usual"), [("mobilenet_v2", "IMAGENET1K_V1"), ("torchvision/mobilenet_v2", "IMAGENET1K_V2")]
)
def test_the_version_that_is_chosen_is_fetched_and_named(
    net: str, usual: str, stems: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Another version than that of an earlier run is fetched, too, from the address or a mirror."""
    old, file = tmp_path / "old.json", tmp_path / "old.safetensors"
    where = {"channels": 3, "old": old, "downloads": tmp_path / "downloads"}
    for weights, mirror in (("IMAGENET1K_V2", ""), ("IMAGENET1K_V1", str(tmp_path / "served")), ("imagenet", "")):
        version = usual if weights == "imagenet" else weights
        origin = write_body(file, model(net=net, weights=weights), mirror=mirror, **where)
        assert origin.source == f"MobileNet_V2_Weights.{version}"
        assert torch.equal(safetensors.torch.load_file(file)["features.0.0.weight"], stems[version])
        sha256 = {EVERY_SEED: hashlib.sha256(file.read_bytes()).hexdigest()}
        InitialWeights(weights, origin.source, file_sha256=origin.file_sha256, sha256=sha256).write(old)


def test_the_normalisation_follows_the_weights() -> None:
    assert InitialWeights.of_model(model(), channels=3).mean is None
    assert InitialWeights.of_model(model(weights="random"), channels=3).mean is None
    with_weights = InitialWeights.of_model(model(weights="imagenet"), channels=3)
    assert with_weights.mean == [123.675, 116.28, 103.53]
    assert with_weights.std == [58.395, 57.12, 57.375]
    assert InitialWeights.of_model(model(weights="imagenet", normalisation="data"), channels=3).mean is None
    assert InitialWeights.of_model(model(normalisation="imagenet"), channels=3).mean == with_weights.mean
    with pytest.raises(TouchstoneError, match=r"got data\.channels 1; set 3, or normalisation: data"):
        InitialWeights.of_model(model(weights="imagenet"), channels=1)


def test_a_note_and_its_tensors_belong_together(tmp_path: Path) -> None:
    note, tensors = tmp_path / "m.json", {"a": torch.ones(3)}
    InitialWeights("none").write(note)
    assert load_initial_weights(note) == InitialWeights("none")
    safetensors.torch.save_file(tensors, tmp_path / "m.safetensors")
    sha256 = hashlib.sha256((tmp_path / "m.safetensors").read_bytes()).hexdigest()
    InitialWeights("imagenet", sha256={EVERY_SEED: sha256}).write(note)
    assert torch.equal(load_initial_weights(note).tensors[EVERY_SEED]["a"], tensors["a"])
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "m.safetensors")
    with pytest.raises(TouchstoneError, match="not the weights that"):
        load_initial_weights(note)
    with pytest.raises(TouchstoneError, match="no readable weights"):
        load_initial_weights(tmp_path / "nothing.json")


def test_real_imagenet_weights_compute_what_torchvision_computes(test_data: Path) -> None:
    """Strictly under torchvision's names, in torchvision's net and in ours."""
    file = test_data / "pretrained/mobilenet_v2-imagenet.safetensors"
    theirs = mobilenet_v2()
    theirs.load_state_dict(safetensors.torch.load_file(file), strict=True)
    ours = build("mobilenet_v2", num_classes=1000, in_channels=3, input_size=64, options={})
    load_body(ours, body_of(file, net="mobilenet_v2"))
    ours.classifier.load_state_dict(theirs.classifier.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), theirs.eval()(x))
