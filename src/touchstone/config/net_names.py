"""Names of nets and of weights in params.yaml: which are a library's, and which stand for a publisher's weights."""

import re

TORCHVISION, TIMM, HUB, FOLDER = "torchvision/", "timm/", "hf-hub:", "local-dir:"
PREFIXES = (TORCHVISION, TIMM, HUB, FOLDER)
PUBLISHED = ("pretrained", "imagenet")  # stand for the publisher's usual weights
VERSION = re.compile(r"[A-Z0-9_]+_V\d+(_[A-Z_]+)?")  # such as IMAGENET1K_V2


def is_library_net(net: str) -> bool:
    """Return whether a net is one of a library's, by its name."""
    return net.startswith(PREFIXES)


def is_published(weights: str) -> bool:
    """Return whether `weights`, a value in params.yaml, stands for weights of the net's publisher."""
    return weights in PUBLISHED or VERSION.fullmatch(weights) is not None
