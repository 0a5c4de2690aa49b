"""Each kind of generator: shapes, sampling as a pure function, formulas."""

import ast
import copy
import re

import numpy as np
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler

from kit.project import ROOT
from touchstone.config.load import load
from touchstone.config.schema.generator import Sample, config_of, kinds
from touchstone.generators import FOLDER, build
from touchstone.generators.base import Generative, noise
from touchstone.generators.dcgan.config import SIZES, DcganFit
from touchstone.generators.dcgan.net import augmented
from touchstone.generators.ddpm import edm
from touchstone.generators.ddpm.config import DdpmFit, DdpmSample
from touchstone.generators.ddpm.net import Ddpm, _solver, _timesteps
from touchstone.seeds import generator

TINY = {
    "dcgan": DcganFit(num_steps=1, channels=4, latent=8),
    "ddpm": DdpmFit(num_steps=1, channels=8, multipliers=(1, 2), num_res_blocks=1, num_timesteps=50, beta_end=0.2),
}
SAMPLE = {"dcgan": Sample(per_class=1), "ddpm": DdpmSample(per_class=1, num_inference_steps=3)}


def make(kind: str, *, channels: int = 1, size: int = 8, **changes: object) -> Generative:
    torch.manual_seed(0)
    fit = TINY[kind].model_copy(update=changes)
    return build(kind, fit, num_classes=3, channels=channels, image_size=size).eval()


def draw(module: Generative, kind: str, labels: list[int], first: int = 0, **changes: object) -> torch.Tensor:
    streams = [generator(0, "t", first + i) for i in range(len(labels))]
    with torch.no_grad():
        return module.sample(torch.tensor(labels), streams, SAMPLE[kind].model_copy(update=changes))


def batch(count: int = 6, *, channels: int = 1, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randint(0, 256, (count, size, size, channels), dtype=torch.uint8)
    return pixels, torch.arange(count) % 3


def test_every_kind_has_a_file_and_its_sections() -> None:
    assert {path.parent.name for path in FOLDER.glob("*/net.py")} == {*TINY, "diffusers"}
    assert set(kinds()) == {*TINY, "diffusers", "folder"}
    for kind in kinds():
        assert (FOLDER / kind / config_of(kind).CODE).is_file()


@pytest.mark.parametrize("kind", sorted(TINY))
def test_the_header_counts_parameters_truly(kind: str) -> None:
    """`Parameters: N[ and M] in recipes/<name>`, of the fitted net and of the discriminator."""
    header = ast.get_docstring(ast.parse((FOLDER / kind / "net.py").read_text())) or ""
    claims = re.findall(r"([\d,]+)(?: and ([\d,]+))? in\s+recipes/(\w+)", header)
    assert claims
    for *numbers, recipe in claims:
        settings = load(ROOT / f"recipes/{recipe}/params.yaml")
        module = build(
            kind,
            settings.generators[kind].fit,
            num_classes=10,
            channels=settings.data.channels,
            image_size=settings.data.image_size,
        )
        parts = [module.net, *([module.critic] if kind == "dcgan" else [])]
        assert [f"{sum(p.numel() for p in part.parameters()):,}" for part in parts] == [n for n in numbers if n], recipe


@pytest.mark.parametrize("kind", sorted(TINY))
@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_images(kind: str, size: int, channels: int) -> None:
    made = draw(make(kind, channels=channels, size=size), kind, [0, 1])
    assert made.shape == (2, size, size, channels)
    assert made.dtype == torch.uint8


@pytest.mark.parametrize("kind", sorted(TINY))
@pytest.mark.parametrize("bits", [8, 16])
def test_samples_have_the_channels_and_bits_of_the_study(kind: str, bits: int) -> None:
    torch.manual_seed(0)
    module = build(kind, TINY[kind], num_classes=3, channels=5, image_size=8, bits=bits).eval()
    made = draw(module, kind, [0, 1])
    assert made.shape == (2, 8, 8, 5)
    assert made.dtype == (torch.uint16 if bits == 16 else torch.uint8)
    assert bits == 8 or len(np.unique(made.numpy() % 257)) > 50, "not multiples of 257 alone"
    signals = module.signals(made)
    assert signals.dtype == torch.float32
    torch.testing.assert_close(module.pixels(signals), made)
    ends = module.signals(torch.tensor([0, 65535 if bits == 16 else 255]).to(made.dtype).view(2, 1, 1, 1))
    assert ends.flatten().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("size", SIZES)
def test_dcgan_at_every_size(size: int) -> None:
    module = make("dcgan", size=size)
    assert draw(module, "dcgan", [0, 2]).shape == (2, size, size, 1)
    assert module.critic(torch.zeros(2, 1, size, size), torch.tensor([0, 1])).shape == (2,)


@pytest.mark.parametrize("kind", sorted(TINY))
def test_an_image_depends_on_its_own_noise_and_class_alone(kind: str) -> None:
    module = make(kind)
    together = draw(module, kind, [0, 1, 2])
    assert torch.equal(together, draw(module, kind, [0, 1, 2])), "pure"
    other_noise = draw(module, kind, [0, 1, 2], first=1)
    assert not torch.equal(together[0], other_noise[0])
    swapped = draw(module, kind, [0, 1, 0])
    assert torch.equal(together[:2], swapped[:2]), "what else is in the block changes nothing"
    assert not torch.equal(together[2], swapped[2]), "the class counts"


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmsolver", "heun"])
def test_every_sampler_is_pure_and_bounded(sampler: str) -> None:
    module = make("ddpm")
    torch.manual_seed(1)
    one = draw(module, "ddpm", [0, 1], sampler=sampler)
    torch.manual_seed(2)
    assert torch.equal(one, draw(module, "ddpm", [0, 1], sampler=sampler)), "global random state changes nothing"


class Exact(torch.nn.Module):
    """The best denoiser of images whose pixels are normal with this mean and deviation, predicting epsilon or v."""

    def __init__(self, module: Ddpm, mean: float, sd: float, prediction: str) -> None:
        super().__init__()
        self.alphas, self.mean, self.sd, self.prediction = module.schedule.alphas_cumprod, mean, sd, prediction

    def forward(self, x_t, t, class_labels):
        a = self.alphas[t.long()].double().reshape(-1, 1, 1, 1)
        spread = a * self.sd**2 + 1 - a
        x_0 = self.mean + a.sqrt() * self.sd**2 / spread * (x_t - a.sqrt() * self.mean)
        epsilon = (x_t - a.sqrt() * x_0) / (1 - a).sqrt()
        out = epsilon if self.prediction == "epsilon" else a.sqrt() * epsilon - (1 - a).sqrt() * x_0
        return type("Out", (), {"sample": out.float()})


@pytest.mark.parametrize(
    ("sampler", "steps", "error"),  # few steps draw too narrowly from a linear schedule
    [
        ("ddpm", 1000, 0.06),
        ("ddpm", 600, 0.06),
        ("ddim", 200, 0.06),
        ("ddim", 50, 0.12),
        ("dpmsolver", 20, 0.2),
        ("dpmsolver", 50, 0.06),
        ("heun", 10, 0.35),
        ("heun", 25, 0.06),
    ],
)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_samplers_draw_the_distribution_that_the_denoiser_knows(
    sampler: str, steps: int, error: float, schedule: str, prediction: str
) -> None:
    module = make("ddpm", num_timesteps=1000, beta_end=0.02, beta_schedule=schedule, prediction=prediction)
    assert isinstance(module, Ddpm)
    module.averaged.module = Exact(module, 0.2, 0.25, prediction)
    made = draw(module, "ddpm", [0] * 60, sampler=sampler, num_inference_steps=steps).float() / 127.5 - 1
    assert float(made.mean()) == pytest.approx(0.2, abs=0.02)
    assert float(made.std()) == pytest.approx(0.25, rel=error)


class ExactEdm(torch.nn.Module):
    """The same in noise levels: what makes c_skip * x + c_out * net the expected image."""

    def __init__(self, mean: float, sd: float) -> None:
        super().__init__()
        self.mean, self.sd = mean, sd

    def forward(self, scaled, time, class_labels):
        sigma = (4 * time.double()).exp().reshape(-1, 1, 1, 1)
        c_skip, c_out, c_in = edm.scales(sigma)
        x = scaled / c_in
        x_0 = self.mean + self.sd**2 / (self.sd**2 + sigma**2) * (x - self.mean)
        return type("Out", (), {"sample": ((x_0 - c_skip * x) / c_out).float()})


@pytest.mark.parametrize(
    ("sampler", "steps", "error"),
    [("heun", 18, 0.1), ("heun", 40, 0.03), ("dpmsolver", 20, 0.1), ("dpmsolver", 50, 0.03)],
)
def test_edm_samplers_draw_the_distribution_that_the_denoiser_knows(sampler: str, steps: int, error: float) -> None:
    module = make("ddpm", prediction="edm")
    module.averaged.module = ExactEdm(0.2, 0.25)
    made = draw(module, "ddpm", [0] * 60, sampler=sampler, num_inference_steps=steps).float() / 127.5 - 1
    assert float(made.mean()) == pytest.approx(0.2, abs=0.02)
    assert float(made.std()) == pytest.approx(0.25, rel=error)


def test_dpmsolver_in_noise_levels_is_that_of_diffusers() -> None:
    """EDMDPMSolverMultistepScheduler counts its steps; both start from the same noise, with the same denoiser."""
    net, count = ExactEdm(0.2, 0.25), 20
    solver = EDMDPMSolverMultistepScheduler(prediction_type="epsilon")
    solver.set_timesteps(count)
    start = 80 * torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = start
    for t in solver.timesteps:
        x = solver.step(net(solver.scale_model_input(x, t), t, None).sample, t, x).prev_sample

    def denoised(x: torch.Tensor, sigma: float) -> torch.Tensor:
        c_skip, c_out, c_in = edm.scales(torch.tensor(sigma))
        return c_skip * x + c_out * net(c_in * x, edm.c_noise(torch.tensor(sigma).log()), None).sample

    torch.testing.assert_close(edm.dpmsolver(denoised, start, edm.levels(count)), x, atol=2e-4, rtol=0)


def test_heun_evaluates_the_net_twice_a_step_and_is_of_second_order() -> None:
    """Half as long steps leave a quarter of the error, of which the known solution is the measure."""
    sd, calls = 0.25, []

    def denoised(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return sd**2 / (sd**2 + sigma**2) * x

    exact = 80.0 * sd / (sd**2 + 80**2) ** 0.5
    errors = []
    for count in (20, 40):
        calls.clear()
        made = edm.heun(denoised, torch.tensor([80.0], dtype=torch.float64), edm.levels(count))
        assert len(calls) == 2 * count - 1
        errors.append(abs(float(made) - exact))
    assert errors[0] / errors[1] > 3


def test_a_perfect_edm_denoiser_has_no_loss_and_an_idle_one_has_a_loss_of_about_one() -> None:
    """The target (x_0 - c_skip x) / c_out has the variance 1 where images have the standard deviation SIGMA_DATA."""
    module = make("ddpm", prediction="edm")
    assert isinstance(module, Ddpm)
    x_0 = edm.SIGMA_DATA * torch.randn(4000, 1, 8, 8)
    module.signals = lambda pixels: x_0  # type: ignore[method-assign]
    batch_of = torch.zeros(4000, 8, 8, 1, dtype=torch.uint8), torch.zeros(4000, dtype=torch.long)

    class Idle(torch.nn.Module):
        def forward(self, x, t, class_labels):
            return type("Out", (), {"sample": torch.zeros_like(x)})

    class Oracle(torch.nn.Module):
        def forward(self, scaled, t, class_labels):
            c_skip, c_out, c_in = edm.scales((4 * t).exp().reshape(-1, 1, 1, 1))
            return type("Out", (), {"sample": (x_0 - c_skip * scaled / c_in) / c_out})

    module.net = Idle()
    assert float(module.training_step(batch_of, 0)["loss"]) == pytest.approx(1.0, abs=0.02)
    module.net = Oracle()
    assert float(module.training_step(batch_of, 0)["loss"]) < 1e-6


@pytest.mark.parametrize("timesteps", [20, 1000, 10_000])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_heun_takes_falling_levels_of_the_schedule(timesteps: int, schedule: str, steps: int) -> None:
    module = make("ddpm", num_timesteps=timesteps, beta_end=0.02, beta_schedule=schedule)
    assert isinstance(module, Ddpm)
    sigmas, times = module._levels(steps)
    assert 1 <= len(sigmas) <= steps
    assert sigmas == sorted(set(sigmas), reverse=True)
    shares = module.schedule.alphas_cumprod.double()
    assert [float(1 / (1 + sigma**2)) for sigma in sigmas] == pytest.approx([float(shares[int(t)]) for t in times])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("timesteps", [20, 300, 1000, 4000])
@pytest.mark.parametrize("steps", [1, 7, 19, 20])
def test_dpmsolver_takes_as_many_steps_as_asked(schedule: str, timesteps: int, steps: int) -> None:
    module = make("ddpm", num_timesteps=timesteps, beta_end=0.02, beta_schedule=schedule)
    assert isinstance(module, Ddpm)
    chosen = _timesteps(_solver(module.schedule.config, "dpmsolver"), steps)
    assert len(chosen) == steps
    assert chosen == sorted(set(chosen), reverse=True)
    assert min(chosen) >= 0
    assert max(chosen) < timesteps


def test_weights_are_finite_where_no_signal_is_left() -> None:
    module = make("ddpm", num_timesteps=10_000, beta_end=0.03, min_snr_gamma=5.0)
    weights = module._weights(torch.arange(10_000))
    assert torch.isfinite(weights).all()
    assert float(weights[-1]) == 1.0


def test_streams_are_many() -> None:
    """Streams have 63-bit seeds: the 32 bits of torch's generators would repeat among 100,000 images."""
    one, other = (generator(0, "noise", 0, k) for k in (12345, 12346))
    assert not torch.equal(noise([one], 8), noise([other], 8))
    whole, again = (noise([generator(0, "noise", 0, k) for k in range(3)], 4) for _ in range(2))
    assert torch.equal(whole, again)
    assert torch.equal(whole[1:2], noise([generator(0, "noise", 0, 1)], 4))


def test_guidance_is_that_of_ho_and_salimans() -> None:
    module = make("ddpm", label_drop=0.1)
    x, t, labels = torch.randn(2, 1, 8, 8), torch.tensor(7), torch.tensor([0, 1])
    with torch.no_grad():
        conditional = module.averaged.module(x, t, class_labels=labels).sample
        unconditional = module.averaged.module(x, t, class_labels=torch.tensor([3, 3])).sample
        guided = module._denoised(x, t, labels, 1.8)
    torch.testing.assert_close(guided, 2.8 * conditional - 1.8 * unconditional)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_min_snr_weights(prediction: str) -> None:
    """arXiv 2303.09556, section 3.4: min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v."""
    module = make("ddpm", min_snr_gamma=5.0, prediction=prediction)
    assert isinstance(module, Ddpm)
    t = torch.arange(50)
    share = module.schedule.alphas_cumprod
    snr = share / (1 - share)
    wanted = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
    torch.testing.assert_close(module._weights(t), wanted.float())
    assert (make("ddpm")._weights(t) == 1).all()


def test_a_perfect_denoiser_has_no_loss() -> None:
    """The target is epsilon, or v = sqrt(alpha) epsilon - sqrt(1 - alpha) x_0."""
    for prediction in ("epsilon", "v"):
        module = make("ddpm", prediction=prediction)
        pixels, labels = batch()
        x_0 = module.signals(pixels)

        class Oracle(torch.nn.Module):
            def forward(self, x_t, t, class_labels):
                a = module.schedule.alphas_cumprod[t][:, None, None, None]  # noqa: B023
                epsilon = (x_t - a.sqrt() * x_0) / (1 - a).sqrt()  # noqa: B023
                v = a.sqrt() * epsilon - (1 - a).sqrt() * x_0  # noqa: B023
                return type("Out", (), {"sample": epsilon if prediction == "epsilon" else v})  # noqa: B023

        module.net = Oracle()
        assert float(module.training_step((pixels, labels), 0)["loss"]) < 1e-6


def test_labels_are_dropped_as_often_as_asked() -> None:
    module = make("ddpm", label_drop=0.3)
    seen: list[torch.Tensor] = []
    net = module.net

    class Spy(torch.nn.Module):
        def forward(self, x_t, t, class_labels):
            seen.append(class_labels)
            return net(x_t, t, class_labels=class_labels)

    module.net = Spy()
    torch.manual_seed(0)
    module.training_step(batch(600), 0)
    dropped = float((seen[0] == 3).float().mean())
    assert 0.24 < dropped < 0.36
    kept = seen[0] != 3
    assert torch.equal(seen[0][kept], batch(600)[1][kept])


@pytest.mark.parametrize(
    "policies", [(), ("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")]
)
def test_diffaugment_changes_each_image_and_lets_gradients_through(policies: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16).repeat(8, 1, 1, 1).requires_grad_()
    out = augmented(x, policies)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert (len({tuple(image.flatten().tolist()) for image in out}) > 1) == bool(policies)


def test_translation_moves_and_cutout_cuts() -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 1, 16, 16)
    x[:, :, 8, 8] = 5
    moved = augmented(x, ("translation",))
    places = (moved == 5).flatten(1).float().argmax(1)
    rows, columns = places // 16 - 8, places % 16 - 8
    assert rows.abs().max() <= 2
    assert columns.abs().max() <= 2
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) > 10
    cut = (augmented(torch.ones(64, 1, 16, 16), ("cutout",)) == 0).sum((1, 2, 3))
    assert cut.max() == 64, "half the side, whole where it lies inside"
    assert (cut > 0).all()


def test_the_average_follows_the_weights() -> None:
    """share = 1 - min(decay, (1 + n) / (10 + n)) of the new weights at update n; the first takes them whole."""
    module = make("dcgan", ema_decay=0.5)
    name, weight = next(iter(module.net.named_parameters()))
    average = dict(module.averaged.module.named_parameters())[name]
    wanted = torch.zeros_like(weight)
    for n in range(12):
        with torch.no_grad():
            weight.fill_(float(n))
        module.averaged.update_parameters(module.net)
        share = 1.0 if n == 0 else 1 - min(0.5, (1 + n) / (10 + n))
        wanted = wanted + share * (weight.detach() - wanted)
        torch.testing.assert_close(average.detach(), wanted)


@pytest.mark.parametrize("kind", sorted(TINY))
def test_weights_are_taken_up_by_another_of_the_same_kind(kind: str) -> None:
    module = make(kind)
    with torch.no_grad():
        for parameter in module.averaged.module.parameters():
            parameter.add_(0.1)
    other = make(kind)
    before = copy.deepcopy(draw(other, kind, [0, 1]))
    other.load_weights(module.weights())
    assert torch.equal(draw(other, kind, [0, 1]), draw(module, kind, [0, 1]))
    assert not torch.equal(before, draw(other, kind, [0, 1]))
