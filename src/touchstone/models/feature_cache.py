"""The features of images under a frozen backbone, computed once for all epochs, seeds, arms and heads.

A file is named after the hash of everything it depends on, so it is never stale. The oldest files beyond MAX_BYTES are
removed.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from touchstone import arithmetic
from touchstone.code_hash import digest, library_versions
from touchstone.config.schema.model import Option
from touchstone.data.batches import View, sent, to_float
from touchstone.data.ops import crops
from touchstone.models import nets
from touchstone.models.predict import BATCH, blocks

MAX_BYTES = 8 * 2**30
PART, PART_SECONDS = ".part", 86_400  # suffix of an unfinished file, and the age at which it counts as abandoned


class Backbone:
    """A net up to its head, in evaluation mode, behind its normalisation.

    net: on the device that computes. name, options: its file and its options. mean, std: float32 (C, 1, 1), in grey
    levels. view: how images become its input.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        name: str,
        options: dict[str, Option],
        mean: torch.Tensor,
        std: torch.Tensor,
        view: View,
    ) -> None:
        self.net, self.head, self.view, self.mean, self.std = net, nets.head_of(name), view, mean, std
        facts = [
            name,
            nets.facts_of(name),
            nets.body_options(name, options),
            view,
            mean.tolist(),
            std.tolist(),
            mean.device.type,
        ]
        facts += [
            arithmetic.held(),
            torch.get_num_threads(),
            *library_versions(),
            digest(Path(__file__), nets.file_of(name)),
        ]
        total = hashlib.sha256(repr(facts).encode())
        for key, value in net.state_dict().items():
            if not key.startswith(self.head + "."):
                total.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self.key = total.hexdigest()

    def features(
        self, pixels: np.ndarray, sizes: np.ndarray | None, *, folder: Path, mirrored: bool = False
    ) -> np.ndarray:
        """Return features float32 (N, D), or (N, 5, D) with five crops, memory-mapped from `folder`.

        pixels: (N, H, W, C). sizes: their valid sizes (N, 2), or None. mirrored: whether to mirror the images.
        Several processes may share a folder.
        """
        file = folder / f"{self._key_of(pixels, sizes, mirrored)}.npy"
        try:
            os.utime(file)  # just used: the last to be removed
            return np.load(file, mmap_mode="r")
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            new = self._compute(pixels, sizes, folder, mirrored)
        features = np.load(new, mmap_mode="r")  # opened before another process may remove it
        new.replace(file)
        _make_room(folder, keep=file)
        return features

    def _key_of(self, pixels: np.ndarray, sizes: np.ndarray | None, mirrored: bool) -> str:
        total = hashlib.sha256(f"{self.key} {pixels.dtype} {pixels.shape} {mirrored}".encode())
        for start in range(0, len(pixels), BATCH):
            total.update(pixels[start : start + BATCH].tobytes())
        if sizes is not None:
            total.update(sizes.tobytes())
        return total.hexdigest()

    def _compute(self, pixels: np.ndarray, sizes: np.ndarray | None, folder: Path, mirrored: bool) -> Path:
        """Compute features into an unfinished file and return it."""
        handle, name = tempfile.mkstemp(suffix=PART, dir=folder)
        os.close(handle)
        out: np.memmap | None = None
        start = 0
        caught: list[torch.Tensor] = []  # the head's input
        hook = self.net.get_submodule(self.head).register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
        self.net.eval()
        with torch.no_grad():
            for batch in blocks(pixels, sizes, self.view):
                x = to_float(sent(batch, self.mean.device), self.mean, self.std)
                self.net(x.flip(3) if mirrored else x)
                features = caught.pop().float().cpu()  # (B * crops, D)
                if crops.count(batch) > 1:
                    features = features.unflatten(0, (len(batch), -1))
                if out is None:
                    shape = (len(pixels), *features.shape[1:])
                    out = np.lib.format.open_memmap(name, mode="w+", dtype=np.float32, shape=shape)
                out[start : start + len(features)] = features.numpy()
                start += len(features)
        hook.remove()
        if out is None:
            raise ValueError("got no images to compute features of")
        out.flush()
        return Path(name)


def _make_room(folder: Path, *, keep: Path) -> None:
    """Remove the oldest files beyond MAX_BYTES, and unfinished files of processes that were killed."""
    now, total, files = time.time(), 0, []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # removed by another process meanwhile
            files.append((file, file.stat()))
    for file, status in sorted(files, key=lambda entry: -entry[1].st_mtime):
        total += status.st_size
        abandoned = file.suffix == PART and now - status.st_mtime > PART_SECONDS
        if abandoned or (total > MAX_BYTES and file.suffix != PART and file != keep):
            file.unlink(missing_ok=True)  # a process that has it open keeps its contents
