"""A study of five channels of 16 bits, from files to the report and predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.pipeline import TINY
from kit.project import project, run
from touchstone.cli import SOME_FAILED
from touchstone.data.imageset import load

CHANGES = (
    "data.source=folder",
    "data.image_size=16",
    "data.channels=5",
    "data.bits=16",
    "data.white=4095",
    "data.train_size=0",
    "data.test_fraction=0.3",
    "transforms={tilt: {rotate_deg: 10, contrast: 1.2}}",
    "generators={gan: {kind: dcgan,"
    " fit: {num_steps: 12, channels: 4, min_diversity: 0, max_diversity: 999, num_threads: 1},"
    " sample: {per_class: 4, block: 2}},"
    " ddpm: {fit: {num_steps: 12, channels: 8, multipliers: [1, 2],"
    " num_res_blocks: 1, min_diversity: 0, max_diversity: 999, num_threads: 1},"
    " sample: {per_class: 4, block: 2, num_inference_steps: 4}}}",
    "models={lenet: {input_size: 16, lr: 0.005, num_steps: 60, jitter_brightness: 0.1, rotate_deg: 5},"
    " simple: {input_size: 16, lr: 0.002, engine: torch, test_flips: true}}",
    "explain={images: 2, runs: [lenet-real], choose: confident, methods: [saliency, integrated_gradients], steps: 8,"
    " randomised: 1}",
)
CLASSES = ("crop", "forest", "water")


def bands(label: int, seed: int, side: int = 20) -> np.ndarray:
    """A blob whose class lies in the channels that reflect it, uint16 (side, side, 5), up to about 3000 of 4095."""
    rng = np.random.default_rng([label, seed])
    y, x = np.mgrid[:side, :side] / side
    at_y, at_x = rng.uniform(0.3, 0.7, 2)
    blob = np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / 0.05)[..., None]
    height = 600 + 1500 * (np.arange(5) == label + 1) + 900 * (np.arange(5) == 4 - label)
    return np.clip(height * (0.3 + blob) + rng.normal(0, 60, (side, side, 5)), 0, 4095).astype(np.uint16)


def write(to: Path, number: int, *, first: int = 0) -> None:
    """Write images of each class below `to`, in several of TIFF's layouts."""
    tifffile = pytest.importorskip("tifffile")
    for label, name in enumerate(CLASSES):
        (to / name).mkdir(parents=True)
        for seed in range(first, first + number):
            pixels, file = bands(label, seed), to / name / f"{seed:03d}.tif"
            if seed % 2:
                tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
            else:
                tifffile.imwrite(file, np.moveaxis(pixels, 2, 0), photometric="minisblack")  # page by page


@pytest.mark.slow
def test_five_channels_of_16_bits_from_files_to_the_report(tmp_path: Path) -> None:
    write(tmp_path / "images", 16)
    folder = project(tmp_path / "p", *TINY, *CHANGES, f"source.path={tmp_path / 'images'}")
    run("dvc", "repro", cwd=folder)
    for part in ("prepared/train", "prepared/test", "augmented/tilt", "augmented/gan", "augmented/ddpm"):
        pixels = load(folder / "data" / part).images
        assert (pixels.dtype, pixels.shape[1:]) == (np.uint16, (16, 16, 5)), part
        assert len(np.unique(pixels % 257)) > 200, part
    assert load(folder / "data/prepared/train").images.max() > 40000, "4095 is white"
    assert not pd.read_csv(folder / "data/prepared/findings/warnings.csv")["kind"].isin(["dark", "depth"]).any()
    metrics = json.loads((folder / "metrics/metrics.json").read_text())
    tiles = np.load(folder / "data/explained/attributions/lenet-real/tiles.npy")
    assert (tiles.dtype, tiles.shape[:2]) == (np.uint8, (2, 3)), "an image and two maps"
    assert np.ptp(tiles[:, 0]) > 200, "dark images are stretched"
    assert metrics["lenet-real"]["accuracy"] > 0.9, "a class is plain in its channels"
    report = (folder / "metrics/report.md").read_text()
    assert "16 px, 5 channels of 16 bits, resized by squash" in report
    how = "Pictures show{} channels 1, 2 and 3 of 5 as red, green and blue; values from the 1st to the 99th percentile"
    assert how.format(":") in report
    assert how.format("") in (folder / "metrics/report.html").read_text()
    write(tmp_path / "new", 3, first=100)
    (tmp_path / "new/crop/cut.tif").write_bytes((tmp_path / "new/crop/100.tif").read_bytes()[:300])
    arguments = (tmp_path / "new", "-m", "lenet-real", "-o", tmp_path / "out.csv")
    done = run("touchstone", "predict", *arguments, cwd=folder, check=False)
    assert done.returncode == SOME_FAILED, done.stderr
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    good = table[table["error"] == ""]
    assert len(good) == 9
    assert (good["label"] == good["file"].str.extract(re.compile("^([a-z]+)/"))[0]).mean() > 0.8
    assert table.set_index("file")["error"]["crop/cut.tif"]
