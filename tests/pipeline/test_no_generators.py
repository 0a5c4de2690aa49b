"""Without generators no classifier is trained, and the audit looks for copies of test images alone."""

import json
from pathlib import Path

import pytest

from kit.project import project, run
from kit.studies import TINY


@pytest.mark.slow
def test_the_audit_needs_no_classifier(tmp_path: Path) -> None:
    root = project(tmp_path, *TINY)
    run("dvc", "repro", "audit", "filters", cwd=root)
    assert [file.name for file in (root / "data/encoder").iterdir()] == ["model.json"]
    assert json.loads((root / "data/encoder/model.json").read_text()) == {"weights": {}}
    audit = json.loads((root / "data/audit/audit.json").read_text())
    assert audit["encoder"] is None
    assert audit["search"] == {}
    assert audit["sets"]["repeat"]["verdict"] == "no leak found"
    assert {"exact_test", "near_test"} <= set(audit["sets"]["repeat"])
    assert not {"exact_training", "frechet", "nearer"} & set(audit["sets"]["repeat"])
    assert len((root / "data/audit/test-nearest.csv").read_text().splitlines()) > 100, "for the report, by thumbnails"
