"""Portable arithmetic: the libraries take the code paths they are held to, and native leaves them alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from touchstone.arithmetic import PINS, hold, is_portable

portable_here = pytest.mark.skipif(not is_portable(), reason="this processor has no AVX2")
SCRIPT = """
import json, touchstone, cv2, numpy, scipy.linalg, torch
from numpy._core._multiarray_umath import __cpu_features__
from threadpoolctl import threadpool_info
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "numpy": [name for name in ("X86_V3", "X86_V4") if __cpu_features__[name]],
    "blas": sorted({pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}),
    "ipp": cv2.ipp.getIppVersion(),
}))
"""


def paths_taken(folder: Path, arithmetic: str) -> dict[str, object]:
    """The code paths that the libraries take in a stage whose settings name `arithmetic`."""
    (folder / "stages").mkdir()
    (folder / "stages/look.py").write_text(SCRIPT)
    (folder / "data/settings").mkdir(parents=True)
    (folder / "data/settings/look.json").write_text(json.dumps({"arithmetic": arithmetic}))
    done = subprocess.run([sys.executable, "stages/look.py"], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@portable_here
def test_portable_holds_each_library_to_avx2(tmp_path: Path) -> None:
    taken = paths_taken(tmp_path, "portable")
    assert taken["torch"] == "AVX2"
    assert taken["numpy"] == []
    assert taken["blas"] == ["Haswell"]
    assert "AVX2" in str(taken["ipp"])


@portable_here
def test_native_leaves_the_choice_to_the_libraries(tmp_path: Path) -> None:
    assert "X86_V3" in paths_taken(tmp_path, "native")["numpy"]  # type: ignore[operator]


@portable_here
def test_native_takes_back_what_portable_set_and_nothing_else() -> None:
    environment = {"HOME": "/", "OPENBLAS_CORETYPE": "Zen"}
    hold("portable", environment)
    assert environment == {"HOME": "/"} | PINS
    environment["MKL_CBWR"] = "AVX2"  # the user's own
    hold("native", environment)
    assert environment == {"HOME": "/", "MKL_CBWR": "AVX2"}
