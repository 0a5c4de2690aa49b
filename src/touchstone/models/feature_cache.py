"""What a frozen backbone sees in each image, computed once: every epoch, seed, arm and head reads it from a file.

Files are named after the hash of all they depend on: a file is right or not there at all. The oldest are removed where
they fill more than MAX_BYTES.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import nn

from touchstone.code_hash import digest, imports
from touchstone.data.batches import View, to_float
from touchstone.data.ops import crops
from touchstone.models import nets as models
from touchstone.models.predict import BATCH, blocks

MAX_BYTES = 8 * 2**30
PART, PART_SECONDS = ".part", 86_400  # of an unfinished file; older ones are nobody's
LIBRARIES = ("torch", "torchvision", "numpy", "opencv-python-headless")  # whose versions decide about bytes


class Backbone:
    """A net up to its head, in evaluation mode, behind its normalisation.

    net: on the device where features are computed. name, options: the net's file and what it was built with.
    mean, std: float32 (C, 1, 1), in grey levels.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        name: str,
        options: dict[str, models.Option],
        mean: torch.Tensor,
        std: torch.Tensor,
        view: View,
    ) -> None:
        self.net, self.head, self.view, self.mean, self.std = net, models.head_of(name), view, mean, std
        known = [name, models.body_options(name, options), view, mean.tolist(), std.tolist(), mean.device.type]
        known += [torch.get_num_threads(), *(metadata.version(library) for library in LIBRARIES)]
        known += [digest(imports(file)) for file in (Path(__file__), models.FOLDER / f"{name}.py")]
        total = hashlib.sha256(repr(known).encode())
        for key, value in net.state_dict().items():
            if not key.startswith(self.head + "."):
                total.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self.key = total.hexdigest()

    def see(self, pixels: np.ndarray, sizes: np.ndarray | None, *, folder: Path, mirrored: bool = False) -> np.ndarray:
        """uint8 (N, H, W, C), their valid sizes (N, 2) or None -> float32 (N, D), memory-mapped from `folder`; of five
        crops (N, 5, D).

        mirrored: what it sees in the mirror images. Several processes may use one folder.
        """
        file = folder / f"{self._key_of(pixels, sizes, mirrored)}.npy"
        try:
            os.utime(file)  # used now: the last to be removed
            return np.load(file, mmap_mode="r")
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            new = self._compute(pixels, sizes, folder, mirrored)
        found = np.load(new, mmap_mode="r")  # opened before others may remove it
        new.replace(file)
        _make_room(folder, keep=file)
        return found

    def _key_of(self, pixels: np.ndarray, sizes: np.ndarray | None, mirrored: bool) -> str:
        total = hashlib.sha256(f"{self.key} {pixels.shape} {mirrored}".encode())
        for start in range(0, len(pixels), BATCH):
            total.update(pixels[start : start + BATCH].tobytes())
        if sizes is not None:
            total.update(sizes.tobytes())
        return total.hexdigest()

    def _compute(self, pixels: np.ndarray, sizes: np.ndarray | None, folder: Path, mirrored: bool) -> Path:
        handle, name = tempfile.mkstemp(suffix=PART, dir=folder)
        os.close(handle)
        out: np.memmap | None = None
        start = 0
        for features in self._run(blocks(pixels, sizes, self.view), mirrored):
            if out is None:
                shape = (len(pixels), *features.shape[1:])
                out = np.lib.format.open_memmap(name, mode="w+", dtype=np.float32, shape=shape)
            out[start : start + len(features)] = features
            start += len(features)
        if out is None:
            raise ValueError("no images to see")
        out.flush()
        return Path(name)

    def _run(self, batches: Iterable[torch.Tensor], mirrored: bool) -> Iterator[np.ndarray]:
        found: list[torch.Tensor] = []
        hook = self.net.get_submodule(self.head).register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        self.net.eval()
        with torch.no_grad():
            for batch in batches:
                x = to_float(batch.to(self.mean.device), self.mean, self.std)
                self.net(x.flip(3) if mirrored else x)
                features = found.pop().float().cpu()
                yield (features.unflatten(0, (len(batch), -1)) if crops.count(batch) > 1 else features).numpy()
        hook.remove()


def _make_room(folder: Path, *, keep: Path) -> None:
    """Remove the oldest files beyond MAX_BYTES, and what processes that were killed left unfinished."""
    now, total = time.time(), 0
    for file, found in sorted(_files(folder), key=lambda entry: -entry[1].st_mtime):
        total += found.st_size
        abandoned = file.suffix == PART and now - found.st_mtime > PART_SECONDS
        if abandoned or (total > MAX_BYTES and file.suffix != PART and file != keep):
            file.unlink(missing_ok=True)  # who has it open keeps it


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in folder.iterdir():
        try:
            yield file, file.stat()
        except FileNotFoundError:  # removed by another process meanwhile
            continue
