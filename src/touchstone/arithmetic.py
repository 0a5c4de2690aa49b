"""Portable arithmetic: the same bits from every x86-64 processor that has AVX2.

Libraries choose code by the processor: vector width in ATen, NumPy and OpenCV, instruction set in oneDNN and IPP,
branch in MKL, kernel in OpenBLAS. Each choice rounds in another order, and after some training steps no weight is the
same. `hold` ties them to one choice that all such processors can run; docs/reproducibility.md says what that costs.

Sources: the environment variables are documented by PyTorch (ATEN_CPU_CAPABILITY), oneDNN (CPU dispatcher control), MKL
(conditional numerical reproducibility), NumPy (CPU dispatcher), OpenBLAS (DYNAMIC_ARCH) and OpenCV (configuration).
"""

import json
import os
import platform
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

SETTINGS = Path("data/settings")
PINS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # AVX2 differs between makers in exp, log and products of matrices
    "MKL_DYNAMIC": "FALSE",  # MKL may not change the number of threads
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",  # of code that sets no number: the machine's cores decide nothing
    "OPENCV_IPP": "avx2",
}
WITH_AVX512 = {"OPENCV_CPU_DISABLE": "AVX512-SKX"}  # OpenCV warns where there is nothing to disable
MARK = "TOUCHSTONE_ARITHMETIC"  # tells child processes that their environment was set here
REPLACED = "TOUCHSTONE_REPLACED"  # the user's own values of these variables, as JSON

_overrides: list[Any] = []


def hold(arithmetic: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Tie the libraries to the code paths of `arithmetic`. It takes effect only before they are imported.

    native leaves the choice to the libraries. So does portable where `is_portable` is False.
    """
    if arithmetic == "portable" and is_portable():
        pins = PINS | (WITH_AVX512 if "avx512f" in _processor_flags() else {})
        if MARK not in environment:
            environment[REPLACED] = json.dumps({name: environment[name] for name in pins if name in environment})
        environment.update({MARK: arithmetic} | pins)
    elif environment.pop(MARK, ""):  # a parent process is portable
        for name in (*PINS, *WITH_AVX512):
            environment.pop(name, None)
        environment.update(json.loads(environment.pop(REPLACED, "{}")))


def held() -> str:
    """The arithmetic of this process: portable or native."""
    return os.environ.get(MARK, "native")


def exact_roots() -> None:
    """Let torch take square roots by NumPy on the CPU, if the arithmetic is portable.

    torch's own are MKL's, which start from an approximation (rsqrtps) that every maker of processors is free to choose:
    one root of float32 in five is not the nearest number. NumPy's instruction, sqrtps, is exact by IEEE 754. Optimizers
    such as RMSprop and the noise schedules of a DDPM depend on it.
    """
    if held() != "portable" or _overrides:
        return
    import numpy as np
    import torch

    def sqrt(x: torch.Tensor) -> torch.Tensor:
        if x.dtype in (torch.bfloat16, torch.float16):  # as torch does; NumPy has no bfloat16
            return sqrt(x.float()).to(x.dtype)
        exact = x.is_floating_point() or x.is_complex()
        out = torch.empty_like(x, dtype=x.dtype if exact else torch.get_default_dtype())
        with np.errstate(invalid="ignore"):  # of a negative number it is NaN, without a warning, as torch's own
            np.sqrt(x.detach().resolve_conj().numpy(), out=out.numpy(), dtype=out.numpy().dtype)
        return out

    def sqrt_in_place(x: torch.Tensor) -> torch.Tensor:
        if not (x.is_floating_point() or x.is_complex()):
            raise RuntimeError(f"the square root of a tensor of {x.dtype} cannot replace it")
        return x.copy_(sqrt(x))

    def sqrt_out(x: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        return out.resize_(x.shape).copy_(sqrt(x))

    def power(x: torch.Tensor, exponent: float) -> torch.Tensor:
        if exponent == 0.5 and x.is_floating_point():
            return torch.sqrt(x)
        out = torch.empty(0, dtype=torch.result_type(x, exponent))
        return torch.ops.aten.pow.Tensor_Scalar_out(x, exponent, out=out)

    library = torch.library.Library("aten", "IMPL")
    for name, function in {
        "sqrt": sqrt,
        "sqrt_": sqrt_in_place,
        "sqrt.out": sqrt_out,
        "pow.Tensor_Scalar": power,
    }.items():
        library.impl(name, function, "CPU", allow_override=True)
    _overrides.append(library)  # they last as long as it does


def is_stage(script: str) -> bool:
    return Path(script).parent.name == "stages"


def declared(script: str) -> str:
    """The arithmetic in the settings of a stage, given its script; portable for any other script."""
    file = SETTINGS / f"{Path(script).stem}.json"
    if not is_stage(script) or not file.is_file():
        return "portable"
    return json.loads(file.read_text(encoding="utf-8")).get("arithmetic", "portable")


def note(arithmetic: str) -> str:
    """Return a line for users whose processor cannot be portable; "" for all others."""
    if arithmetic != "portable" or is_portable():
        return ""
    return f"arithmetic: this processor ({platform.machine()}, no AVX2) rounds in its own way: expect other bytes\n"


def is_portable() -> bool:
    """Whether this processor can give the bits of all others: x86-64 with AVX2 and FMA."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return not (flags := _processor_flags()) or {"avx2", "fma"} <= flags


def _processor_flags() -> set[str]:
    """The features that Linux lists; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return set(next((line for line in lines if line.startswith("flags")), "").split())
