"""`touchstone export` and `touchstone predict` on its files, as a user runs them, and what they refuse in one line."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from kit.exported import House, house
from kit.params import load
from touchstone.cli import main
from touchstone.export import libraries, predict
from touchstone.export.card import started_from
from touchstone.export.command import cached
from touchstone.export.formats import format_of
from touchstone.studies.predict_folder import load_model

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
    assert said == (
        "error: photos: holds 0.png and 4 more, which --to torchscript does not write; give another folder with -o"
    )
    Path("file").write_text("")
    assert error(capsys, "export", "mean", "--to", "torchscript", "-o", "file").startswith("error: file: expected a f")
    assert error(capsys, "export", "mean", "--to", "torchscript", "-o", "file/x") == "error: file: File exists"
    assert len(list(Path("photos").iterdir())) == 5


def test_an_export_replaces_one_of_its_format_and_nothing_else(
    project: House, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["export", "mean", "--to", "torchscript"]
    main(again)
    main(again)
    capsys.readouterr()
    folder = Path("exports/mean")
    assert error(capsys, "export", "mean", "--to", "onnx") == (
        "error: exports/mean: holds model.pt, which --to onnx does not write; give another folder with -o"
    )
    (folder / "LICENSE").write_text("mine")
    assert error(capsys, *again).startswith("error: exports/mean: holds LICENSE, which --to torchscript does not write")
    (folder / "LICENSE").unlink()
    card = folder / "README.md"
    card.write_text(card.read_text() + "Contact: me\n")
    assert error(capsys, *again).startswith("error: exports/mean/README.md: was edited, and a new export would replace")
    assert card.read_text().endswith("Contact: me\n")
    card.unlink()
    main(again)


@pytest.mark.parametrize("split", ["val", "test"])
def test_predictions_of_other_images_are_one_line(
    project: House, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    file = project.data / f"probs/lenet-real/{split}.npy"
    stack = np.load(file)
    np.save(file, stack[:, 1:])
    said = error(capsys, "export", "lenet-real", "--to", "torchscript")
    number = stack.shape[1]
    assert said == (
        f"error: data/probs/lenet-real/{split}.npy: has predictions of {number - 1} images and 3 classes, and "
        f"data/prepared has {number} and 3; run `dvc repro`"
    )


def test_a_damaged_table_of_scores_is_one_line(project: House, capsys: pytest.CaptureFixture[str]) -> None:
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/metrics.json").write_text("<<<<<<< HEAD\n")
    for command in (["export", "mean", "--to", "torchscript"], ["predict", "photos"]):
        assert error(capsys, *command).startswith("error: metrics/metrics.json: not readable as JSON")


def test_without_validation_scores_the_first_is_taken_and_said_to_be(
    project: House, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("metrics").mkdir(exist_ok=True)
    row = {"accuracy": 0.5}
    Path("metrics/metrics.json").write_text(json.dumps({"lenet-real": row, "mean": row}))
    main(["predict", "photos"])
    said = capsys.readouterr().out
    assert "5 images by mean, the first, as none has validation scores; --model chooses; 0 not readable" in said


def test_a_file_made_on_demand_is_made_anew_where_anything_that_decides_differs(project: House) -> None:
    form = format_of("torchscript")

    def made() -> Path:
        settings = project.settings
        model = load_model("vote", params=settings, data=project.data)
        return cached("vote", model, form, settings=settings, data=project.data, folder=Path("made"))

    files = [made(), made()]
    card = project.data / "runs/lenet-real/model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"test_flips": True}))
    files.append(made())
    vote = project.settings.ensembles["vote"]
    changed = project.settings.ensembles | {"vote": vote.model_copy(update={"prefer": "lenet-real"})}
    project = replace(project, settings=project.settings.model_copy(update={"ensembles": changed}))
    files.append(made())
    assert len(set(files)) == 3
    assert files[0] == files[1]


def test_a_runtime_that_cannot_predict_leaves_it_to_torch_under_auto_alone(
    project: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = project.data / "runs/lenet-real/model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"test_crops": 5}))
    monkeypatch.setattr(predict, "fastest_installed", lambda: "onnx")
    trained = predicted("trained", "--model", "lenet-real")
    capsys.readouterr()
    pd.testing.assert_frame_equal(trained, predicted("auto", "--model", "lenet-real", "--runtime", "auto"))
    warning = "warning: --runtime auto: torch predicts, as onnx cannot: RUN lenet-real: its predictions average several"
    assert capsys.readouterr().err.startswith(warning)
    assert "average several crops" in error(capsys, "predict", "photos", "--model", "lenet-real", "--runtime", "onnx")


def test_predictions_go_through_a_link_or_a_pipe(project: House) -> None:
    Path("link.csv").symlink_to("there.csv")
    main(["predict", "photos", "-o", "link.csv", "--model", "mean"])
    assert Path("link.csv").is_symlink()
    os.mkfifo("pipe")
    with ThreadPoolExecutor(1) as readers:
        read = readers.submit(Path("pipe").read_text)
        main(["predict", "photos", "-o", "pipe", "--model", "mean"])
        assert read.result() == Path("there.csv").read_text()


@pytest.mark.parametrize("form", FORMATS)
def test_the_card_shows_code_that_runs_for_every_input(
    project: House, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["export", "mean", "--to", form, "--images", "prepared"])
    card = Path("exports/mean/README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    monkeypatch.chdir("exports/mean")
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert names["probabilities"].shape == (1, 3)
    assert list(names["labels"]) == ["ant", "bee", "cow"]
    assert (
        "- `images_2`: the whole square, or its centre where sides differ, scaled to 16 px by the filter area" in card
    )


def test_the_card_names_all_that_a_run_started_from(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "data.channels=3",
        "models={lenet: {}, resnet: {weights: imagenet}}",
        "arms={real: {add: []}}",
        "ensembles={}",
        "finetunes={tuned: {init_from: resnet-real, net: resnet}, more: {init_from: tuned-real, net: resnet}}",
        "explain.runs=[lenet-real]",
    )
    assert started_from("lenet", settings) == "random weights"
    assert started_from("more", settings) == "tuned-real, from resnet-real, from imagenet"


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
