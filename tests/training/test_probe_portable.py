"""A probe's fit gives the same bytes on an emulated Intel processor: scikit-learn and SciPy run on pinned code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.portable import emulated
from kit.project import ROOT
from touchstone.arithmetic import is_portable

FIT = """
import hashlib
from touchstone.arithmetic import hold
hold("portable")
import numpy as np
from touchstone.training.regression import Regression
total, rng = hashlib.sha256(), np.random.default_rng(0)
for count, width in ((60, 20), (30, 90)):
    classes = np.arange(count) % 3
    features = (rng.normal(size=(3, width))[classes] + rng.normal(size=(count, width))).astype(np.float32)
    several = np.eye(3)[classes]
    several[:9, 1] = np.nan
    for labels in (classes, several):
        regression = Regression(features, labels, rows=np.arange(count), num_classes=3)
        for C in (0.001, 0.1, 10.0):
            layer = regression.fit(C)
            total.update(layer.weight.tobytes() + layer.bias.tobytes())
print(total.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(not is_portable(), reason="this processor has no AVX2: it rounds in its own way")
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64, in Debian's package qemu-user")
def test_an_emulated_intel_fits_the_same_bytes(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    here, there = (
        subprocess.run([python, "-c", FIT], env=environment, capture_output=True, text=True, check=True).stdout
        for python in (sys.executable, str(emulated(tmp_path / "bin") / "python"))
    )
    assert len(here.strip()) == 64
    assert here == there
