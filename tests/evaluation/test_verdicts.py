"""Verdicts in simulated studies with a known truth: benchmarks/verdicts.py on a small scale."""

import importlib.util
from types import ModuleType

import pytest

from kit.project import ROOT


@pytest.fixture(scope="module")
def verdicts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdicts", ROOT / "benchmarks/verdicts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("num_images", [200, 1000, 10000])
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_intervals_hold_the_truth_and_false_verdicts_are_few(
    verdicts: ModuleType, num_seeds: int, num_images: int
) -> None:
    """In 200 studies each: 93 % and 6.5 %, with a margin of two standard errors."""
    outcomes = [verdicts.study(i, num_seeds=num_seeds, num_images=num_images, num_resamples=500) for i in range(200)]
    assert sum(holds for holds, *_ in outcomes) / 200 >= 0.93 - 2 * 0.018
    assert sum(false for *_, false, _ in outcomes) / 200 <= 0.065 + 2 * 0.017


def test_the_table_is_written(verdicts: ModuleType) -> None:
    coverage, width, false, alone = verdicts.cell(3, 100, studies=10, num_resamples=200, jobs=1)
    assert 0.7 <= coverage <= 1
    assert width > 1
    assert false <= alone <= 1
