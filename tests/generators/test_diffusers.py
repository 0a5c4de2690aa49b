"""Pretrained pipelines as generators: sampled like diffusers does it, adapted, killed and resumed."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit import pretrained
from kit.images import image_set
from kit.two_devices import equal, on_two
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.generators import build
from touchstone.generators import sample as synthesis
from touchstone.generators.diffusers.config import DiffusersFit, DiffusersSample
from touchstone.generators.diffusers.files import pack
from touchstone.generators.diffusers.net import Pretrained
from touchstone.generators.files import GeneratorMetadata, load_generator, save_generator
from touchstone.generators.fit import FitCallback, Fitted, fit
from touchstone.generators.sample import Sampler, Synthesized, block_file, synthesize
from touchstone.generators.sources import Sources
from touchstone.seeds import generator

CLASSES = ["zero", "one"]
IDS = {"zero": 3, "one": 4}
NUMBERED = {"classes": IDS, "pixels": {}, "text": {}}
IMAGES = image_set([*CLASSES] * 6, side=8, channels=1)
MAKERS: dict[str, Callable[[Path], Path]] = {
    "pixels": pretrained.unconditional,
    "classes": pretrained.class_conditional,
    "text": pretrained.text,
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each kind of pipeline, packed as the stage does it."""
    pytest.importorskip("transformers", reason="the extra diffusers is not installed")
    pytest.importorskip("peft", reason="the extra diffusers is not installed")
    root, folders = tmp_path_factory.mktemp("pipelines"), {}
    for name, make in MAKERS.items():
        folders[name] = root / f"{name}-packed"
        folders[name].mkdir()
        none = root / "none"
        pack(name, str(make(root / name)), has_labels=True, to=folders[name], old=none, downloads=none)
    return folders


def make(
    packed: dict[str, Path], kind: str, *, channels: int = 1, image_size: int = 8, seed: int = 0, **settings: Any
) -> Pretrained:
    torch.manual_seed(seed)
    fit_of = DiffusersFit(**{"class_ids": NUMBERED[kind]} | settings)
    module = build(
        "diffusers",
        fit_of,
        num_classes=2,
        channels=channels,
        image_size=image_size,
        pipeline=packed[kind],
        classes=CLASSES,
        name="g",
    )
    assert isinstance(module, Pretrained)
    return module.eval()


def settings_of(**changes: Any) -> DiffusersSample:
    return DiffusersSample(**{"per_class": 3, "block": 2, "num_inference_steps": 4} | changes)


def draw(module: Pretrained, labels: list[int], *, first: int = 0, **changes: Any) -> torch.Tensor:
    streams = [generator(0, "t", first + i) for i in range(len(labels))]
    settings = settings_of(**changes)
    if settings.strength:
        sources = np.full((len(labels), module.image_size, module.image_size, module.channels), 200, np.uint8)
        return module.sample_from(sources, torch.tensor(labels), streams, settings)
    return module.sample(torch.tensor(labels), streams, settings)


def test_a_text_pipeline_is_sampled_as_diffusers_does_it(packed: dict[str, Path]) -> None:
    """StableDiffusionPipeline's own call, given our noise, prompts and scale."""
    from diffusers import StableDiffusionPipeline

    module = make(packed, "text", channels=3, image_size=16)
    own = StableDiffusionPipeline.from_pretrained(packed["text"], safety_checker=None, feature_extractor=None)
    own.set_progress_bar_config(disable=True)
    noise = np.stack([generator(0, "t", i).standard_normal((4, 8, 8), np.float32) for i in range(2)])
    there = own(
        ["a photo of a zero", "a photo of a one"],
        height=16,
        width=16,
        latents=torch.from_numpy(noise),
        num_inference_steps=4,
        guidance_scale=7.5,
        output_type="np",
    ).images
    here = draw(module, [0, 1]).numpy()
    assert np.abs(here - there * 255.0).max() < 0.51, "7.5 is the usual scale"


def test_a_class_pipeline_is_sampled_as_diffusers_does_it(packed: dict[str, Path], monkeypatch: Any) -> None:
    from diffusers import DiTPipeline
    from diffusers.pipelines.dit import pipeline_dit

    module = make(packed, "classes", channels=3, image_size=16)
    own = DiTPipeline.from_pretrained(packed["classes"])
    own.set_progress_bar_config(disable=True)
    noise = np.stack([generator(0, "t", i).standard_normal((4, 8, 8), np.float32) for i in range(2)])
    monkeypatch.setattr(pipeline_dit, "randn_tensor", lambda *_, **__: torch.from_numpy(noise))
    none = own.transformer.config.num_embeds_ada_norm
    forward = own.transformer.forward

    def with_null(*args: Any, class_labels: torch.Tensor, **more: Any) -> Any:  # the pipeline's is ImageNet's 1000
        return forward(*args, class_labels=class_labels.clamp(max=none), **more)

    monkeypatch.setattr(own.transformer, "forward", with_null)
    there = own([IDS["zero"], IDS["one"]], num_inference_steps=4, guidance_scale=4.0, output_type="np").images
    assert np.abs(draw(module, [0, 1]).numpy() - there * 255.0).max() < 0.51


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("scheduler", ["", "ddim", "ddpm", "dpmsolver", "euler", "heun", "unipc"])
@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_an_image_depends_on_its_own_noise_and_class_alone(
    packed: dict[str, Path], kind: str, scheduler: str, strength: float
) -> None:
    module = make(packed, kind)
    how: dict[str, Any] = {"scheduler": scheduler, "strength": strength}
    torch.manual_seed(1)
    both = draw(module, [0, 1], **how)
    assert both.shape == (2, 8, 8, 1)
    assert both.dtype == torch.uint8
    torch.manual_seed(2)
    assert torch.equal(both, draw(module, [0, 1], **how)), "global random state changes nothing"
    other = draw(module, [0, 0], **how)
    assert torch.equal(both[0], other[0]), "what else is in the block changes nothing"
    assert torch.equal(both[1], other[1]) == (kind == "pixels"), "the class counts, where the pipeline knows any"
    assert not torch.equal(both[0], draw(module, [0, 1], first=1, **how)[0])


def test_scaling_is_said(packed: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    make(packed, "text")
    assert (
        "g: StableDiffusionPipeline of 16 px; its images are scaled to 8 px, made grey by luma"
        in capsys.readouterr().out
    )
    make(packed, "text", channels=3, image_size=16)
    assert "scaled" not in capsys.readouterr().out


def test_strength_says_how_much_of_the_source_is_left(packed: dict[str, Path]) -> None:
    module = make(packed, "pixels")
    light = [float(draw(module, [0, 1], num_inference_steps=10, strength=s).float().mean()) for s in (0.1, 0.5, 1.0)]
    assert light[0] > light[1] > light[2], "the sources are bright"
    assert light[0] == pytest.approx(200, abs=12)


def test_templates_and_words_make_the_prompt(packed: dict[str, Path]) -> None:
    module = make(packed, "text")
    plain = draw(module, [0, 1])
    assert torch.equal(plain, draw(module, [0, 1], words={"zero": "zero"}))
    other = draw(module, [0, 1], words={"zero": "cat"})
    assert not torch.equal(plain[0], other[0])
    assert torch.equal(plain[1], other[1])
    assert not torch.equal(plain, draw(module, [0, 1], template="{label}"))
    with pytest.raises(TouchstoneError, match=r"generators\.g: words: got the class zer, .*; did you mean zero\?"):
        draw(module, [0, 1], words={"zer": "cat"})


# --- adaptation ---


def run_fit(packed: dict[str, Path], kind: str, folder: Path, *, save_seconds: float = 20.0, **changes: Any) -> Fitted:
    loose = {"num_steps": 6, "batch_size": 4, "lr": 0.01, "min_diversity": 0.0, "max_diversity": 1e9, "grid_steps": 4}
    module = make(packed, kind, **loose | changes)
    folder.mkdir(exist_ok=True)
    return fit(
        module,
        settings=module.fit_settings,
        data=combine(Arm(), train=IMAGES, name="t"),
        meta={"classes": CLASSES, "image_size": 8},
        machine=Machine(accelerator="cpu", save_seconds=save_seconds),
        state_file=folder / "state.pt",
        title="g",
    )


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("kind", "adapt"),
    [
        ("text", "lora"),
        pytest.param("pixels", "dreambooth", marks=pytest.mark.slow),
        pytest.param("pixels", "lora", marks=pytest.mark.slow),
        pytest.param("classes", "lora", marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_gives_the_same_bytes(
    packed: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, adapt: str
) -> None:
    whole = run_fit(packed, kind, tmp_path / "a", adapt=adapt)
    start = FitCallback.before_step

    def dying(self: FitCallback) -> None:
        if self.state.step == 5:
            raise Killed
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(FitCallback, "before_step", dying)
        with pytest.raises(Killed):
            run_fit(packed, kind, tmp_path / "b", adapt=adapt, save_seconds=0.0)
    resumed = run_fit(packed, kind, tmp_path / "b", adapt=adapt)
    assert whole.weights
    assert whole.weights.keys() == resumed.weights.keys()
    assert all(torch.equal(value, resumed.weights[name]) for name, value in whole.weights.items())
    assert whole.history.equals(resumed.history)
    assert all(np.array_equal(grid, resumed.grids[step]) for step, grid in whole.grids.items())
    untouched = run_fit(packed, kind, tmp_path / "c", adapt=adapt, grid_steps=0)
    assert all(torch.equal(value, untouched.weights[name]) for name, value in whole.weights.items()), "sheets are looks"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "adapt"), [("text", "lora"), ("pixels", "dreambooth")])
def test_two_devices_adapt_to_the_same_bytes_each_time_also_after_a_kill(
    packed: dict[str, Path], tmp_path: Path, kind: str, adapt: str
) -> None:
    fit_of = partial(run_fit, packed, kind, adapt=adapt)
    first, second = on_two(fit_of, tmp_path / "whole")
    assert equal(first, second), "both processes have one net"
    assert equal(first, on_two(fit_of, tmp_path / "again")[0])
    with pytest.raises(Exception, match=r"SIGKILL|terminated|Connection"):
        on_two(fit_of, tmp_path / "killed", killed_at=3)
    assert equal(first, on_two(fit_of, tmp_path / "killed")[0])
    alone = fit_of(tmp_path / "alone")
    losses = [sum(found) / len(found) for found in (first["history"]["loss"], alone.history["loss"].tolist())]
    assert losses[0] == pytest.approx(losses[1], rel=0.5), "each process draws its own noise, so only in kind"


@pytest.mark.parametrize(
    ("kind", "adapt"), [pytest.param("pixels", "lora", marks=pytest.mark.slow), ("text", "dreambooth")]
)
def test_an_adapted_pipeline_is_written_and_read(
    packed: dict[str, Path], tmp_path: Path, kind: str, adapt: str
) -> None:
    done = run_fit(packed, kind, tmp_path / "fit", adapt=adapt)
    module = make(packed, kind, adapt=adapt, num_steps=6)
    before = draw(module, [0, 1], first=3)
    module.load_weights(done.weights)
    adapted = draw(module, [0, 1], first=3)
    assert not torch.equal(before, adapted)
    assert torch.equal(draw(module, [0, 1], first=3), adapted), "sampling leaves the weights as they are"
    (tmp_path / "saved").mkdir()
    facts = GeneratorMetadata(
        "diffusers", module.fit_settings.model_dump(mode="json"), CLASSES, 1, 8, pipeline={"licence": "mit"}
    )
    save_generator(tmp_path / "saved", facts, done.weights, grids={})
    torch.manual_seed(7)
    metadata, _, again = load_generator(tmp_path / "saved", pipeline=packed[kind], name="g")
    assert metadata.pipeline == {"licence": "mit"}
    assert isinstance(again, Pretrained)
    assert torch.equal(draw(again.eval(), [0, 1], first=3), adapted)


def test_lora_is_small_and_changes_nothing_before_it_is_fitted(packed: dict[str, Path]) -> None:
    plain, adapted = make(packed, "text"), make(packed, "text", adapt="lora", num_steps=1)
    assert torch.equal(draw(plain, [0, 1]), draw(adapted, [0, 1]))
    assert all(".lora_" in name for name in adapted.names)
    whole = make(packed, "text", adapt="dreambooth", num_steps=1)
    assert not any(name.startswith(("vae", "text_encoder")) for name in whole.names)
    frozen = sum(p.numel() for p in adapted.held[0].net.parameters() if not p.requires_grad)
    assert frozen == sum(p.numel() for p in whole.net.parameters())


def test_an_unconditional_pipeline_learns_the_classes(packed: dict[str, Path], tmp_path: Path) -> None:
    done = run_fit(packed, "pixels", tmp_path, adapt="dreambooth")
    assert done.weights["class_embedding.weight"].shape[0] == 3, "two classes and none"
    module = make(packed, "pixels", adapt="dreambooth", num_steps=6)
    module.load_weights(done.weights)
    streams = [[generator(0, "same", 0)] for _ in CLASSES]
    made = [module.sample(torch.tensor([c]), streams[c], settings_of()) for c in (0, 1)]
    assert not torch.equal(*made)


def test_adaptation_sees_the_training_images_alone(packed: dict[str, Path], tmp_path: Path, monkeypatch: Any) -> None:
    seen: set[bytes] = set()
    enlarged = Pretrained._enlarged

    def spy(self: Pretrained, pixels: torch.Tensor) -> torch.Tensor:
        seen.update(one.tobytes() for one in pixels.numpy())
        return enlarged(self, pixels)

    monkeypatch.setattr(Pretrained, "_enlarged", spy)
    run_fit(packed, "pixels", tmp_path, adapt="lora", num_steps=9)
    assert seen == {one.tobytes() for one in IMAGES.images}


def test_a_pipeline_as_it_is_needs_no_fit(packed: dict[str, Path], tmp_path: Path) -> None:
    done = run_fit(packed, "text", tmp_path, adapt="none", num_steps=0)
    assert (done.weights, done.grids, len(done.history)) == ({}, {}, 0)
    assert not (tmp_path / "state.pt").exists()


# --- sampling in blocks ---


def run_synthesis(module: Pretrained, folder: Path, *, sources: Sources | None = None, **changes: Any) -> Synthesized:
    return synthesize(
        module,
        settings=settings_of(**changes),
        classes=CLASSES,
        name="g",
        num_threads=1,
        machine=Machine(accelerator="cpu"),
        scratch=folder,
        judge=None,
        sources=sources,
    )


def pixels_of(made: Synthesized) -> np.ndarray:
    return made.images.images[np.arange(len(made.images))]


def test_killed_and_resumed_samples_are_the_same_bytes(packed: dict[str, Path], tmp_path: Path) -> None:
    sources = Sources(IMAGES, classes=CLASSES, size_px=8, seed=0)
    whole = run_synthesis(make(packed, "pixels"), tmp_path / "a", strength=0.5, sources=sources)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    block_file(tmp_path / "b", (1, 0)).unlink()
    resumed = run_synthesis(make(packed, "pixels"), tmp_path / "b", strength=0.5, sources=sources)
    assert np.array_equal(pixels_of(whole), pixels_of(resumed))
    more = run_synthesis(make(packed, "pixels"), tmp_path / "c", strength=0.5, sources=sources, per_class=5)
    assert np.array_equal(pixels_of(more)[: len(whole)], pixels_of(whole)), "more images extend a set"
    assert more.images.table["source_id"][: len(whole)].tolist() == whole.images.table["source_id"].tolist()


def test_each_source_is_named_and_of_the_same_class(packed: dict[str, Path], tmp_path: Path) -> None:
    sources = Sources(IMAGES, classes=CLASSES, size_px=8, seed=0)
    made = run_synthesis(make(packed, "pixels"), tmp_path, strength=0.25, sources=sources, per_class=12)
    label_of = dict(zip(IMAGES.table["id"], IMAGES.table["label"], strict=True))
    table = made.images.table
    assert [label_of[source] for source in table["source_id"]] == table["label"].tolist()
    used = table.groupby("source_id").size()
    assert len(used) == len(IMAGES)
    assert set(used) == {2}, "12 images from 6: each once in a round"
    real = dict(zip(IMAGES.table["id"], IMAGES.images, strict=True))
    apart = [
        np.abs(image.astype(float) - real[source]).mean()
        for image, source in zip(pixels_of(made), table["source_id"], strict=True)
    ]
    strangers = [
        np.abs(image.astype(float) - real[source]).mean()
        for image, source in zip(pixels_of(made), np.roll(table["source_id"], 3), strict=True)
    ]
    assert np.mean(apart) < np.mean(strangers), "an image resembles its own source"


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(packed: dict[str, Path], tmp_path: Path) -> None:
    sources = Sources(IMAGES, classes=CLASSES, size_px=8, seed=0)
    made = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        how = settings_of(strength=0.5)
        sampler = Sampler(make(packed, "text"), how, scratch=folder, num_threads=1, title="g", sources=sources)
        synthesis._sample(sampler, [(0, 0), (0, 1), (1, 0)], Machine(accelerator="cpu", devices=devices))
        made.append([np.load(block_file(folder, block)) for block in ((0, 0), (0, 1), (1, 0))])
    assert np.array_equal(*made)


# --- refusals ---


@pytest.mark.parametrize(
    ("kind", "how", "text"),
    [
        (
            "pixels",
            {"channels": 3, "image_size": 32},
            r"makes images of 16 px, and enlarging them to data.image_size 32",
        ),
        ("text", {"size_px": 15}, r"g\.fit\.size_px: got 15, expected a multiple of 2"),
        ("classes", {"size_px": 32}, r"g\.fit\.size_px: got 32, and a DiT makes images of 16 px alone"),
        ("classes", {"class_ids": {"zero": 3}}, r"g\.fit\.class_ids: no number for one; .* 10 classes"),
        ("classes", {"class_ids": {"zero": 3, "one": 10}}, r"class_ids\.one: got 10, expected a number below 10"),
        ("classes", {"class_ids": {"zer": 3}}, r"class_ids: got the class zer, .*did you mean zero\?"),
    ],
)
def test_what_a_pipeline_cannot_do_is_one_line(
    packed: dict[str, Path], kind: str, how: dict[str, Any], text: str
) -> None:
    with pytest.raises(TouchstoneError, match=text) as caught:
        make(packed, kind, **how)
    assert "\n" not in str(caught.value)


def test_guidance_needs_a_pipeline_that_can_do_without_the_class(packed: dict[str, Path]) -> None:
    with pytest.raises(TouchstoneError, match="guidance_scale: got 3, and this pipeline cannot do without the class"):
        draw(make(packed, "pixels"), [0, 1], guidance_scale=3.0)
    draw(make(packed, "pixels", adapt="dreambooth", num_steps=1), [0, 1], guidance_scale=3.0)


@pytest.mark.parametrize(
    ("module", "kind", "how", "text"),
    [
        ("transformers", "text", {}, r"a text pipeline needs transformers; .*touchstone\[diffusers\]"),
        (
            "peft",
            "pixels",
            {"adapt": "lora", "num_steps": 1},
            r"fit\.adapt: lora needs peft; .*touchstone\[diffusers\]",
        ),
    ],
)
def test_a_missing_extra_is_one_line(
    packed: dict[str, Path], monkeypatch: Any, module: str, kind: str, how: dict[str, Any], text: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(TouchstoneError, match=text):
        make(packed, kind, **how)


def test_lora_needs_attention(tmp_path: Path, packed: dict[str, Path]) -> None:
    plain = pretrained.unconditional(
        tmp_path / "plain",
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        add_attention=False,
    )
    to = tmp_path / "packed"
    to.mkdir()
    pack("g", str(plain), has_labels=True, to=to, old=tmp_path / "none", downloads=tmp_path)
    with pytest.raises(TouchstoneError, match="lora changes attention, which this pipeline lacks; use dreambooth"):
        make({"pixels": to}, "pixels", adapt="lora", num_steps=1)


def test_damaged_files_are_named(packed: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed["pixels"], tmp_path / "copy"))
    (copy / "unet/config.json").write_text("{}")
    with pytest.raises(TouchstoneError, match=r"copy/unet/config\.json: not the file that pipeline\.json names"):
        make({"pixels": copy}, "pixels")
