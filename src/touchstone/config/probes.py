"""The entries of models that are linear probes: which settings they have, and which they cannot have."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from touchstone.config.schema.model import Phase, Run
from touchstone.errors import TouchstoneError

if TYPE_CHECKING:
    from touchstone.config.settings import Settings

KEPT = ("class_weights", "deterministic", "num_threads", "test_flips")
"""The settings of `Phase` and `Run` that a probe has; all others are of steps, or change images online."""
REFUSED = ("phases", *(name for name in (*Phase.model_fields, *Run.model_fields) if name not in KEPT))


def completed(key: str, settings: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a probe inherits: those of `train` without the ones that a probe cannot have.

    key: that of its entry, such as models.probe. Raises TouchstoneError where the entry itself has one of these.
    """
    for name in REFUSED:
        if name in entry:
            raise TouchstoneError(
                f"params.yaml: {key}.{name}: a probe takes no steps and sees each image as it is, so of these settings "
                f"it has only {', '.join(KEPT)}; take {name} out, or take out probe to train by steps"
            )
    inherited = {name: value for name, value in settings.items() if name not in REFUSED}
    return inherited | {"trainable": ("head",), "epochs": 1, "select": "last"}


def repeated(settings: "Settings") -> list[str]:
    """Return the probes whose replicates are all the same: of the same images, from the same weights."""
    if settings.train.replicates == 1 or settings.train.vary != "seed":
        return []
    return [name for name, model in settings.models.items() if model.probe is not None and model.pretrained]


def remark(settings: "Settings") -> str:
    """Return a line on each probe of random features, and one on probes whose replicates are all the same."""
    probes = {name: model for name, model in settings.models.items() if model.probe is not None}
    lines = [
        f"models.{name}.weights: random: this probe is fitted on random features, which tests the mechanics only; set "
        "weights to imagenet or a file\n"
        for name, model in probes.items()
        if not model.pretrained
    ]
    if names := repeated(settings):
        lines.append(
            f"models.{names[0]}.probe: draws nothing at random, so with train.vary: seed its "
            f"{settings.train.replicates} replicates are the same; for a spread set train.vary: all (with "
            "data.train_size), else replicates: 1 is enough\n"
        )
    return "".join(lines)
