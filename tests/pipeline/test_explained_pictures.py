"""Pictures of one's own in a real run: DVC sees them change, and the report shows them."""

from pathlib import Path

import pandas as pd
import pytest

from kit.pictures import lay, picture
from kit.pipeline import stages_run
from kit.project import run
from touchstone.config import yaml
from touchstone.training.resume import inputs


@pytest.mark.slow
def test_pictures_of_ones_own_are_explained_again_when_they_change(tiny_space: Path) -> None:
    assert "data/external/own" in inputs("explain", graph=tiny_space / "dvc.yaml"), "and so in its fingerprint"
    before = pd.read_csv(tiny_space / "data/explained/attributions/lenet-real/images.csv", dtype=str)
    own = lay(tiny_space / "data/external/own", ["cat.png", "more/ship.jpg"])
    params = tiny_space / "params.yaml"
    params.write_text(yaml.changed(params.read_text(), ["explain.pictures=data/external/own"]))
    ran = stages_run(run("dvc", "repro", cwd=tiny_space).stdout)
    assert ran == {"settings", "explain", "report"}
    table = tiny_space / "data/explained/attributions/lenet-real/images.csv"
    images = pd.read_csv(table, dtype=str, keep_default_na=False)
    assert images["file"].tolist() == [*before["file"], "cat.png", "more/ship.jpg"]
    assert images["own"].tolist() == ["", "yes", "yes"]
    row = f"| lenet-real | cat.png | {images['explained'][1]} | {float(images['probability'][1]):.3f} |"
    assert row in (tiny_space / "metrics/report.md").read_text()
    page = (tiny_space / "metrics/report.html").read_text()
    assert "Pictures of one&#39;s own (data/external/own) come last, each with the class predicted." in page
    assert page.count(", own picture ") == 2
    assert run("git", "status", "--porcelain", "data", cwd=tiny_space).stdout == ""

    picture("another").save(own / "cat.png")
    assert stages_run(run("dvc", "repro", cwd=tiny_space).stdout) >= {"explain"}
    again = pd.read_csv(table, dtype=str, keep_default_na=False)
    assert again["logit"][1] != images["logit"][1]
    assert again["logit"][2] == images["logit"][2]

    (own / "more/ship.jpg").write_bytes(b"no image")
    done = run("dvc", "repro", cwd=tiny_space, check=False)
    assert done.returncode
    assert "error: explain.pictures: data/external/own: more/ship.jpg: not an image" in done.stderr
    assert "Traceback" not in done.stderr
