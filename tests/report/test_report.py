"""Both products as a whole: escaping, links, equal bytes, missing files."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.report import CLASSES, SPLITS, facts_of, spoken, workspace
from touchstone.config.settings import Settings
from touchstone.data.imageset import load
from touchstone.errors import TouchstoneError
from touchstone.report import attributed, pages, sentences, words
from touchstone.report.facts import Facts
from touchstone.report.gather import gather
from touchstone.report.headline import headline


def test_the_verdict_is_that_of_the_metrics(root: Path, facts: Facts, page: str, twin: str) -> None:
    metrics = json.loads((root / "data/evaluated/metrics.json").read_text())["lenet-more"]
    assert metrics["gain"] == 0.5  # 2 of 6 right, then 5 of 6
    [sentence] = sentences.arm_sentences(facts)
    low, high = (words.points(metrics[key]) for key in ("gain_low", "gain_high"))
    assert metrics["verdict"] == "too few replicates", "two, and nothing to pool"
    text = spoken(sentence)
    assert text == f"more has too few replicates for lenet (+50.00 points, 95 % interval {low} to {high})."
    assert re.sub(r"\s+", " ", _text(page)).count(text) == 1
    assert text in twin.replace("**", "")


def _text(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"(?s)<style>.*?</style>", "", page)))


def test_the_page_and_its_twin_open_with_the_verdict_in_one_sentence(facts: Facts, page: str, twin: str) -> None:
    text = "No verdict: a single comparison needs at least three replicates."
    assert spoken(headline(facts)) == text
    assert twin.splitlines()[2] == text
    first = re.search(r'<p class="verdict">(.*?)</p>', page)
    assert first is not None
    assert unescape(re.sub("<[^>]+>", "", first[1])) == text


def test_the_page_makes_no_request_to_any_server(page: str) -> None:
    assert "http://" not in page
    assert "https://" not in page
    [(kind, script)] = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S)
    assert kind == ' type="module"'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page, "no other script runs"
    assert len(script) < 10_000
    assert "url(" not in page
    assert "src=" not in page
    links = re.findall(r'href="([^"#][^"]*)"', page)
    inline = ("data:image/png;base64,", "data:text/csv;base64,")
    assert {link for link in links if not link.startswith(inline)} == {"runtime.html", "runtime/"}
    pictures = re.findall(r'<image id="[^"]+" href="([^"]+)"', page)
    assert len(pictures) == len(re.findall(r'<image id="', page)) > 8, "the store, where each lies once"


def test_links_within_the_page_have_targets(page: str) -> None:
    links = re.findall(r'<a href="#([^"]+)"', page)
    targets = re.findall(r'(?:href="#|popovertarget=")([^"]+)"', page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(links) == 18
    assert set(targets) <= set(ids)
    assert len(ids) == len(set(ids))
    drawings = re.findall(r"<svg [^>]*>", page)
    assert all("aria-label=" in drawing or 'aria-hidden="true"' in drawing for drawing in drawings)
    assert page.count("<button ") == len(re.findall(r'<button [^>]*aria-label="[^"]+"|>Close</button>', page)) > 8


def test_html_escapes(page: str) -> None:
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;&#34;" in page
    assert "straße_é" in page


def test_equal_inputs_give_equal_bytes(root: Path, page: str, twin: str, tmp_path: Path) -> None:
    again = facts_of(root)
    for name, old, new in (("a.html", page, pages.html(again)), ("a.md", twin, pages.markdown(again))):
        pages.write(tmp_path / name, old)
        before = (tmp_path / name).read_bytes()
        pages.write(tmp_path / name, new)
        assert (tmp_path / name).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file left


def test_nothing_of_the_machine_is_in_the_report(root: Path, page: str, twin: str) -> None:
    for text in (page, twin):
        for word in (str(root), "/home/someone", "e.org", "accelerator", "num_workers", np.__version__):
            assert word not in text


def test_the_settings_that_the_stage_reads_are_shown_in_the_order_of_params_yaml(facts: Facts, page: str) -> None:
    shown = re.findall(r"(?m)^(\w+):", page[page.index("<pre") : page.index("</pre>")].split(">", 1)[1])
    assert shown == [name for name in Settings.model_fields if name not in ("source", "machine")]


@pytest.mark.parametrize("section", ["machine", "source"])
def test_no_other_settings_can_be_read(facts: Facts, section: str) -> None:
    with pytest.raises(AttributeError):
        getattr(facts.settings, section)


def test_worst_predictions(facts: Facts, twin: str) -> None:
    real = facts.result("lenet-real")
    assert [(m.row, m.true, m.predicted) for m in real.mistakes] == [
        (5, CLASSES[1], CLASSES[0]),
        (0, CLASSES[0], CLASSES[1]),
        (4, CLASSES[1], CLASSES[0]),
    ]
    np.testing.assert_allclose([m.probability for m in real.mistakes], [0.95, 0.9, 0.8], atol=1e-6)
    assert real.num_wrong == 4  # 3 are shown
    assert [m.file for m in real.mistakes] == [f"test/{i}|a_.png" for i in (5, 0, 4)]
    assert [m.row for m in facts.result("lenet-more").mistakes] == [2]
    assert "4 of 6 test images wrong; the 3 most confident shown" in pages.html(facts)
    assert r"| lenet-real | test/5\|a\_.png | straße_é | &lt;b&gt;&amp;" in twin


def test_worst_pictures_are_those_images(root: Path, facts: Facts) -> None:
    test = load(root / "data/prepared/test")
    for mistake in facts.result("both").mistakes:
        np.testing.assert_array_equal(mistake.pixels, test.images[mistake.row])


def test_mistakes_show_the_training_image_nearest_to_them(facts: Facts, page: str) -> None:
    mistake = facts.result("lenet-real").mistakes[0]
    assert mistake.nearest is not None
    row = mistake.nearest.row
    assert row == [3, 1, 4, 1, 5, 2][mistake.row]
    assert (mistake.nearest.file, mistake.nearest.label) == (f"train/{row}|a_.png", CLASSES[row * 2 // SPLITS["train"]])
    assert f'href="#train-{row}"' in page


def test_an_ensemble_stands_beside_its_best_member(facts: Facts, page: str) -> None:
    ensemble = facts.result("both")
    member = str(ensemble.scores["baseline"])
    pair = page[page.index(f"both beside {member}") : page.index('id="classes"')]
    titles = [title.strip() for title in re.findall(r'<p class="title">([^<]+)<', pair)]
    assert titles == ["both", f"both minus {member}"]
    gain = words.points(ensemble.value("gain"))
    assert f"both minus its member {member} (its best on validation): {gain} points" in pair
    before = page[page.index('id="confusion"') : page.index("both beside ")]
    titles = [title.strip() for title in re.findall(r'<p class="title">([^<]+)<', before)]
    assert titles == ["lenet-real", "lenet-more", "lenet-more minus lenet-real"]


def test_attributions_are_shown_with_their_errors_and_their_check(facts: Facts, page: str) -> None:
    section = unescape(page[page.index('id="attributions"') : page.index('id="fits"')])
    assert "error of integrated gradients" in section
    assert "0.0012" in section
    assert "−0.0000" not in section
    assert "test/0|a_.png" in section
    ends = "saliency 0.1, integrated_gradients 0.25"
    assert f'aria-label="Rank correlation against randomised layers; last values: {ends}"' in section
    assert attributed.sanity(facts.attributions["lenet-real"]).csv.splitlines()[:2] == [
        "line,randomised layers,rank correlation",
        "saliency,0,1",
    ]


def test_pictures_of_ones_own_have_no_true_class(facts: Facts) -> None:
    run = facts.attributions["lenet-real"]
    rows = [run.images.iloc[0].to_dict() | own for own in ({"own": ""}, {"file": "own.jpg", "true": "", "own": "yes"})]
    tiles = np.concatenate([run.tiles, run.tiles])
    explain = facts.settings.explain.model_copy(update={"pictures": "data/external/own", "classes": ("cat", "ship")})
    settings = facts.settings.model_copy(update={"explain": explain})
    attributions = {"lenet-real": replace(run, images=pd.DataFrame(rows), tiles=tiles)}
    shown = replace(facts, settings=settings, attributions=attributions)
    basis = attributed.basis(shown)
    assert basis.startswith("The most confident errors of cat and ship, and the pixels that supported the wrong class ")
    assert basis.endswith("Pictures of one's own (data/external/own) come last, each with the class predicted.")
    page = unescape(pages.html(shown))
    section = page[page.index('id="attributions"') : page.index('id="fits"')]
    assert section.count(", own picture ") == section.count(", true: <strong>") == 1
    assert [row[1] for row in attributed.images(attributions["lenet-real"]).rows] == [rows[0]["true"], "own picture"]
    assert attributed.pictures(shown).rows == [["lenet-real", "own.jpg", rows[0]["explained"], "0.900"]]
    assert "| lenet-real | own.jpg |" in pages.markdown(shown)
    alone = settings.model_copy(update={"explain": explain.model_copy(update={"images": 0})})
    said = attributed.basis(replace(shown, settings=alone))
    assert said.startswith("Pictures of one's own (data/external/own), and the pixels that supported the predicted ")
    assert "come last" not in said
    assert "own pictures" not in pages.markdown(facts)


def test_each_run_has_a_reliability_diagram(facts: Facts, page: str) -> None:
    section = page[page.index('id="calibration"') : page.index('id="curves"')]
    assert section.count('aria-label="Reliability:') == len(facts.settings.runs)


def test_the_audit_is_shown(page: str, twin: str) -> None:
    for text in (page, twin):
        assert "8 exact &lt;copies&gt;." in text
        assert "8 &lt;nearer&gt; images." in text
        assert "the search finds 100 % of the mirrored ones and 98 % of the noisy ones." in text
        assert "0.125 ± 0.125 (0.125 ± 0.125)" in text
        assert "−4.2 (–)" in text, "a floor of None has no figure"
        assert "87.5 (75.0)" in text
        assert "lenet, 75.0 % of the test images right" in text
    assert page.count('role="img" aria-label="Closest pairs of') == 2
    assert "fitted for 3 steps with batches of 64, 5 of 30 samples reach a confidence of 0.5" in page


def test_unlabelled_predictions(page: str, twin: str) -> None:
    assert "The first 10 of 12 predictions" in page
    assert "unlabelled/11|a_.png" in page
    assert "12 images." in twin


@pytest.mark.parametrize(
    "name", ["data/evaluated/metrics.json", "data/curves/lenet-more.csv", "data/augmented/tilt/sheet.png"]
)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    root = workspace(tmp_path)
    (root / name).unlink()
    with pytest.raises(TouchstoneError, match=f"{Path(name).name}.*dvc repro"):
        facts_of(root)


@pytest.mark.parametrize("missing", ["gan", "tilt"])
def test_a_set_that_the_audit_lacks_is_named(tmp_path: Path, missing: str) -> None:
    root = workspace(tmp_path)
    audit = json.loads((root / "data/audit/audit.json").read_text())
    del audit["sets"][missing]
    (root / "data/audit/audit.json").write_text(json.dumps(audit))
    with pytest.raises(TouchstoneError, match=f"no entry for {missing}; run `dvc repro audit`"):
        facts_of(root)


def test_the_verdict_has_a_page_before_the_audit_and_the_explanations_are_there(root: Path, facts: Facts) -> None:
    early = gather(root, facts.settings, complete=False)
    page = pages.html(early)
    assert headline(early) == headline(facts)
    assert "follow in report.html" in page
    for section in ("audit", "attributions"):
        assert f'id="{section}"' in pages.html(facts)
        assert f'id="{section}"' not in page
    assert 'id="worst"' in page
    assert "nearest training image" not in page


def test_a_costly_net_says_what_its_explanation_left_out(facts: Facts) -> None:
    whole = facts.attributions["lenet-real"]
    assert attributed.reduced("lenet-real", facts) == []
    extent = {"chosen": 6, "images": 4, "checked": 2, "stages": 1, "doublings": 2}
    less = replace(facts, attributions={"lenet-real": replace(whole, extent=extent)})
    assert spoken(attributed.reduced("lenet-real", less)) == (
        "The net is costly, so explain.max_teraflop: 10 limited the explanation to 4 of 6 images, the sanity check of "
        "2 of them and 1 of its 5 stages."
    )
