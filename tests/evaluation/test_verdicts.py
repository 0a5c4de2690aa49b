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
@pytest.mark.parametrize("num_arms", [1, 5])
def test_intervals_hold_the_truth_and_false_verdicts_are_few(
    verdicts: ModuleType, num_seeds: int, num_images: int, num_arms: int
) -> None:
    """In 200 studies each: 93 % and 6 %, with a margin of two standard errors."""
    sizes = {"num_seeds": num_seeds, "num_images": num_images, "num_arms": num_arms, "odd": ""}
    outcomes = [verdicts.study(number, **sizes) for number in range(200)]
    assert sum(covered for _, covered, _, _ in outcomes) / 200 >= 0.93 - 2 * 0.018
    assert sum(false for false, *_ in outcomes) / 200 <= 0.06 + 2 * 0.017


def test_the_table_is_written(verdicts: ModuleType) -> None:
    for odd in ("", "arm", "baseline", "fails"):
        false, coverage, width, found = verdicts.cell(3, 100, 2, odd, studies=10, jobs=1)
        assert 0.6 <= coverage <= 1
        assert width > 1
        assert max(false, found) <= 0.5
