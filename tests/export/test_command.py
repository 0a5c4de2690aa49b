"""`touchstone export` and `touchstone predict` on its files, as a user runs them, and what they refuse in one line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from kit.exported import House, house
from touchstone.cli import main
from touchstone.export import libraries

LIBRARIES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino", "nncf"), "torchscript": ()}
FORMATS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not all(map(libraries.is_installed, needed)), reason=f"the extra {name} is not installed"
        ),
    )
    for name, needed in LIBRARIES.items()
]
FILES = {"onnx": "model.onnx", "openvino": "model.xml", "torchscript": "model.pt"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    made = house(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(1)
    for number in range(5):
        pixels = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((12, 9, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    monkeypatch.chdir(tmp_path)
    return made


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command fails."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    return said[0]


def predicted(name: str, *arguments: str) -> pd.DataFrame:
    main(["predict", "photos", "-o", f"{name}.csv", *arguments])
    return pd.read_csv(f"{name}.csv")


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_predicts_what_the_run_predicts(project: House, form: str) -> None:
    main(["export", "vote", "--to", form, "--license", "mit"])
    folder = Path("exports/vote")
    found = json.loads((folder / "checks.json").read_text())
    assert found["float32"]["agreement"] == 1.0
    assert found["float32"]["max_difference"] < 1e-4
    assert found["float32"]["change"] == 0.0
    assert found["resizing"]["agreement"] > 0.9
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["license"] == "mit"
    accuracy = card["model-index"][0]["results"][0]["metrics"][0]
    assert accuracy["type"] == "accuracy"
    assert accuracy["value"] == round(found["float32"]["accuracy"], 5)
    assert "| ant | 8 | 6 | 14 |" in text
    trained = predicted("trained", "--model", "vote")
    exported = predicted("exported", "--model", str(folder / FILES[form]))
    pd.testing.assert_frame_equal(trained, exported, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_several_labels_by_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    house(tmp_path, multi_label=True, mode="shortest_edge", crop_px=16)
    pixels = np.random.default_rng(1).integers(0, 256, (30, 47, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/0.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "photos/1.png")
    monkeypatch.chdir(tmp_path)
    main(["export", "vote", "--to", form])
    found = json.loads(Path("exports/vote/checks.json").read_text())["float32"]
    assert found["agreement"] == 1.0
    assert found["map_before"] == pytest.approx(found["map"])
    card = Path("exports/vote/README.md").read_text()
    assert "type: map" in card
    assert "| class | test images | average precision % | F1 % |" in card
    assert "The threshold of each label is ant 0.50, bee 0.50, cow 0.50." in card
    trained = predicted("trained", "--model", "vote")
    pd.testing.assert_frame_equal(trained, predicted("file", "--model", f"exports/vote/{FILES[form]}"), atol=2e-4)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_a_runtime_exports_on_demand_and_once(project: House, form: str) -> None:
    if not all(map(libraries.is_installed, LIBRARIES[form])):
        pytest.skip(f"the extra {form} is not installed")
    trained = predicted("trained", "--model", "lenet-real")
    for _ in range(2):
        pd.testing.assert_frame_equal(trained, predicted("fast", "--model", "lenet-real", "--runtime", form), atol=2e-4)
        files = {path: path.stat().st_mtime_ns for path in Path(".touchstone/exports").rglob("model.*")}
    assert files == {path: path.stat().st_mtime_ns for path in Path(".touchstone/exports").rglob("model.*")}
    assert len({path.parent for path in files}) == 1


@pytest.mark.parametrize("images", [pytest.param("any", marks=pytest.mark.slow), "prepared"])
@pytest.mark.parametrize("form", FORMATS[:2])
def test_int8_is_calibrated_on_training_images_and_judged_on_test_images(
    project: House, form: str, images: str
) -> None:
    main(["export", "lenet-real", "--to", form, "--int8", "--images", images])
    found = json.loads(Path("exports/lenet-real/checks.json").read_text())
    assert found["int8"]["calibration_images"] == 24
    assert found["int8"]["images"] == 40
    assert found["int8"]["bytes"] < found["float32"]["bytes"]
    assert found["int8"]["change_low"] <= found["int8"]["change"] <= found["int8"]["change_high"]
    assert found["int8"]["agreement"] > 0.8
    name = FILES[form].replace("model", "model.int8")
    assert list(predicted("small", "--model", f"exports/lenet-real/{name}")["file"]) == [f"{i}.png" for i in range(5)]


def test_an_unknown_run_is_one_line(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert error(capsys, "export", "lenet-reel", "--to", "torchscript") == (
        "error: RUN: got 'lenet-reel', expected one of vote, mean, weighted, lenet-real, lenet_bn-real; did you mean "
        "lenet-real?"
    )


def test_int8_without_training_images_is_one_line(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    (project.data / "prepared/train/images/0000.npy").unlink()
    said = error(capsys, "export", "mean", "--to", "onnx", "--int8")
    assert said.startswith("error: --int8: needs training images to calibrate on: data/prepared/train: no readable")
    assert not Path("exports/mean").exists()


def test_int8_of_a_format_without_it_is_one_line(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    said = error(capsys, "export", "mean", "--to", "torchscript", "--int8")
    assert said == ("error: --int8: got --to torchscript, which has no 8-bit form here; use --to onnx or openvino")
    assert not Path("exports/mean").exists()


def test_a_missing_extra_is_one_line(
    project: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    said = error(capsys, "export", "mean", "--to", "onnx")
    assert said == "error: onnx is not installed; run `pip install 'touchstone[onnx]'`"


@pytest.mark.skipif(not libraries.is_installed("onnxscript"), reason="the extra onnx is not installed")
def test_an_operation_that_onnx_cannot_hold_is_one_line(
    project: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from touchstone.export import graph

    monkeypatch.setattr(graph.torch, "softmax", lambda x, dim: torch.special.bessel_j0(x))
    said = error(capsys, "export", "lenet-real", "--to", "onnx")
    assert said.startswith("error: lenet-real: ONNX cannot hold an operation of this net (")
    assert "bessel_j0" in said
    assert not Path("exports/lenet-real").exists()


def test_other_files_and_runtimes_are_one_line(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    weights = "data/runs/lenet-real/seed-0.safetensors"
    assert error(capsys, "predict", "photos", "--model", weights) == (
        f"error: {weights}: got .safetensors, expected a file of `touchstone export`: .onnx, .xml, .pt"
    )
    assert "no such file" in error(capsys, "predict", "photos", "--model", "nowhere.onnx")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), "other.pt")
    assert "says nothing of its labels and resizing" in error(capsys, "predict", "photos", "--model", "other.pt")
    Path("damaged.pt").write_bytes(b"PK")
    assert "no readable TorchScript file" in error(capsys, "predict", "photos", "--model", "damaged.pt")
    main(["export", "mean", "--to", "torchscript", "-o", "mean"])
    capsys.readouterr()
    assert error(capsys, "predict", "photos", "--model", "mean/model.pt", "--runtime", "openvino") == (
        "error: --runtime openvino: mean/model.pt is torchscript, which --runtime torch runs; leave --runtime out, or "
        "export with --to openvino"
    )


def test_a_library_that_does_not_load_on_a_platform_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ImportError("libopenvino.so: wrong ELF class")

    monkeypatch.setattr(libraries.importlib, "import_module", fails)
    with pytest.raises(libraries.TouchstoneError, match=r"does not load on this platform \(libopenvino.so: wrong ELF"):
        libraries.library("openvino")


def test_a_folder_of_other_files_is_not_replaced(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    said = error(capsys, "export", "mean", "--to", "torchscript", "-o", "photos")
    assert said == "error: photos: holds something other than an export; give a new folder with -o"
    assert len(list(Path("photos").iterdir())) == 5


def test_an_export_that_disagrees_is_refused(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    file = project.data / "probs/lenet-real/test.npy"
    np.save(file, np.roll(np.load(file), 1, 2))
    said = error(capsys, "export", "lenet-real", "--to", "torchscript")
    assert "the exported file agrees with our predictions on 0.0% of 40 test images, expected at least 99%" in said
    assert not Path("exports").exists() or not list(Path("exports").iterdir())


def test_the_arithmetic_is_portable_again_once_a_runtime_has_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHSTONE_ARITHMETIC", "portable")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with libraries.whole_processor():
        assert "ONEDNN_MAX_CPU_ISA" not in libraries.os.environ
    assert libraries.os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
