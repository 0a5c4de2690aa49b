"""Whether each model can be built and started as its settings say, seen before any training. Nothing is trained here.

torch is imported only where a model needs it, and most do not.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config.schema.model import Model
from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError
from touchstone.models.initial_weights import InitialWeights, check_fit, outline
from touchstone.models.nets import check_settings, head_of, imagenet_weights

if TYPE_CHECKING:
    from torch import nn


def check_models(settings: Settings) -> None:
    """Raise TouchstoneError at the first model, finetune or encoder that cannot be built or started as it says."""
    for name, model in settings.models.items():
        _check_model(f"models.{name}", model, settings)
    for name, finetune in settings.finetunes.items():
        _check_model(f"finetunes.{name}", finetune, settings)
    _check_model("audit.encoder", settings.audit.encoder, settings)


def _check_model(key: str, model: Model, settings: Settings) -> None:
    if model.precision != "fp32":
        from touchstone.models.device import check_precision, device

        check_precision(model.precision, device(settings.machine.accelerator))
    check_settings(key, model.net, input_size=model.input_size, options=model.options)
    frozen = any(phase.trainable != ("all",) for phase in model.phases)
    if model.options or model.pretrained or model.test_input_size or frozen or model.init_from:
        check_plan(key, model, channels=settings.data.channels)
        if model.init_from:
            origin = settings.trained[model.init_from.rsplit("-", 1)[0]]
            check_start(key, model, origin, channels=settings.data.channels)


def check_plan(key: str, model: Model, *, channels: int) -> None:
    """Raise TouchstoneError unless a model's net can be built, started and trained as its phases say.

    That is: the net has the options and takes the test size, each phase names modules that the net has and trains
    some weights, a phase trains the head unless that is taken from another run, and the weights can be the net's.
    """
    from touchstone.models.freezing import freeze

    try:
        _check_source(model, channels)
        net, head = outline(model, channels=channels), head_of(model.net)
        trains_head = False
        for phase in model.phases:
            freeze(net, phase, head=head)
            trains_head = trains_head or any(p.requires_grad for p in net.get_submodule(head).parameters())
        _check_test_size(net, model, channels)
        if not trains_head and not model.init_from:
            raise TouchstoneError(
                f"trainable: no phase trains the head, {head}, which starts at random; add head to one"
            )
    except TouchstoneError as error:
        raise TouchstoneError(f"{key}: {error}") from error


def check_start(key: str, model: Model, origin: Model, *, channels: int) -> None:
    """Raise TouchstoneError where the weights of `origin`, the model of the run to start from, do not fit the net, or
    no phase trains what the net has beyond them."""
    from touchstone.models.freezing import freeze

    try:
        tensors, net = outline(origin, channels=channels).state_dict(), outline(model, channels=channels)
        check_fit(tensors, net.state_dict(), source=f"init_from: {model.init_from}", net_name=model.net)
        untrained = {name for name, _ in net.named_parameters() if name not in tensors}
        for phase in model.phases:
            freeze(net, phase, head=head_of(model.net))
            untrained -= {name for name, p in net.named_parameters() if p.requires_grad}
        if untrained:
            raise TouchstoneError(
                f"trainable: no phase trains {min(untrained)}, which {model.init_from} lacks: it would keep its random "
                f"values; add {min(untrained).split('.')[0]} to one"
            )
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


def _check_source(model: Model, channels: int) -> None:
    InitialWeights.of_model(model, channels=channels)
    if model.weights == "imagenet":
        imagenet_weights(model.net, model.options)
    elif model.pretrained:
        from touchstone.models.pretrained import check_file

        check_file(Path(model.weights))
