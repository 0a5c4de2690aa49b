"""Portable arithmetic: the libraries take the code paths they are held to, and native leaves them alone."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.project import ROOT
from touchstone.arithmetic import PINS, hold, is_portable
from touchstone.models import device  # noqa: F401  (it makes square roots exact)

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


@pytest.mark.parametrize("script", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_stages_import_the_project_before_the_libraries_that_it_ties(script: Path) -> None:
    imports = [node for node in ast.parse(script.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]
    others = [str(name).split(".")[0] for name in names if str(name).split(".")[0] not in sys.stdlib_module_names]
    assert others[0] == "touchstone"


@portable_here
def test_native_leaves_the_choice_to_the_libraries(tmp_path: Path) -> None:
    assert "X86_V3" in paths_taken(tmp_path, "native")["numpy"]  # type: ignore[operator]


@portable_here
def test_native_takes_back_what_a_parent_set_and_leaves_the_users_own() -> None:
    environment = {"HOME": "/"}
    hold("portable", environment)
    assert environment.items() >= PINS.items()
    hold("native", environment)
    assert environment == {"HOME": "/"}
    environment = {"OMP_NUM_THREADS": "3"}
    hold("portable", environment)
    hold("portable", environment)  # as in a child of a child
    hold("native", environment)
    assert environment == {"OMP_NUM_THREADS": "3"}
    own = {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1"}
    hold("native", own)
    assert own == {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1"}


@portable_here
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_square_roots_are_exact(kind: torch.dtype) -> None:
    x = torch.rand(10_001, dtype=kind) + 0.001
    exact = np.sqrt(x.numpy())
    assert np.array_equal(x.sqrt(), exact)
    assert np.array_equal(x**0.5, exact)
    assert np.array_equal(x[::3].sqrt(), exact[::3])
    assert np.array_equal(torch._foreach_sqrt([x])[0], exact)
    assert np.array_equal(torch.sqrt(x, out=torch.empty(0, dtype=kind)), exact)
    assert np.array_equal(x.clone().sqrt_(), exact)


@portable_here
@pytest.mark.filterwarnings("error")
def test_roots_that_are_no_real_numbers_are_torchs() -> None:
    assert torch.tensor([-1.0, 4.0]).sqrt().isnan().tolist() == [True, False]
    with pytest.raises(RuntimeError, match="int64"):
        torch.arange(5).sqrt_()


@portable_here
def test_other_powers_and_kinds_are_torchs_own() -> None:
    x = torch.rand(1000) + 0.5
    assert torch.equal(x**2, x * x)
    assert torch.equal(x**-1, x.reciprocal())
    assert torch.allclose(x**1.7, (1.7 * x.log()).exp())
    assert torch.equal(x.bfloat16().sqrt(), x.bfloat16().float().sqrt().bfloat16())
    waves = torch.polar(x, 3 * x)
    assert torch.allclose(waves.sqrt() ** 2, waves, atol=1e-5)
    assert torch.allclose(waves.conj().sqrt(), waves.sqrt().conj())
    counts = torch.arange(5)
    assert torch.equal(counts**2, counts * counts)
    assert (counts**0.5).dtype == counts.sqrt().dtype == torch.float32
    assert torch.allclose(counts**0.5, counts.sqrt())
    leaf = torch.tensor([4.0, 9.0], requires_grad=True)
    (leaf.sqrt().sum() + (leaf**0.5).sum()).backward()
    assert leaf.grad is not None
    assert torch.allclose(leaf.grad, torch.tensor([1 / 2, 1 / 3]))
