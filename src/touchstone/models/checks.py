"""Check that each model can be built and started as its settings say, before any training.

torch is imported only where a model needs it, and most do not.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config.net_names import is_library_net, is_published
from touchstone.config.pretrained_config import expected_statistics
from touchstone.config.schema.model import Model
from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError
from touchstone.models.initial_weights import InitialWeights, Statistics, check_fit, outline
from touchstone.models.nets import check_settings, head_of, published_weights

if TYPE_CHECKING:
    from torch import nn

ELSEWHERE = "TOUCHSTONE_NODES"  # set where other machines train, whose devices this one cannot ask: their jobs do


def check_models(settings: Settings) -> None:
    """Raise TouchstoneError at the first model, finetune, student or encoder that cannot be built or started."""
    for name, model in settings.models.items():
        _check_model(f"models.{name}", model, settings)
    for name, finetune in settings.finetunes.items():
        _check_model(f"finetunes.{name}", finetune, settings)
    for name, student in settings.students.items():
        _check_model(f"students.{name}", student, settings)
    _check_model("audit.encoder", settings.audit.encoder, settings)


def _check_model(key: str, model: Model, settings: Settings) -> None:
    if model.precision != "fp32" and ELSEWHERE not in os.environ:
        from touchstone.models.device import check_precision, device

        check_precision(model.precision, device(settings.machine.accelerator), arithmetic=settings.arithmetic)
    check_settings(key, model.net, input_size=model.input_size, options=model.options)
    frozen = any(phase.trainable != ("all",) for phase in model.phases)
    if model.batch_size == 1:
        _check_batch_of_one(key, model, channels=settings.data.channels)
    if (
        is_library_net(model.net)
        or model.options
        or model.pretrained
        or model.test_input_size
        or frozen
        or model.init_from
    ):
        origin = settings.trained[model.init_from.rsplit("-", 1)[0]] if model.init_from else None
        check_plan(key, model, origin, channels=settings.data.channels)


def check_plan(key: str, model: Model, origin: Model | None, *, channels: int) -> None:
    """Raise TouchstoneError unless a model's net can be built, started and trained as its phases say.

    The net must have the options and take the test size, each phase must name modules of the net and train some
    weights, and pretrained weights must exist. A phase must train the head, unless the net starts from a run of the
    model `origin`: then the run's weights must fit, and a phase must train what the net has beyond them.
    """
    from touchstone.models.freezing import freeze
    from touchstone.models.linear_head import linear_head

    try:
        InitialWeights.of_model(model, channels=channels, expected=_expected(model))
        if is_published(model.weights):
            published_weights(model.net, model.weights, model.options)
        elif model.pretrained:
            from touchstone.models.pretrained import check_file

            check_file(Path(model.weights))
        net, head = outline(model, channels=channels), head_of(model.net)
        if model.probe is not None:
            linear_head(net, head)
        trained: set[str] = set()
        for phase in model.phases:
            freeze(net, phase, head=head)
            trained |= {name for name, p in net.named_parameters(remove_duplicate=False) if p.requires_grad}
        _check_test_size(net, model, channels)
        if origin is None:
            if not any(name.startswith(f"{head}.") for name in trained):
                raise TouchstoneError(
                    f"trainable: no phase trains the head, {head}, which starts at random; add head to one"
                )
            return
        tensors = outline(origin, channels=channels).state_dict()
        check_fit(tensors, net.state_dict(), source=f"init_from: {model.init_from}", net_name=model.net)
        untrained = {name for name, _ in net.named_parameters()} - set(tensors) - trained
        if untrained:
            raise TouchstoneError(
                f"trainable: no phase trains {min(untrained)}, which {model.init_from} lacks: it would keep its random "
                f"values; add {min(untrained).split('.')[0]} to one"
            )
    except TouchstoneError as error:
        raise TouchstoneError(f"{key}: {error}") from error


def _expected(model: Model) -> Statistics | None:
    return expected_statistics(model.net, model.weights) if model.pretrained else None


def _check_batch_of_one(key: str, model: Model, *, channels: int) -> None:
    """Raise TouchstoneError where a trained batch norm sees a single value of each channel, which has no variance."""
    import torch

    from touchstone.models.freezing import freeze, train_mode

    net, head = outline(model, channels=channels), head_of(model.net)
    for phase in model.phases:
        try:
            freeze(net, phase, head=head)
            train_mode(net, head=head)
            net(torch.empty(1, channels, model.input_size, model.input_size, device="meta"))
        except ValueError as error:
            raise TouchstoneError(
                f"{key}.batch_size: got 1, expected at least 2: {model.net} has batch norms that see a single value of "
                f"each channel at input_size {model.input_size}; raise batch_size"
            ) from error
        except TouchstoneError as error:
            raise TouchstoneError(f"{key}: {error}") from error


def _check_test_size(net: "nn.Module", model: Model, channels: int) -> None:
    import torch

    try:
        net.eval()(torch.empty(1, channels, model.test_px, model.test_px, device="meta"))
    except RuntimeError as error:
        raise TouchstoneError(
            f"test_input_size: {model.net} is built for input_size {model.input_size} px and cannot take "
            f"{model.test_px} px; set 0, or choose a net that pools over any size"
        ) from error
