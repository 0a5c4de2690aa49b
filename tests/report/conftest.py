"""Facts and both products of a small run, made once."""

from pathlib import Path

import pytest

from kit.report import facts_of, workspace
from touchstone.report import pages
from touchstone.report.facts import Facts


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def facts(root: Path) -> Facts:
    return facts_of(root)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """One seed, no validation split, no unlabelled images."""
    return facts_of(workspace(tmp_path_factory.mktemp("bare"), val=False, unlabelled=False, seeds=1))


@pytest.fixture(scope="session")
def page(facts: Facts) -> str:
    return pages.html(facts)


@pytest.fixture(scope="session")
def twin(facts: Facts) -> str:
    return pages.markdown(facts)
