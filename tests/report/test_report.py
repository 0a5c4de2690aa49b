import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.report import CLASSES, SPLITS, facts_of, workspace
from touchstone.config import params
from touchstone.config.sections import Arm, Transform
from touchstone.data.imageset import load
from touchstone.errors import TouchstoneError
from touchstone.report import attributed, charts, html, markdown, matrices, runtime, tables, words, write
from touchstone.report.facts import Facts
from touchstone.report.gather import gather
from touchstone.report.headline import headline


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def facts(root: Path) -> Facts:
    return facts_of(root)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """One seed, no validation split, no unlabelled images."""
    return facts_of(workspace(tmp_path_factory.mktemp("bare"), val=False, unlabelled=False, seeds="[7]"))


@pytest.fixture(scope="module")
def page(facts: Facts) -> str:
    return html.render(facts)


@pytest.fixture(scope="module")
def twin(facts: Facts) -> str:
    return markdown.render(facts)


def test_the_verdict_is_that_of_the_metrics(root: Path, facts: Facts, page: str, twin: str) -> None:
    metrics = json.loads((root / "metrics/metrics.json").read_text())["lenet-more"]
    assert metrics["gain"] == 0.5  # 2 of 6 right, then 5 of 6
    [sentence] = words.arm_sentences(facts)
    text = "".join(part.text for part in sentence)
    low, high = (words.points(metrics[key]) for key in ("gain_low", "gain_high"))
    assert metrics["verdict"] == "inconclusive", "six images and two seeds"
    least = f"detectable {100 * metrics['gain_detectable']:.1f}"
    assert text == f"more is inconclusive for lenet (+50.00 points, 95 % interval {low} to {high}, {least})."
    assert re.sub(r"\s+", " ", _text(page)).count(text) == 1
    assert text in twin.replace("**", "")


def _text(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"(?s)<style>.*?</style>", "", page)))


def test_each_verdict_is_worded_and_grouped(facts: Facts) -> None:
    def entry(verdict: str) -> object:
        scores = {"verdict": verdict, "gain": -0.01, "gain_low": -0.02, "gain_high": 0.0}
        return type(facts.entries[0])(
            "m-more", "run", f"m_{verdict}", "more", scores, np.eye(2), (), 0, {}, pd.DataFrame()
        )

    found = words._clauses([entry(v) for v in ("inconclusive", "hurts", "helps", "helps")], facts.params)
    assert "".join(part.text for part in found) == (
        " helps m_helps (−1.00 points, 95 % interval −2.00 to 0.00) and m_helps (−1.00, −2.00 to 0.00)"
        "; hurts m_hurts (−1.00, −2.00 to 0.00); is inconclusive for m_inconclusive (−1.00, −2.00 to 0.00)"
    )


def test_numbers() -> None:
    assert [words.points(x) for x in (0.02957, -0.005, 0.0, -0.00001, np.nan)] == [
        "+2.96",
        "−0.50",
        "0.00",
        "0.00",
        "–",
    ]
    assert [words.listing(list(x)) for x in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert words.count(1, "image") == "1 image"
    assert words.count(1797, "class", "classes") == "1,797 classes"


def test_the_page_asks_nothing_of_any_server(page: str) -> None:
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "url(" not in page
    assert "src=" not in page
    links = re.findall(r'href="([^"#][^"]*)"', page)
    held = ("data:image/png;base64,", "data:text/csv;base64,")
    assert {link for link in links if not link.startswith(held)} == {"runtime.html", "runtime/"}
    pictures = re.findall(r'<image id="[^"]+" href="([^"]+)"', page)
    assert len(pictures) == len(re.findall(r'<image id="', page)) > 8, "the store, where each lies once"


def test_links_within_the_page_have_targets(page: str) -> None:
    links = re.findall(r'<a href="#([^"]+)"', page)
    targets = re.findall(r'(?:href="#|popovertarget=")([^"]+)"', page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(links) == 15
    assert set(targets) <= set(ids)
    assert len(ids) == len(set(ids))
    drawings = re.findall(r"<svg [^>]*>", page)
    assert all("aria-label=" in found or 'aria-hidden="true"' in found for found in drawings)
    assert page.count("<button ") == len(re.findall(r'<button [^>]*aria-label="[^"]+"|>Close</button>', page)) > 8


def test_html_escapes(page: str) -> None:
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;&#34;" in page
    assert "straße_é" in page


def test_equal_inputs_give_equal_bytes(root: Path, page: str, twin: str, tmp_path: Path) -> None:
    again = facts_of(root)
    for name, old, new in (("a.html", page, html.render(again)), ("a.md", twin, markdown.render(again))):
        write(tmp_path / name, old)
        before = (tmp_path / name).read_bytes()
        write(tmp_path / name, new)
        assert (tmp_path / name).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file left


def test_nothing_of_the_machine_is_in_the_report(root: Path, page: str, twin: str) -> None:
    for text in (page, twin):
        for word in (str(root), "/home/someone", "e.org", "accelerator", "num_workers", np.__version__):
            assert word not in text


def test_worst_predictions(facts: Facts, twin: str) -> None:
    real = facts.entry("lenet-real")
    assert [(m.row, m.true, m.predicted) for m in real.mistakes] == [
        (5, CLASSES[1], CLASSES[0]),
        (0, CLASSES[0], CLASSES[1]),
        (4, CLASSES[1], CLASSES[0]),
    ]
    np.testing.assert_allclose([m.probability for m in real.mistakes], [0.95, 0.9, 0.8], atol=1e-6)
    assert real.num_wrong == 4  # 3 are shown
    assert [m.file for m in real.mistakes] == [f"test/{i}|a_.png" for i in (5, 0, 4)]
    assert [m.row for m in facts.entry("lenet-more").mistakes] == [2]
    assert "4 of 6 test images wrong; the 3 most confident shown" in html.render(facts)
    assert r"| lenet-real | test/5\|a\_.png | straße_é | &lt;b&gt;&amp;" in twin


def test_worst_pictures_are_those_images(root: Path, facts: Facts) -> None:
    test = load(root / "data/prepared/test")
    for mistake in facts.entry("both").mistakes:
        np.testing.assert_array_equal(mistake.pixels, test.images[mistake.row])


def test_class_accuracies_are_the_diagonal(root: Path, facts: Facts) -> None:
    table = tables.class_accuracies(facts)
    for column, entry in enumerate(facts.entries, 2):
        diagonal = entry.confusion.diagonal() / entry.confusion.sum(1)
        shown = [row[column] for row in table.rows]
        assert shown == [words.percent(share) for share in diagonal]
        evaluated = pd.read_csv(root / f"data/plots/classes/{entry.name}.csv")["accuracy"]
        np.testing.assert_allclose(diagonal, evaluated, atol=1e-5)
        assert entry.confusion.sum() == 2 * 6  # both seeds


def test_an_ensemble_stands_beside_its_best_member(facts: Facts, page: str) -> None:
    ensemble = facts.entry("both")
    member = str(ensemble.scores["baseline"])
    pair = page[page.index(f"both beside {member}") : page.index('id="classes"')]
    titles = [found.strip() for found in re.findall(r'<p class="title">([^<]+)<', pair)]
    assert titles == ["both", member, f"both less {member}"]
    assert (
        f"both less its member {member} (its best on validation): {words.points(ensemble.value('gain'))} points" in pair
    )
    before = page[page.index('id="confusion"') : page.index("both beside ")]
    titles = [found.strip() for found in re.findall(r'<p class="title">([^<]+)<', before)]
    assert titles == [*facts.params.runs, "lenet-more less lenet-real"]


def test_each_phase_of_a_model_is_a_row_and_random_frozen_weights_are_named(facts: Facts) -> None:
    phases = [
        {"epochs": 2, "trainable": ["head"], "lr": 0.5},
        {
            "num_steps": 3,
            "batch_norm": "frozen",
            "schedule": "step",
            "decay_epochs": 2,
            "crop_scale": 0.5,
            "hflip": True,
            "weight_decay": 0.1,
        },
    ]
    entry = {
        "net": "resnet",
        "weights": "random",
        "phases": tuple(p | {"trainable": tuple(p.get("trainable", ["all"]))} for p in phases),
    }
    changed = replace(
        facts, params=facts.params.model_copy(update={"models": {"big": entry, "lenet": {"weights": "imagenet"}}})
    )
    table = tables.models(changed)
    first, second, third = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert first["model"] == "big"
    assert first["starts from"] == "random weights, frozen in part: a test of the mechanics"
    assert (first["trained"], first["budget"], first["learning rate"]) == ("head", "2 epochs", "0.5")
    assert (second["model"], second["trained"], second["budget"]) == ("", "all, batch norms frozen", "3 steps")
    assert second["schedule"] == "step 0.1 / 2 epochs"
    assert third["starts from"] == "imagenet"
    assert (first["online augmentation"], second["online augmentation"]) == ("none", "resized crop from 0.5, mirror")
    assert second["optimizer"] == "adam, weight decay 0.1"


def test_markdown_tables_are_well_formed(twin: str) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", twin, re.MULTILINE)
    assert len(blocks) == 14
    for block in blocks:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
        assert set(block.splitlines()[1]) <= set("|:- ")
    assert not re.search(r"\n\n\n", twin)


def test_results_stand_between_their_marks(facts: Facts, twin: str) -> None:
    inner = twin.split("<!-- results:start -->\n")[1].split("<!-- results:end -->")[0]
    assert inner == f"{markdown.grid(tables.accuracies(facts))}\n\n{markdown.grid(tables.scores(facts))}\n"
    assert "| lenet | 33.33 ± 0.00 | 83.33 ± 0.00 |" in inner


def test_arms_are_counted(facts: Facts) -> None:
    assert [row[2:] for row in tables.arms(facts).rows] == [["8", "0", "8", "baseline"], ["8", "8", "16", ""]]
    assert tables.class_counts(facts).rows == [
        [CLASSES[0], "4", "2", "3"],
        [CLASSES[1], "4", "2", "3"],
        ["all", "8", "4", "6"],
    ]


def test_the_audit_is_told(page: str, twin: str) -> None:
    for text in (page, twin):
        assert "8 exact &lt;copies&gt;." in text
        assert "0.125 ± 0.125 (0.125 ± 0.125)" in text
        assert "−4.2 (–)" in text, "nothing can be said of a floor of None"
        assert "87.5 (75.0)" in text
        assert "lenet, 75.0 % of the test images right" in text
    assert page.count('role="img" aria-label="Closest pairs of') == 2
    assert "fitted for 3 steps of 64, 5 of 30 samples reach a confidence of 0.5" in page


def test_losses_of_generators_are_drawn(facts: Facts) -> None:
    assert [chart.title for chart in charts.losses(facts.losses["gan"])] == ["Loss", "Diversity of samples"]
    assert [name for name, *_ in charts.losses(facts.losses["gan"])[0].lines] == ["loss", "discriminator loss"]


@pytest.mark.parametrize("missing", ["gan", "tilt"])
def test_a_set_that_the_audit_lacks_is_named(tmp_path: Path, missing: str) -> None:
    root = workspace(tmp_path)
    audit = json.loads((root / "metrics/audit.json").read_text())
    del audit["sets"][missing]
    (root / "metrics/audit.json").write_text(json.dumps(audit))
    with pytest.raises(TouchstoneError, match=f"no entry for {missing}; run `dvc repro audit`"):
        gather(root, params.load(root / "params.yaml"))


def test_unlabelled_predictions(page: str, twin: str) -> None:
    assert "The first 10 of 12 predictions" in page
    assert "unlabelled/11|a_.png" in page
    assert "12 images." in twin


def test_without_validation_split_and_with_one_seed(bare: Facts) -> None:
    assert "its first one, as there are no validation images" in words.beside(bare.entry("both"), bare)
    page, twin = html.render(bare), markdown.render(bare)
    assert [chart.title for chart in charts.curves(bare, "lenet")] == ["Training loss, log scale", "Learning rate"]
    assert "Validation" not in page
    assert "There are none." in page
    for text in (page, twin):
        assert "says nothing about other seeds" in text
        assert "no validation" in text
        assert "over the seeds" not in text.split("Learning curves")[0].split("Audit of")[0]
    assert [sheet.name for sheet in bare.sheets] == ["train", "test", "tilt", "gan"]


def test_several_seeds_are_covered(page: str, twin: str) -> None:
    for text in (page, twin):
        assert "covers the chance in the 2 seeds" in text
        assert "ignores that one training split was drawn" in text


def test_many_classes_make_a_shaded_matrix_without_numbers(facts: Facts) -> None:
    entry = facts.entries[0]
    assert len(matrices.cells(entry, CLASSES)) == np.count_nonzero(entry.confusion)
    assert matrices.cells(entry, [str(i) for i in range(100)]) == []


def test_the_difference_of_two_matrices_is_in_points_of_the_rows(facts: Facts) -> None:
    more, real = facts.entry("lenet-more"), facts.entry("lenet-real")
    found = matrices.difference(more, real, CLASSES)
    rows = [more.confusion[i] / more.confusion[i].sum() - real.confusion[i] / real.confusion[i].sum() for i in (0, 1)]
    assert found.title == "lenet-more less lenet-real"
    assert {(cell.row, cell.column): cell.text for cell in found.cells} == {
        (i, j): f"{100 * rows[i][j]:+.0f}".replace("-", "−") for i in (0, 1) for j in (0, 1) if rows[i][j]
    }
    assert matrices.difference(real, real, CLASSES).cells == []
    assert "none" in matrices.difference(real, real, CLASSES).note
    header, *lines = list(csv.reader(io.StringIO(found.csv)))
    assert header[1:] == CLASSES
    np.testing.assert_allclose([[float(cell) for cell in line[1:]] for line in lines], rows, atol=1e-5)


def spoken(sentence) -> str:
    return "".join(part.text for part in sentence)


def test_the_page_and_its_twin_open_with_the_verdict_in_one_sentence(facts: Facts, page: str, twin: str) -> None:
    assert spoken(headline(facts)) == "Against real, nothing helps or hurts; more is inconclusive."
    assert twin.splitlines()[2] == "Against **real**, nothing helps or hurts; **more** is **inconclusive**."
    first = re.search(r'<p class="verdict">(.*?)</p>', page)
    assert first is not None
    assert unescape(re.sub("<[^>]+>", "", first[1])) == spoken(headline(facts))


def test_methods_are_told_by_what_they_miss_and_how_they_stand_the_check(facts: Facts, twin: str) -> None:
    assert attributed.checks(facts).rows == [
        ["lenet-real", "saliency", "–", "–", "0.10", "0.70"],
        ["lenet-real", "integrated gradients", "0.001", "0.001", "–", "0.80"],
    ]
    assert "| lenet-real | saliency | – | – | 0.10 | 0.70 |" in twin


def judged(facts: Facts, **verdicts: str) -> Facts:
    """Facts of models and arms with these verdicts: model__arm=verdict."""
    known = {name.replace("__", "-"): word for name, word in verdicts.items()}
    models, arms = (list(dict.fromkeys(name.split("-")[i] for name in known)) for i in (0, 1))
    every = {"arms": {arm: {} for arm in ("real", *arms)}, "models": {m: {"net": "lenet"} for m in models}}
    settings = facts.params.model_copy(update=every)
    blank = facts.entry("lenet-more")
    entries = tuple(
        replace(blank, name=name, model=name.split("-")[0], arm=name.split("-")[1], scores={"verdict": word})
        for name, word in known.items()
    )
    return replace(facts, params=settings, entries=entries)


def test_the_one_sentence_groups_arms_that_do_the_same(facts: Facts) -> None:
    found = judged(facts, a__x="helps", b__x="helps", a__y="helps", b__y="helps", a__z="inconclusive", b__z="helps")
    assert spoken(headline(found)) == "Against real, x and y help both models; z helps b; nothing hurts."
    found = judged(facts, a__x="hurts", a__y="diverged", a__z="inconclusive")
    assert spoken(headline(found)) == "Against real, nothing helps; x hurts a; z is inconclusive; y diverged."


def test_plain_copies_that_seem_to_help_are_told_as_a_failed_control(facts: Facts) -> None:
    found = judged(facts, a__x="helps", a__twice="hurts")
    arms = {"real": Arm(), "x": Arm(add=("tilt",)), "twice": Arm(add=("repeat",))}
    more = {"arms": arms, "transforms": {"repeat": Transform(), "tilt": Transform(rotate_deg=5)}}
    found = replace(found, params=found.params.model_copy(update=more))
    [text] = words.failures(found)
    assert text.startswith("a-twice hurts, though plain copies at as many steps are no other training set")
    epochs = found.params.model_copy(update={"models": {"a": {"net": "lenet", "num_steps": 0, "epochs": 3}}})
    assert words.failures(replace(found, params=epochs)) == []


def test_mistakes_show_the_training_image_nearest_to_them(facts: Facts, page: str) -> None:
    found = facts.entry("lenet-real").mistakes[0]
    train = load_train(facts)
    assert found.nearest is not None
    assert found.nearest.row == [3, 1, 4, 1, 5, 2][found.row]
    assert (found.nearest.file, found.nearest.label) == train[found.nearest.row]
    assert f'href="#train-{found.nearest.row}"' in page


def load_train(facts: Facts) -> dict[int, tuple[str, str]]:
    return {row: (f"train/{row}|a_.png", CLASSES[row * 2 // SPLITS["train"]]) for row in range(SPLITS["train"])}


def test_attributions_are_shown_with_what_they_miss_and_their_check(facts: Facts, page: str) -> None:
    section = unescape(page[page.index('id="attributions"') : page.index('id="fits"')])
    assert "integrated gradients misses by" in section
    assert "0.0012" in section
    assert "−0.0000" not in section
    assert "test/0|a_.png" in section
    assert (
        'aria-label="Rank correlation against layers drawn anew; last values: saliency 0.1, integrated_gradients 0.25"'
        in section
    )
    assert attributed.sanity(facts.attributions["lenet-real"]).csv.splitlines()[:2] == [
        "line,layers drawn anew,rank correlation",
        "saliency,0,1",
    ]


def test_a_lone_baseline_has_nothing_to_compare(facts: Facts) -> None:
    settings = params.Params.model_validate(facts.params.model_dump() | {"arms": {"real": {}}, "ensembles": {}})
    assert words.basis(replace(facts, params=settings)).startswith("Only the baseline arm, real, was run")


@pytest.mark.parametrize("name", ["metrics/metrics.json", "data/curves/lenet-more.csv", "data/pools/tilt/sheet.png"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    root = workspace(tmp_path)
    (root / name).unlink()
    with pytest.raises(TouchstoneError, match=f"{Path(name).name}.*dvc repro"):
        facts_of(root)


def test_runtime_notes(tmp_path: Path) -> None:
    hardware = {"system": "Linux <1>", "cores": 2}
    note = {"stage": "train@a", "seconds": 61.5, "peak_memory_mib": 1234, "started": "2024-01-02T03:04:05+00:00"}
    note |= {"images_per_second": [3036, 640], "hardware": hardware, "versions": {"python": "3.11"}}
    (tmp_path / "train@a.json").write_text(json.dumps(note))
    (tmp_path / "check.json").write_text(
        json.dumps({"stage": "check", "hardware": hardware, "versions": {"python": "3"}})
    )
    (tmp_path / "broken.json").write_text("{")
    page = runtime.render(tmp_path)
    assert [text in page for text in ("61.50", "3,036 / 640", "1,234", "2024-01-02 03:04:05 UTC", "1 min 02 s")] == [
        True
    ] * 5
    assert page.count("Linux &lt;1&gt;") == 1  # equal for both
    assert len(runtime.shared(runtime.read(tmp_path), "versions")) == 2
    assert "broken" not in page


def test_runtime_without_notes(tmp_path: Path) -> None:
    assert "No stage has left a note yet." in runtime.render(tmp_path / "none")


def test_a_run_that_is_compared_with_another_is_told_and_its_attention_drawn(tmp_path: Path, facts: Facts) -> None:
    found = facts_of(workspace(tmp_path, finetunes="{on: {net: lenet, init_from: lenet-real}}"))
    page, twin = html.render(found), markdown.render(found)
    [sentence] = words.run_sentences(found)
    text = "".join(part.text for part in sentence)
    assert re.match(r"on-real (helps|is inconclusive) against lenet-real \(\+50.00 points, 95 % interval ", text)
    assert text[8:] in re.sub(r"<[^>]+>", "", page)
    assert "against lenet-real" in twin
    assert "Runs on the baseline arm are compared with the run that is named." in page
    assert [row[2] for row in tables.models(found).rows] == ["random weights", "lenet-real"]
    assert "0.80 to 1.50 times an even share" in page
    assert page.count('id="attention"') == 1
    assert "on-real" in page[page.index('id="attention"') :]
    assert 'id="attention"' not in html.render(facts)
    assert words.run_sentences(facts) == []


def test_where_the_other_run_diverged_it_is_that_one_that_is_named(tmp_path: Path) -> None:
    found = facts_of(workspace(tmp_path, finetunes="{on: {net: lenet, init_from: lenet-real}}", diverged="lenet-real"))
    [sentence] = words.run_sentences(found)
    text = "".join(part.text for part in sentence)
    assert text == "on-real and lenet-real are not compared: lenet-real diverged."


def test_a_run_that_diverged_is_named_first_and_drawn_nowhere(tmp_path: Path) -> None:
    facts = facts_of(workspace(tmp_path, diverged="lenet-more"))
    page, twin = html.render(facts), markdown.render(facts)
    [sentence] = words.arm_sentences(facts)
    assert "".join(part.text for part in sentence) == "more diverged with lenet (1 of 2 seeds)."
    assert words.failures(facts) == [
        "lenet-more, seed 0: diverged after 1.5 epochs: <boom>.",
        "both leaves out lenet-more, whose training diverged.",
    ]
    assert "&lt;boom&gt;" in page
    assert "diverged: 1 of 2 seeds" in page
    assert "diverged: 1 of 2 seeds" in twin
    assert "left out: lenet-more, diverged" in twin
    assert charts.forest(facts) is None, "no interval, no bar"
    assert facts.entry("both").scores["baseline"] == "lenet-real"


def test_where_the_baseline_diverged_there_is_nothing_to_draw(tmp_path: Path) -> None:
    facts = facts_of(workspace(tmp_path, diverged="lenet-real"))
    [sentence] = words.arm_sentences(facts)
    assert "".join(part.text for part in sentence) == "more diverged with lenet (its baseline)."
    assert "diverged: its baseline" in html.render(facts)


def test_a_learning_rate_that_was_found_is_told_and_drawn(tmp_path: Path, facts: Facts, page: str) -> None:
    found = facts_of(workspace(tmp_path, lr="auto"))
    text = html.render(found)
    assert "Learning-rate finder" in text
    assert "Learning-rate finder" not in page
    assert "auto: 0.003" in text
    assert "auto: 0.003" in markdown.render(found)
    [chart] = charts.rates(found).values()
    assert [text for _, text in chart.x_ticks] == ["1e-4", "1e-3", "1e-2"]
    assert [round(x) for x, _ in chart.x_ticks] == [0, 150, 300]
