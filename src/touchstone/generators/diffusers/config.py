"""The sections of params.yaml of a pretrained pipeline."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from touchstone.config.schema.generator import Fit, PipelineConfig, Sample
from touchstone.config.schema.section import Count, Fraction, NonNegative, Positive

LABEL = "{label}"
TEMPLATE = "a photo of a {label}"


def _with_label(template: str) -> str:
    if LABEL not in template:
        raise ValueError(f"expected a text with {LABEL} where the class goes, such as {TEMPLATE!r}")
    return template


Template = Annotated[str, AfterValidator(_with_label)]


class DiffusersFit(Fit):
    """Settings for adapting a pipeline to the training split; adapt none takes it as it is and fits nothing."""

    adapt: Literal["none", "lora", "dreambooth"] = "none"
    """lora trains low-rank additions to the attention layers, dreambooth all weights of the denoiser."""
    rank: Count = 8
    """Of lora's additions."""
    batch_size: Annotated[int, Field(ge=2)] = 4
    lr: Positive = 0.0001
    label_drop: Fraction = 0.1
    """Probability that the denoiser does not see the class, which keeps guidance working; pipelines without it ignore
    this."""
    clip_norm: NonNegative = 1.0
    """Largest norm of the gradient; 0: not clipped."""
    size_px: Annotated[int, Field(ge=0)] = 0
    """Side at which the pipeline works; 0 takes its own."""
    template: Template = TEMPLATE
    """A text pipeline's prompt."""
    words: dict[str, str] = Field(default_factory=dict)
    """Class -> what stands for it in the prompt; by default its name, with spaces for underscores."""
    class_ids: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Class -> its number in a class-conditional pipeline, such as that of ImageNet."""

    @model_validator(mode="after")
    def _one_budget(self) -> "DiffusersFit":
        if self.adapt == "none" and (self.num_steps or self.epochs):
            raise ValueError("adapt is none, so nothing is fitted; take out num_steps and epochs, or set adapt")
        if self.adapt != "none" and (self.num_steps > 0) == (self.epochs > 0):
            raise ValueError("set exactly one of num_steps and epochs above 0")
        return self


class DiffusersSample(Sample):
    """Settings for sampling the pipeline."""

    block: Annotated[int, Field(ge=1, le=4096)] = 4
    num_inference_steps: Count = 30
    guidance_scale: NonNegative = 0.0
    """1: none; 0: 7.5 for texts, 4 for classes, none without a denoiser that can do without the class."""
    scheduler: Literal["", "ddim", "ddpm", "dpmsolver", "euler", "heun", "unipc"] = ""
    """"" takes the pipeline's own."""
    strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Above 0, images are made from training images of their class: the share of the steps that are run anew."""
    template: Template = TEMPLATE
    """By default that of `fit`, as are words."""
    words: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_step(self) -> "DiffusersSample":
        if self.strength and int(self.strength * self.num_inference_steps) < 1:
            raise ValueError(
                f"strength {self.strength:g} of {self.num_inference_steps} steps is less than one; raise one of them"
            )
        return self


class DiffusersConfig(PipelineConfig):
    """An entry of `generators` whose kind is diffusers."""

    kind: Literal["diffusers"]
    fit: DiffusersFit = DiffusersFit()
    sample: DiffusersSample

    @classmethod
    def completed(cls, entry: dict[str, Any], *, name: str, data: Any) -> dict[str, Any]:
        """Return the entry with the prompts of `fit` for `sample`."""
        fit, sample = entry.get("fit", {}), entry.get("sample", {})
        if not isinstance(fit, dict) or not isinstance(sample, dict):
            return entry
        return entry | {"sample": {key: fit[key] for key in ("template", "words") if key in fit} | sample}

    @property
    def has_labels(self) -> bool:
        return self.fit.adapt != "none" or self.sample.strength > 0


CONFIG = DiffusersConfig
