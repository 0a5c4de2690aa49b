"""TorchScript files, traced on the CPU: torch alone runs them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from touchstone.errors import TouchstoneError, one_line
from touchstone.export.description import KEY, Description, parse
from touchstone.export.formats import Session, check_file
from touchstone.export.graph import ExportedNet
from touchstone.export.libraries import num_threads, quiet, reason

ENTRY = f"{KEY}.json"


def write(net: ExportedNet, file: Path) -> None:
    """Trace the net and write it with its description among the extra files."""
    with quiet(), torch.no_grad():
        try:
            traced = torch.jit.trace(net, net.example(), check_trace=False)
        except Exception as error:  # whatever an operation leads it to
            raise TouchstoneError(
                f"{net.description.name}: TorchScript cannot hold an operation of this net ({reason(error)}); "
                "change the net, or use --to onnx"
            ) from error
        torch.jit.save(traced, str(file), _extra_files={ENTRY: net.description.text()})


def open_file(file: Path, *, threads: int = 0) -> tuple[Description, Session]:
    check_file(file)
    extra = {ENTRY: ""}
    with quiet():
        try:
            net = torch.jit.load(str(file), map_location="cpu", _extra_files=extra)
        except Exception as error:  # a file of weights, or a damaged one, leads torch to any error
            raise TouchstoneError(
                f"{file}: no readable TorchScript file ({one_line(error)[:200]}); export it again"
            ) from error
    text = extra[ENTRY]
    description = parse(text.decode() if isinstance(text, bytes) else text, file)
    torch.set_num_threads(threads or num_threads())

    def run(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            return [out.numpy() for out in net(*(torch.from_numpy(np.ascontiguousarray(one)) for one in images))]

    return description, run
