"""Bad input as a user gives it: a clear line, exit code 1, nothing half-written, the outputs before it intact."""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from kit.project import project, run

FOLDER = (
    "generators={}",
    "arms={real: {add: []}, repeat: {add: [repeat]}, fixed: {add: [tilt_left]}}",
    "data.source=folder",
    "source.path=images",
    "data.channels=3",
    "data.image_size=8",
    "data.train_size=0",
    "data.test_fraction=0.2",
)


# Each takes seconds, and what it says is tested where it is decided; a few show here that a stage stops with it.
slow = partial(pytest.param, marks=pytest.mark.slow)


def png(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)).save(path)


def images(folder: Path, names: tuple[str, ...] = ("cat", "dog"), count: int = 20) -> Path:
    for k, name in enumerate(names):
        for i in range(count):
            png(folder / name / f"{i}.png", 100 * k + i)
    return folder


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose data were prepared once from a folder."""
    folder = project(tmp_path_factory.mktemp("bad"), *FOLDER)
    images(folder / "images")
    run("dvc", "repro", "prepare", cwd=folder)
    return folder


def contents(folder: Path, *names: str) -> dict[str, str]:
    files = [path for name in names for path in (folder / name).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def fails(
    space: Path,
    *changes: str,
    intact: tuple[str, ...] = ("data/raw", "data/prepared"),
    target: str = "prepare",
) -> str:
    """`dvc repro` of a stage with these params fails and leaves `intact`; returns the line that says why."""
    from touchstone.config import yaml

    before, text = contents(space, *intact), (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(yaml.changed(text, list(changes)))
    done = run("dvc", "repro", target, cwd=space, check=False)
    (space / "params.yaml").write_text(text)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr + done.stdout
    assert contents(space, *intact) == before, "the previous outputs are intact and nothing is half-written"
    return lines[0]


def truncated(folder: Path) -> None:
    path = images(folder) / "cat/broken.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])


def text_as_png(folder: Path) -> None:
    (images(folder) / "cat/notes.png").write_text("no picture")


def bomb(folder: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(images(folder) / "cat/bomb.png")


def empty(folder: Path) -> None:
    folder.mkdir()


def single(folder: Path) -> None:
    png(images(folder) / "fox/1.png", 1)


def no_unlabelled(folder: Path) -> None:
    (images(folder) / "unlabelled").mkdir()


def unsafe_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder, "w") as archive:
        archive.writestr("cat/1.png", b"x")
        archive.writestr("../x.png", b"x")


def tar_with_symlink(folder: Path) -> None:
    with tarfile.open(folder, "w:gz") as archive:
        info = tarfile.TarInfo("cat/1.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info, io.BytesIO())


@pytest.mark.parametrize(
    ("make", "name", "parts"),
    [
        (truncated, "i", ["1 of 41 images cannot be read", "cat/broken.jpg", "data.bad_images: skip"]),
        slow(text_as_png, "i", ["1 of 41 images cannot be read", "cat/notes.png"]),
        slow(bomb, "i", ["1 of 41 images cannot be read", "cat/bomb.png", "pixels"]),
        (empty, "i", ["class"]),
        slow(single, "i", ["fox", "1 image"]),
        slow(no_unlabelled, "i", ["unlabelled", "remove the folder or put images in it"]),
        (unsafe_zip, "i.zip", ["../x.png"]),
        slow(tar_with_symlink, "i.tar.gz", ["cat/1.png", "link"]),
    ],
)
def test_bad_data(space: Path, make: Callable[[Path], None], name: str, parts: list[str]) -> None:
    path = space / make.__name__ / name
    path.parent.mkdir()
    make(path)
    whole = (
        ("data/prepared",) if "cannot be read" in parts[0] else ("data/raw", "data/prepared")
    )  # packed, then decoded
    line = fails(space, f"source.path={path.relative_to(space)}", intact=whole)
    assert [part for part in parts if part not in line] == [], line


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("train.lrr=0.1", ["train.lrr", "did you mean lr?"]),
        slow("models.simple.lr=-1", ["models.simple.lr", "a number above 0, or auto"]),
        ("models.simple.net=simpel", ["no src/touchstone/models/nets/simpel.py", "did you mean simple?"]),
        slow("models.simple.input_size=8", ["simple: got input_size 8 px, at least 16 px"]),
        slow("models.simple.options={width: 3}", ["simple: unknown option 'width'"]),
        slow("data.source=cifar", ["data.source", "did you mean cifar10?"]),
        slow("data.columns={label: kind}", ["data.columns: the source folder has none to name; take it out"]),
        slow("models.simple.phases=[]", ["models.simple.phases: got (), ", "at least 1 item"]),
        ("models.simple.trainable=[head]", ["trainable head", "and no weights", "set weights to imagenet or a file"]),
        slow(
            "models.simple={weights: random, phases: [{epochs: 1, trainable: [layer4]}], input_size: 16}",
            ["models.simple: trainable: got 'layer4', expected one of all, head, 0, 1"],
        ),
        slow(
            "models.simple={input_size: 16, test_input_size: 32}",
            ["simple is built for input_size 16 px and cannot take 32"],
        ),
        slow("models.simple={net: resnet, input_size: 16}", ["resnet: got input_size 16 px, at least 32 px"]),
        slow(
            "models.simple={net: resnet, options: {depth: 20}, input_size: 32}",
            ["depth: got 20, expected one of 18, 34"],
        ),
    ],
)
def test_bad_params_stop_before_any_output_is_touched(space: Path, change: str, parts: list[str]) -> None:
    line = fails(space, change)
    assert [part for part in parts if part not in line] == [], line


def cut(folder: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(1000)}, folder / "w.safetensors")
    (folder / "w.safetensors").write_bytes((folder / "w.safetensors").read_bytes()[:100])


def another(folder: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(3)}, folder / "w.safetensors")


@pytest.mark.parametrize(
    ("make", "more", "parts"),
    [
        (cut, "", ["data/weights/w.safetensors: no readable weights", "put the whole file there"]),
        pytest.param(
            *(another, f", weights_sha256: {'f' * 64}", ["got sha256 ", f"expected weights_sha256 {'f' * 64}"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_bad_weights(space: Path, make: Callable[[Path], None], more: str, parts: list[str]) -> None:
    run("dvc", "repro", "pretrained", cwd=space)
    make(space / "data/weights")
    model = f"{{net: resnet, input_size: 32, weights: data/weights/w.safetensors{more}}}"
    line = fails(space, f"models.simple={model}", intact=("data/pretrained",), target="pretrained")
    (space / "data/weights/w.safetensors").unlink(missing_ok=True)
    assert line.startswith("error: models.simple: ")
    assert [part for part in parts if part not in line] == [], line


def test_a_missing_path_is_named(space: Path) -> None:
    assert "source.path: imagse: no such file or folder" in fails(space, "source.path=imagse", intact=("data",))


@pytest.mark.slow
def test_no_network_and_a_wrong_checksum(space: Path, tmp_path: Path) -> None:
    cifar = ("data.source=cifar10", "data.image_size=32", f"source.mirror={tmp_path}")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"not the archive")
    line = fails(space, *cifar)
    assert "cifar-10-python.tar.gz" in line
    assert "c58f30108f718f92721af3b95e74349a" in line
    line = fails(space, *cifar[:2], "source.mirror=http://127.0.0.1:9/nothing")
    assert "source.mirror" in line
    assert "127.0.0.1:9" in line


@pytest.mark.slow
def test_two_files_of_one_name_and_names_beyond_ascii_are_fine(space: Path) -> None:
    folder = images(space / "ok", ("Käse", "草"))
    (folder / "Käse/0.png").rename(folder / "Käse/ünï cödé.png")
    text = (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(text.replace("path: images", "path: ok"))
    run("dvc", "repro", "prepare", cwd=space)
    assert "Käse/ünï cödé.png" in (space / "data/prepared/files.csv").read_text()
    (space / "params.yaml").write_text(text)
    run("dvc", "repro", "prepare", cwd=space)


def test_one_more_image_is_enough_to_run_download_again(space: Path) -> None:
    run("dvc", "repro", "prepare", cwd=space)  # whatever an earlier test has left
    png(space / "images/cat/new.png", 999)
    ran = run("dvc", "repro", "prepare", cwd=space).stdout
    assert "Running stage 'download'" in ran
    assert "Running stage 'prepare'" in ran
    assert "cat/new.png" in (space / "data/prepared/files.csv").read_text()


def test_skip_leaves_bad_images_out_and_lists_them(space: Path) -> None:
    text = (space / "params.yaml").read_text()
    (space / "images/cat/bad.png").write_text("no picture")
    (space / "params.yaml").write_text(text.replace("bad_images: fail", "bad_images: skip"))
    done = run("dvc", "repro", "prepare", cwd=space)
    assert "cat/bad.png" in done.stdout
    assert "cat/bad.png" in (space / "data/prepared/findings/left_out.csv").read_text()
    (space / "images/cat/bad.png").unlink()
    (space / "params.yaml").write_text(text)


def test_predict_says_what_is_missing(space: Path, tmp_path: Path) -> None:
    def line(*arguments: str | Path) -> str:
        done = run("touchstone", "predict", *arguments, "-o", tmp_path / "out.csv", cwd=space, check=False)
        assert done.returncode == 1
        assert not os.listdir(tmp_path) or os.listdir(tmp_path) == ["empty"]
        return done.stderr

    (tmp_path / "empty").mkdir()
    assert "data/runs/lenet-real: no readable run" in line(tmp_path / "empty", "-m", "lenet-real")
    assert "did you mean vote?" in line(tmp_path / "empty", "-m", "vot")
