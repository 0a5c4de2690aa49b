"""Revisions compared by their predictions: paired, judged, with notes on what is missing or differs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.project import run
from kit.report import spoken
from kit.revisions import LABELS, SAME, SETTINGS, STRONG, WEAK, N, probs, revision
from touchstone.errors import TouchstoneError
from touchstone.evaluation.scores import score
from touchstone.studies import revision_text
from touchstone.studies.revision_images import changed_images
from touchstone.studies.revisions import (
    Change,
    Revision,
    RevisionComparison,
    common,
    compare_revisions,
    read_revision,
)


def test_changes_are_listed_by_metric_and_unchanged_runs_by_name() -> None:
    found = compare_revisions(revision(same=SAME, one=WEAK), revision("new", same=SAME, one=STRONG), SETTINGS, seed=0)
    assert found.unchanged == ["same"]
    assert [change.metric for change in found.changes] == ["accuracy", "macro_f1", "nll", "ece"]
    accuracy, _, nll, _ = found.changes
    assert accuracy.before == pytest.approx(score(WEAK, LABELS)["accuracy"], abs=1e-6)
    assert nll.after == pytest.approx(score(STRONG, LABELS)["nll"], abs=1e-5)
    assert accuracy.low < accuracy.after - accuracy.before < accuracy.high
    assert (accuracy.verdict, nll.verdict) == ("better", "better"), "a lower negative log likelihood is better"
    back = compare_revisions(revision("new", one=STRONG), revision(one=WEAK), SETTINGS, seed=0)
    assert {change.verdict for change in back.changes if change.metric != "ece"} == {"worse"}


def test_chance_is_inconclusive() -> None:
    found = compare_revisions(revision(one=WEAK), revision("new", one=probs(0.6, 9)), SETTINGS, seed=0)
    assert {change.verdict for change in found.changes} == {"inconclusive"}
    assert "Seeds and test images alone could explain every change." in revision_text.text(found)


def test_other_test_sets_and_seeds_are_noted_and_what_is_common_is_compared() -> None:
    old, new = revision(one=WEAK), revision("new", one=STRONG)
    fewer = replace(new, table=new.table[50:].reset_index(drop=True), probs={"one": STRONG[:2, 50:]}, seeds=[2, 1])
    found = compare_revisions(old, fewer, SETTINGS, seed=0)
    assert found.notes[0].startswith("The test sets differ: old has 300 images, new 250; compared on the 250 that")
    assert "The seeds differ: [0, 1, 2] and [2, 1]" in found.notes[1]
    expected = score(WEAK[1:, 50:], LABELS[50:])["accuracy"]
    assert found.changes[0].before == pytest.approx(expected, abs=1e-6)


def test_a_run_that_diverged_is_named_and_not_compared() -> None:
    new = replace(revision("new", one=STRONG, two=STRONG), diverged=["two"])
    found = compare_revisions(revision(one=WEAK, two=WEAK), new, SETTINGS, seed=0)
    assert {change.run for change in found.changes} == {"one"}
    assert found.notes == ["Training diverged in new: two; not compared."]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"meta": {"classes": ["a", "b"]}}, "different classes"),
        ({"meta": {"classes": ["a", "b", "c"], "multi_label": True}}, "whether an image may have several labels"),
        ({"seeds": [7, 8, 9]}, "no seed in common"),
        ({"probs": {"other": STRONG}}, r"no run in common; Only in old: one\. Only in new: other\."),
        ({"probs": {}, "missing": ["one"]}, r"Not in the cache of new: one; `dvc pull`"),
    ],
)
def test_what_cannot_be_compared_says_why(changes: dict, said: str) -> None:
    with pytest.raises(TouchstoneError, match=said):
        compare_revisions(revision(one=WEAK), replace(revision("new", one=STRONG), **changes), SETTINGS, seed=0)


def test_several_labels_are_compared_by_mean_average_precision() -> None:
    table = pd.DataFrame({"id": [str(i) for i in range(N)], "label": ["a|b" if i % 2 else "" for i in range(N)]})
    meta = {"classes": ["a", "b"], "multi_label": True}
    there = np.arange(N) % 2
    rng = np.random.default_rng(3)
    pair = [np.stack([[there * s + rng.normal(size=N)] * 2 for _ in range(3)]).transpose(0, 2, 1) for s in (0.5, 2.0)]
    old, new = (Revision(n, meta, table, [0, 1, 2], {"one": p}, []) for n, p in zip(("old", "new"), pair, strict=True))
    [change] = compare_revisions(old, new, SETTINGS, seed=0).changes
    assert (change.metric, change.verdict) == ("map", "better")


def test_there_are_three_forms_of_text() -> None:
    found = compare_revisions(revision(same=SAME, one=WEAK), revision("new", same=SAME, one=STRONG), SETTINGS, seed=0)
    lines = revision_text.text(found).splitlines()
    assert lines[0] == "new (after) compared with old (before)"
    assert lines[1].split()[:4] == ["run", "or", "ensemble", "metric"]
    assert len({line.find("better") for line in lines[2:5]}) == 1, "aligned"
    assert lines[-1] == "Same predictions: same."
    assert json.loads(revision_text.as_json(found))["changes"][0]["run"] == "one"


def change(run: str, verdict: str, metric: str = "accuracy", value: float = -0.1234) -> Change:
    return Change(run, metric, 0.99, 0.99 + value, value - 0.1, value + 0.1, 0.0001, verdict)


def comparison(*changes: Change, before: str = "old", after: str = "new", notes: tuple = ()) -> RevisionComparison:
    return RevisionComparison(before, after, 0.95, list(changes), [], list(notes))


def test_the_markdown_of_a_review_is_short_and_folds_the_other_metrics() -> None:
    metrics = ("accuracy", "macro_f1", "nll")
    runs = ("resnet18_tuned-ddpm_only", "vote")
    found = comparison(*(change(run, "inconclusive", metric) for run in runs for metric in metrics), notes=("A note.",))
    shown, folded = revision_text.markdown(found).split("<details>")
    assert shown.startswith("### new compared with old\n\nThere is no verdict on accuracy: seeds and test images alone")
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert rows[0] == "| run or ensemble | accuracy % before | after | change (95 % interval) | verdict |"
    assert rows[2] == "| resnet18_tuned-ddpm_only | 99.00 | 86.66 | −12.34 (−22.34 to −2.34) | inconclusive |"
    assert len(rows) == 2 + len(runs)
    assert max(map(len, rows)) <= 100
    assert folded.count("| macro F1 % |") == folded.count("| NLL |") == len(runs)
    assert "accuracy" not in folded
    assert folded.endswith("</details>\n\n- A note.")


def test_the_terminal_has_a_hundred_columns() -> None:
    lines = revision_text.text(comparison(change("resnet18_tuned-ddpm_only", "inconclusive"))).splitlines()
    assert max(map(len, lines)) <= 100


def test_a_long_hash_is_cut_to_seven_characters_and_no_other_name_is() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    found = comparison(change("one", "better"), before=commit, after="HEAD~1", notes=(f"Only in {commit}: two.",))
    for written in (revision_text.text(found), revision_text.markdown(found)):
        assert commit not in written
        assert written.count("0123456") == 2
    assert json.loads(revision_text.as_json(found))["before"] == commit, "complete for programs"
    names = ["workspace", "tonic-sims", "20261129", "202611291037", "feedback", "abcdef1", "v1.2"]
    assert [revision_text.short(name) for name in names] == names


NO_VERDICT = "There is no verdict on accuracy"


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([], "No prediction differs."),
        (
            ["too few replicates"],
            "There is no verdict on accuracy: a single comparison needs at least three replicates.",
        ),
        (["inconclusive"], f"{NO_VERDICT}: seeds and test images alone could explain every change."),
        (["better"], "Accuracy is better in run0."),
        (["worse", "better", "worse"], "Accuracy is better in run1 and worse in run0 and run2."),
        (["better", "inconclusive", "inconclusive"], "Accuracy is better in run0; there is no verdict on the other 2."),
        (["worse"] * 5, "Accuracy is worse in 5 of 5 runs and ensembles."),
    ],
)
def test_the_headline_names_what_became_better_or_worse(verdicts: list[str], said: str) -> None:
    changes = [change(f"run{i}", verdict) for i, verdict in enumerate(verdicts)]
    others = [change(each.run, "worse", "nll") for each in changes]  # another metric decides nothing
    both = [each for pair in zip(changes, others, strict=True) for each in pair]
    assert spoken(revision_text.headline(comparison(*both))) == said


def test_parameters_that_differ_are_listed_by_their_dotted_names() -> None:
    before = {"train": {"lr": 0.1, "steps": 5}, "arms": {"real": {}, "old": {"add": ["a"]}}, "seed": 0}
    after = {"train": {"lr": 0.2, "steps": 5}, "arms": {"real": {}, "new": {"add": ["a", "b"]}}, "seed": 0}
    assert revision_text.parameters(before, after).rows == [
        ["train.lr", "0.1", "0.2"],
        ["arms.old.add", '["a"]', "–"],
        ["arms.new.add", "–", '["a", "b"]'],
    ]
    assert not revision_text.parameters(before, before).rows


MAKE = """
import json, numpy as np, pathlib, yaml
rate = yaml.safe_load(open("params.yaml"))["models"]["net"]["rate"]
for folder in ("data/prepared/test", "data/probs/net-real", "data/ensembles"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
pathlib.Path("data/prepared/meta.json").write_text(json.dumps({"classes": ["a", "b"]}))
labels = np.arange(200) % 2
rows = [f"{i},{'ab'[k]}" for i, k in enumerate(labels)]
pathlib.Path("data/prepared/test/table.csv").write_text("id,label\\n" + "\\n".join(rows) + "\\n")
names = [f"test,{i},{i}.png" for i in range(200)]
pathlib.Path("data/prepared/files.csv").write_text("split,row,file\\n" + "\\n".join(names) + "\\n")
np.save("data/prepared/test/images.npy", np.repeat(np.arange(200, dtype=np.uint8), 4).reshape(200, 2, 2, 1))
right = np.random.default_rng(0).random((3, 200)) < rate
np.save("data/probs/net-real/test.npy", np.where(np.eye(2)[np.where(right, labels, 1 - labels)] > 0, 0.9, 0.1))
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two commits and an experiment; one stage stands for the pipeline."""
    root = tmp_path_factory.mktemp("revisions")
    run("git", "init", "-q", cwd=root)
    run("dvc", "init", "-q", cwd=root)
    (root / ".gitignore").write_text("/data\n")
    (root / "make.py").write_text(MAKE)
    (root / "dvc.yaml").write_text(
        "stages:\n  make:\n    cmd: python make.py\n    deps:\n    - make.py\n    params:\n    - models\n    outs:\n"
        "    - data/prepared\n    - data/probs\n    - data/ensembles\n"
    )
    for rate in (0.6, 0.9):
        (root / "params.yaml").write_text(
            f"models:\n  net:\n    rate: {rate}\narms:\n  real: {{}}\ntrain:\n  seeds: [0, 1, 2]\n"
        )
        run("dvc", "repro", "-q", cwd=root)
        run("git", "add", "-A", cwd=root)
        run("git", "commit", "-qm", f"rate {rate}", cwd=root)
    run("dvc", "exp", "run", "-q", "-n", "lower", "-S", "models.net.rate=0.3", cwd=root)
    run("git", "reset", "-q", "--hard", cwd=root)
    run("dvc", "checkout", "-q", cwd=root)
    return root


def test_commits_experiments_and_the_workspace_are_read_from_the_cache(space: Path) -> None:
    old, new, here, lower = (read_revision(space, rev) for rev in ("HEAD~1", "HEAD", "workspace", "lower"))
    assert np.array_equal(new.probs["net-real"], here.probs["net-real"])
    rates = [score(r.probs["net-real"], np.arange(200) % 2)["accuracy"] for r in (lower, old, new)]
    assert rates == sorted(rates)
    assert rates[0] < 0.4 < rates[1] < 0.7 < rates[2]
    assert compare_revisions(old, new, SETTINGS, seed=0).changes[0].verdict == "better"
    assert not compare_revisions(new, here, SETTINGS, seed=0).changes
    assert (old.params["models"]["net"]["rate"], lower.params["models"]["net"]["rate"]) == (0.6, 0.3)


def test_the_images_that_changed_come_from_the_cache(space: Path) -> None:
    shutil.rmtree(space / "data")
    try:
        old, new = read_revision(space, "HEAD~1"), read_revision(space, "HEAD")
        found = changed_images(old, new, common(old, new), count=3)
    finally:
        run("dvc", "checkout", "-q", cwd=space)
    kept = found.runs["net-real"]
    assert len(kept.mended) == 3 < kept.num_mended
    for image in kept.mended:
        assert image.file == f"{image.row}.png"
        assert (image.pixels == image.row).all()
        assert image.pixels.shape == (2, 2, 1)


def test_an_unknown_revision_and_a_lost_cache_are_one_line(space: Path, tmp_path: Path) -> None:
    with pytest.raises(TouchstoneError, match=r"nope: unknown Git revision 'nope'; give a commit"):
        read_revision(space, "nope")
    bare = Path(shutil.copytree(space, tmp_path / "bare"))
    shutil.rmtree(bare / ".dvc/cache")
    with pytest.raises(TouchstoneError, match="HEAD~1: its test images are not in DVC's cache; run `dvc pull`"):
        read_revision(bare, "HEAD~1")
    assert read_revision(bare, "workspace").probs, "what lies there needs no cache"
    with pytest.raises(TouchstoneError, match=r"run from the folder that holds dvc\.yaml"):
        read_revision(tmp_path, "HEAD")


def test_predictions_of_other_parameters_than_the_present_ones_are_noted(space: Path) -> None:
    before = (space / "params.yaml").read_text()
    assert read_revision(space, "workspace").note == ""
    (space / "params.yaml").write_text(before.replace("rate: 0.9", "rate: 0.8"))
    try:
        new, here = read_revision(space, "HEAD"), read_revision(space, "workspace")
    finally:
        (space / "params.yaml").write_text(before)
    [note] = compare_revisions(new, here, SETTINGS, seed=0).notes
    assert note.startswith("The predictions of workspace, or some of them, are of other parameters, code or data")


def test_damaged_files_are_one_line(space: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(space, tmp_path / "bad"))
    for name in ("data/probs/net-real/test.npy", "data/prepared/meta.json"):
        (bad / name).unlink()
        (bad / name).write_text("<<<<<<< HEAD")
        with pytest.raises(TouchstoneError, match="workspace: its stored files cannot be read"):
            read_revision(bad, "workspace")
        (bad / name).unlink()
        run("dvc", "checkout", "-q", cwd=bad)


def test_a_remote_that_cannot_be_reached_is_one_line(space: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(space, tmp_path / "bare"))
    shutil.rmtree(bare / ".dvc/cache")
    (bare / ".dvc/config.local").write_text("[core]\n    remote = nowhere\n")
    with pytest.raises(TouchstoneError, match=r"^HEAD: ") as caught:
        read_revision(bare, "HEAD")
    assert "\n" not in str(caught.value)


def test_predictions_of_other_parameters_are_refused(space: Path) -> None:
    before = (space / "params.yaml").read_text()
    (space / "params.yaml").write_text(before.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    try:
        with pytest.raises(TouchstoneError, match=r"net-real have 3 seeds and 200 images, .* have 4 and 200; run `dvc"):
            read_revision(space, "workspace")
    finally:
        (space / "params.yaml").write_text(before)
