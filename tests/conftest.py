"""Small real things to test with: image sets, a project copy, a command that runs as a user would run it."""

import os
from pathlib import Path

import pytest

# Nets of tests are tiny: a second thread only waits for the first, and for whatever else the machine does.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images that TOUCHSTONE_TEST_DATA names; skips where it is unset."""
    folder = os.environ.get("TOUCHSTONE_TEST_DATA")
    if not folder:
        pytest.skip("TOUCHSTONE_TEST_DATA is not set: it names the folder of real images to test with")
    return Path(folder)
