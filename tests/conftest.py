"""Fixtures that tests of several rooms share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import touchstone  # noqa: F401  (before any test imports NumPy: it ties the arithmetic to portable code)

# Nets of tests are tiny: a second thread only waits for the first, and for whatever else the machine does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shells start background jobs with Ctrl-C ignored, and what tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take a minute or more, in an order in which two workers seldom wait for the same thing; the rest follows.
FIRST = (
    "pipeline/test_rerun.py",
    "config/test_bad_input.py",
    "cluster/test_repro.py",
    "pipeline/test_resume.py",
    "pipeline/test_new_stage.py",
    "pipeline/test_pipeline.py",
    "pipeline/test_portable.py",
    "pipeline/test_settings.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no worker is left alone with one of them in the end."""
    folder = Path(__file__).parent
    place = {folder / name: position for position, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images that TOUCHSTONE_TEST_DATA names; skips where it is unset."""
    folder = os.environ.get("TOUCHSTONE_TEST_DATA")
    if not folder:
        pytest.skip("TOUCHSTONE_TEST_DATA is not set: it names the folder of real images to test with")
    return Path(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the tiny pipeline ran once and was committed."""
    from kit.pipeline import tiny_run  # here: it reads the environment that is set above

    return tiny_run(tmp_path_factory)


@pytest.fixture
def tiny_space(tiny: Path) -> Iterator[Path]:
    """The same; each test ends with the committed state again."""
    from kit.pipeline import reset

    yield tiny
    reset(tiny)
