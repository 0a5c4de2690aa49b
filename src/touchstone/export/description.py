"""The description of an exported file, which its metadata hold as JSON."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from touchstone.data.batches import View
from touchstone.errors import TouchstoneError

KEY = "touchstone"  # of the metadata that hold the description
ANY, PREPARED = "any", "prepared"

Images = Literal["any", "prepared"]


@dataclass(frozen=True)
class Description:
    """A run or ensemble as a file: what goes in, what comes out, and what it was made of."""

    name: str
    """Of the run or ensemble."""
    classes: list[str]
    multi_label: bool
    channels: int
    image_size: int
    """Side of a prepared image in px."""
    resize: str
    """`data.resize`, by which an image becomes a prepared image."""
    max_pixels: int
    """The largest image that `touchstone predict` reads."""
    images: Images
    """any: one input, decoded images of any size; prepared: an input for each of `views`, as `View.seen` returns it."""
    views: list[dict[str, Any]]
    """The fields of each distinct `View`, in the order of the inputs."""
    temperatures: list[float]
    """For each seed, the divisor of the logits in the output `calibrated`."""
    thresholds: list[float] | None
    """The probability from which each label is predicted; None with one class an image."""
    rule: str
    """The rule that combines the members of an ensemble; "" for a run."""
    weights: dict[str, dict[str, str]]
    """Run -> seed -> sha256 of its file of weights."""
    versions: dict[str, str]
    """Of the libraries that wrote the file."""
    int8: bool = False
    """Whether its convolutions and matrix products are in 8 bits."""

    @property
    def bits(self) -> int:
        """The bits of a pixel."""
        return 8

    @property
    def white(self) -> int:
        """The value of white in files of 16 bits: their largest."""
        return 0

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        if self.images == ANY or len(self.views) == 1:
            return ["images"]
        return [f"images_{i + 1}" for i in range(len(self.views))]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return ["probabilities", "calibrated", *(["labels"] if self.multi_label else [])]

    @property
    def seen(self) -> list[View]:
        return [View(**view | {"test_scales": tuple(view.get("test_scales", (1.0,)))}) for view in self.views]

    def quantised(self) -> "Description":
        """The description of the same file in 8 bits."""
        return replace(self, int8=True)

    def text(self) -> str:
        """Return the description as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def parse(text: str | None, file: object) -> Description:
    """Read what `text` returned. Raises TouchstoneError where it is missing or of another version."""
    remedy = "give a file that `touchstone export` of this version wrote"
    if not text:
        raise TouchstoneError(f"{file}: says nothing of its labels and resizing; {remedy}")
    try:
        values: dict[str, Any] = json.loads(text)
        return Description(**values)
    except (ValueError, TypeError) as error:
        raise TouchstoneError(f"{file}: its description cannot be read ({error}); {remedy}") from error
