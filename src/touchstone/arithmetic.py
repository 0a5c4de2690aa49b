"""Portable arithmetic: the same bits from every x86-64 processor that has AVX2.

Libraries choose code by the processor: vector width in ATen, NumPy and OpenCV, instruction set in oneDNN and IPP,
branch in MKL, kernel in OpenBLAS. Each choice rounds in another order, and after some training steps no weight is the
same. `hold` ties them to one choice that all such processors can run; docs/portability.md says what that costs.

Sources: the environment variables are documented by PyTorch (ATEN_CPU_CAPABILITY), oneDNN (CPU dispatcher control), MKL
(conditional numerical reproducibility), NumPy (CPU dispatcher), OpenBLAS (DYNAMIC_ARCH) and OpenCV (configuration).
"""

import json
import os
import platform
import sys
from collections.abc import MutableMapping
from pathlib import Path

SETTINGS = Path("data/settings")
PINS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # AVX2 differs between makers in exp, log and products of matrices
    "MKL_DYNAMIC": "FALSE",  # MKL may not change the number of threads
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
    "OPENCV_IPP": "avx2",
}


def hold(arithmetic: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Tie the libraries to the code paths of `arithmetic`. It takes effect only before they are imported.

    native leaves the choice to the libraries. So does portable where `is_portable` is False.
    """
    if arithmetic == "portable" and is_portable():
        environment.update(PINS)
        return
    for name, value in PINS.items():
        if environment.get(name) == value:  # set by `hold` in this process or in its parent
            del environment[name]


def declared() -> str:
    """The arithmetic in the settings of the stage that is running; portable in any other process."""
    file = SETTINGS / f"{Path(sys.argv[0]).stem}.json"
    if Path(sys.argv[0]).parent.name != "stages" or not file.is_file():
        return "portable"
    return json.loads(file.read_text(encoding="utf-8")).get("arithmetic", "portable")


def is_portable() -> bool:
    """Whether this processor can give the bits of all others: x86-64 with AVX2 and FMA."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():  # macOS on Intel, Windows
        return True
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    return {"avx2", "fma"} <= set(flags.split())
