"""The one linear layer of a net's head, which a probe fits."""

from torch import nn

from touchstone.errors import TouchstoneError

PASSING = (nn.Sequential, nn.Dropout, nn.Identity)  # in evaluation mode their output is their input, or their parts'


def linear_head(net: nn.Module, head: str) -> nn.Linear:
    """Return the linear layer that alone maps features (B, D) to logits (B, K). head: the name of the last module.

    Raises TouchstoneError where the head is more than that.
    """
    module = net.get_submodule(head)
    parts = [part for part in module.modules() if not isinstance(part, PASSING)]
    if len(parts) == 1 and isinstance(parts[0], nn.Linear) and parts[0].bias is not None:
        return parts[0]
    found = ", ".join(type(part).__name__ for part in parts)
    raise TouchstoneError(
        f"probe: the head, {head}, is {found}, expected one linear layer with a bias; take out the options that add "
        "layers to it, or choose another net"
    )
