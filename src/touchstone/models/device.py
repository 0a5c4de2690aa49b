"""The device that computes, its precision, and whether its results repeat to the bit."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import torch
from torch.utils import deterministic

from touchstone.arithmetic import exact_roots, is_portable
from touchstone.errors import TouchstoneError

# Here, as whatever computes with torch picks its device with this module.
exact_roots()
torch.backends.cudnn.allow_tf32 = False  # by default factors of fp32 convolutions are rounded to TF32's 10 bits


def device(accelerator: str, *, count: int = 1, key: str = "machine.devices") -> str:
    """Return torch's name of the device that `machine.accelerator` asks for; auto takes a GPU where there is one.

    Raises TouchstoneError where the machine has no such device, or fewer than `count` (CPU processes are unlimited),
    which `key` of params.yaml asks for.
    """
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        name, available = "cuda", torch.cuda.device_count()
    elif accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        name, available = "mps", 1
    elif accelerator in ("auto", "cpu"):
        name, available = "cpu", count
    else:
        raise TouchstoneError(f"machine.accelerator: this machine has no {accelerator}; set auto or cpu")
    if available < count:
        raise TouchstoneError(f"{key}: got {count}, this machine has {available} ({name}); lower it")
    return name


def device_of_net(accelerator: str, *, devices: int, sync_batch_norm: bool, title: str) -> str:
    """Return torch's name of the devices that fit one net.

    Raises TouchstoneError where there are fewer, and where batch norms over all of them are asked for but there is one,
    or they are not GPUs.
    """
    where = device(accelerator, count=devices, key=f"{title}: devices")
    if sync_batch_norm and (devices == 1 or where != "cuda"):
        raise TouchstoneError(
            f"{title}: sync_batch_norm: it is for several GPUs, and this run has devices {devices} ({where}); set false"
        )
    return where


def check_precision(precision: str, device: str, *, arithmetic: str) -> None:
    """Raise TouchstoneError where the device, by torch's name, would emulate a precision, which is slower than fp32.

    Portable arithmetic makes a CPU emulate bf16: it keeps to AVX2, which has none.
    """
    if precision == "fp32":
        return
    if device == "cpu" and arithmetic == "portable" and is_portable():
        raise TouchstoneError(
            f"precision: {precision} on cpu: arithmetic: portable keeps to instructions without {precision}, and "
            "emulating it is some eight times slower than fp32; set arithmetic: native, or precision: fp32"
        )
    supported = {
        "cpu": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "cuda": device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False),
    }
    if not supported.get(device, False):
        raise TouchstoneError(
            f"precision: {precision} on {device}: this device has no {precision} arithmetic, and emulating it is about "
            "three times slower than fp32; set precision: fp32"
        )


def check_compiler(device: str, *, arithmetic: str) -> None:
    """Raise TouchstoneError where torch.compile cannot translate a net for the device, by torch's name.

    On a CPU it needs a C++ compiler, and writes code for all that the processor has, which portable arithmetic avoids.
    For a GPU of NVIDIA's, Triton needs a C compiler and Python's headers.
    """
    if device == "cuda":
        _check_triton()
    if device != "cpu":
        return
    if arithmetic == "portable" and is_portable():
        raise TouchstoneError(
            "compile: true on cpu: arithmetic: portable keeps to instructions that all processors have, and compiled "
            "nets do not; set arithmetic: native, or compile: false"
        )
    command = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # as torch looks for it
    compiler = command.split()[0]
    if shutil.which(compiler) is None:
        raise TouchstoneError(f"compile: true on cpu needs a C++ compiler, and there is no {compiler}; install it")


def _check_triton() -> None:
    names = (os.environ["CC"],) if "CC" in os.environ else ("clang", "gcc")  # as Triton looks for it
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # the first is Debian's own
    headers = Path(sysconfig.get_paths(scheme)["include"]) / "Python.h"
    for what, is_there in (("a C compiler", any(map(shutil.which, names))), (str(headers), headers.is_file())):
        if not is_there:
            raise TouchstoneError(
                f"compile: true on cuda needs {what}, which is not there; install {' or '.join(names)} and Python's "
                "headers (Debian's python3-dev), or set compile: false"
            )


def make_deterministic(enabled: bool) -> None:
    """Use kernels that give the same bytes each time, or else the fastest ones."""
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.benchmark = not enabled
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time
