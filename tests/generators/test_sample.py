"""Sampling added sets: the same bytes whatever else is sampled, after a kill, and in several processes."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tqdm import tqdm

from touchstone.config.schema.generator import Filter, Sample
from touchstone.config.schema.machine import Machine
from touchstone.data.batches import View
from touchstone.errors import TouchstoneError
from touchstone.generators import build
from touchstone.generators import sample as synthesis
from touchstone.generators.base import Generative, Streams, noise
from touchstone.generators.dcgan.config import DcganFit
from touchstone.generators.ddpm.config import DdpmFit, DdpmSample
from touchstone.generators.sample import Sampler, Synthesized, block_file, synthesize

CLASSES = ["b", "a"]


class Dots(Generative):
    """Images of one grey level, drawn from the noise: easy to judge."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Linear(1, 1), ema_decay=0.0)
        self.blocks: list[int] = []

    def sample(self, labels: torch.Tensor, streams: Streams, settings: Sample) -> torch.Tensor:
        self.blocks.append(len(labels))
        return self.pixels(noise(streams, 1)[:, :, None, None].expand(-1, 1, 4, 4) / 3)


class Brightness(torch.nn.Module):
    """A classifier: class 0 is bright, class 1 is dark."""

    view = View(4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        light = (pixels.float().mean((1, 2, 3)) - 127.5) / 10
        return torch.stack([light, -light], 1)


def run(module: Generative, folder: Path, judge: Any = None, devices: int = 1, **changes: Any) -> Synthesized:
    return synthesize(
        module,
        settings=Sample(**({"per_class": 5, "block": 3} | changes)),
        classes=CLASSES,
        name="g",
        num_threads=1,
        machine=Machine(accelerator="cpu", devices=devices),
        scratch=folder,
        judge=judge,
    )


def pixels(made: Synthesized) -> np.ndarray:
    return made.images.images[np.arange(len(made.images))]


def gan() -> Generative:
    torch.manual_seed(0)
    return build("dcgan", DcganFit(num_steps=1, channels=8), num_classes=2, channels=3, image_size=8)


def test_the_set(tmp_path: Path) -> None:
    made = run(gan(), tmp_path)
    assert made.images.images.shape == (10, 8, 8, 3)
    assert made.images.table["label"].tolist() == ["b", "a"] * 5
    assert made.images.table["id"].tolist()[:4] == ["g-b-0", "g-a-0", "g-b-1", "g-a-1"]
    assert set(made.images.table["origin"]) == {"g"}
    assert len({image.tobytes() for image in pixels(made)}) == 10
    assert made.counts.to_dict("list") == {"class": CLASSES, "sampled": [6, 6], "kept": [6, 6]}


def test_a_set_of_16_bits_stays_so_on_disk(tmp_path: Path) -> None:
    module = gan()
    module.bits = 16
    made = run(module, tmp_path)
    assert made.images.images.dtype == np.uint16
    assert pixels(made).dtype == np.uint16
    assert len(np.unique(pixels(made) % 257)) > 100


def test_asking_for_more_extends_the_set(tmp_path: Path) -> None:
    few, many = run(gan(), tmp_path / "a"), run(gan(), tmp_path / "b", per_class=14)
    assert np.array_equal(pixels(few), pixels(many)[:10])
    assert few.images.table.equals(many.images.table.iloc[:10])


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    assert not np.array_equal(pixels(run(gan(), tmp_path / "a")), pixels(run(gan(), tmp_path / "b", seed=1)))


def test_every_block_is_whole_and_those_of_an_earlier_process_are_reused(tmp_path: Path) -> None:
    module = Dots()
    whole = pixels(run(module, tmp_path / "a"))
    assert module.blocks == [3, 3, 3, 3]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    block_file(tmp_path / "b", (1, 0)).unlink()
    (tmp_path / "b/1-0.123.new").write_bytes(b"half of a block")
    again = Dots()
    assert np.array_equal(whole, pixels(run(again, tmp_path / "b")))
    assert again.blocks == [3], "only the one that was missing"


def test_the_filter_keeps_what_the_classifier_is_sure_of(tmp_path: Path) -> None:
    judge = Brightness()
    all_of_them = run(Dots(), tmp_path / "a", per_class=60)
    made = run(Dots(), tmp_path / "b", judge, filter=Filter(min_confidence=0.9))
    light = pixels(made).mean((1, 2, 3))
    assert (light[::2] > 127.5 + 10.9).all()
    assert (light[1::2] < 127.5 - 10.9).all()
    table = all_of_them.images.table.reset_index(drop=True)
    wanted = [i for i in table.index[table["label"] == "b"] if pixels(all_of_them)[i].mean() > 138.48][:5]
    assert made.images.table["id"][::2].tolist() == table["id"][wanted].tolist(), "the first ones, in order"
    assert (made.counts["sampled"] > made.counts["kept"]).all()
    more = run(Dots(), tmp_path / "c", judge, per_class=8, filter=Filter(min_confidence=0.9))
    assert np.array_equal(pixels(made), pixels(more)[:10])


def test_a_filter_that_keeps_too_few_is_named(tmp_path: Path) -> None:
    judge = Brightness()
    with pytest.raises(
        TouchstoneError, match=r"generators.g.sample.filter: of 1[58] samples of class b 1 reach .* 5 are"
    ):
        run(Dots(), tmp_path, judge, filter=Filter(min_confidence=0.999999, max_tries=3))


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first round has one block, sampled in this process with a progress bar; the others are distributed, with the
    noise of their steps."""
    monkeypatch.setattr(synthesis, "tqdm", partial(tqdm, disable=False))
    torch.manual_seed(0)
    fit = DdpmFit(num_steps=1, channels=8, multipliers=(1,), num_res_blocks=1, num_timesteps=50, beta_end=0.2)
    module = build("ddpm", fit, num_classes=2, channels=1, image_size=8)
    settings = DdpmSample(per_class=5, block=3, sampler="ddpm", num_inference_steps=5)
    made = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        sampler = Sampler(module, settings, scratch=folder, num_threads=1, title="g")
        for blocks in ([(0, 0)], [(0, 1), (1, 0), (1, 1)]):
            synthesis._sample(sampler, blocks, Machine(accelerator="cpu", devices=devices))
        made.append(np.concatenate([np.load(block_file(folder, (c, b))) for c in (0, 1) for b in (0, 1)]))
    assert np.array_equal(*made)
