"""The page that compares two revisions: its words, its images out of the cache, and the page in a real browser."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kit.browser import WIDTHS, faults, launched, needs_chromium, opened, unfit
from kit.project import run
from kit.report import workspace
from kit.revisions import LABELS, SAME, SETTINGS, STRONG, WEAK, Files, N, images, names, npy, revision
from touchstone.cli import main
from touchstone.data.encoded import EncodedImages
from touchstone.data.imageset import ImageSet
from touchstone.data.imageset import write as write_set
from touchstone.data.lazy_images import as_array
from touchstone.data.preparation import Preparation
from touchstone.report.pages import write
from touchstone.studies.revision_images import changed_images, npy_rows
from touchstone.studies.revision_page import html
from touchstone.studies.revisions import Revision, common, compare_revisions

BOTH = {"files.csv": names(), "test/images/0000.npy": npy(images())}


def pair(before: dict[str, bytes], after: dict[str, bytes]) -> tuple[Revision, Revision]:
    """Two revisions with these files below data/prepared; `one` mends most images, `same` none."""
    old = replace(revision(same=SAME, one=WEAK), stored=Files(before), params={"train": {"lr": 0.1}})
    new = replace(revision("<new>", same=SAME, one=STRONG), stored=Files(after), params={"train": {"lr": 0.2}})
    return old, new


def page_of(old: Revision, new: Revision, *, count: int = 4) -> str:
    return html(old, new, compare_revisions(old, new, SETTINGS, seed=0), count=count)


def test_the_page_says_what_changed_and_shows_the_images() -> None:
    page = page_of(*pair(BOTH, BOTH))
    assert '<p class="verdict">Accuracy is <span class="word better">better</span> in one.</p>' in page
    assert "&lt;new&gt; compared with old" in page
    assert "<new>" not in page
    assert re.search(r"<th scope=\"row\">train\.lr</th>\s*<td[^>]*>0\.1</td>\s*<td[^>]*>0\.2</td>", page)
    assert "Same predictions: same." in page
    assert 'href="#changed-one"' in page
    assert 'id="changed-one"' in page
    [mended] = re.findall(r"<h3>Mended: 4 of (\d+)</h3>", page)
    before, after = ((each.probs["one"].argmax(2) == LABELS).mean(0) > 0.5 for each in pair({}, {}))
    assert int(mended) == (after & ~before).sum()
    shown = set(re.findall(r'id="(test-\d+)"', page))
    assert shown == set(re.findall(r'href="#(test-\d+)"', page)), "each picture is held once"
    assert re.search(
        r"test/\d{3}\.png: true <strong>[abc]</strong>, taken for <strong>[abc]</strong>; right in 0 → 3", page
    )
    assert page == page_of(*pair(BOTH, BOTH)), "equal revisions give equal bytes"


def test_without_pixels_the_page_names_the_files() -> None:
    page = page_of(*pair({"files.csv": names()}, {}))
    assert "The pixels of the test images are neither in DVC&#39;s cache nor in its remote" in page.replace(
        "'", "&#39;"
    )
    assert re.search(r"<th scope=\"row\">test/\d{3}\.png</th>\s*<td>mended</td>", page)
    assert "<image" not in page
    assert re.search(r"<th scope=\"row\">\d{3}</th>", page_of(*pair({}, {}))), "without names, ids"


def test_where_nothing_changed_the_page_says_so() -> None:
    page = page_of(revision(same=SAME), revision("new", same=SAME))
    assert "No prediction differs." in page
    assert "Both revisions have the same params.yaml." in page
    for absent in ("All metrics", "Changed images", "<table"):
        assert absent not in page


def test_several_labels_have_no_images_that_changed() -> None:
    table = pd.DataFrame({"id": [str(i) for i in range(N)], "label": ["a|b" if i % 2 else "" for i in range(N)]})
    meta = {"classes": ["a", "b"], "multi_label": True}
    rng = np.random.default_rng(3)
    scores = [np.arange(N)[:, None] % 2 * rise + rng.normal(size=(3, N, 2)) for rise in (0.5, 2.0)]
    old, new = (Revision(n, meta, table, [0, 1, 2], {"one": s}, []) for n, s in zip("xy", scores, strict=True))
    page = page_of(old, new)
    assert "Mean AP is" in page
    assert "Changed images" not in page
    assert "#changed" not in page.split("<script")[0]
    assert "NLL" not in page


def test_pixels_and_names_come_from_the_later_revision_else_from_the_earlier() -> None:
    earlier = {"files.csv": names("old/"), "test/images/0000.npy": npy(images(shade=100))}
    for after, stem, shade in ((BOTH, "test/", 0), ({}, "old/", 100), ({"test/images/0000.npy": b"no"}, "old/", 100)):
        old, new = pair(earlier, after)
        moved = replace(new, table=new.table[50:].reset_index(drop=True), probs={"one": STRONG[:, 50:]})
        if after == BOTH:
            moved = replace(
                moved, stored=Files({"files.csv": _without(50), "test/images/0000.npy": npy(images()[50:])})
            )
        found = changed_images(old, moved, common(old, moved), count=2)
        for image in (*found.runs["one"].mended, *found.runs["one"].broken):
            place = image.row + 50  # in the earlier test set
            assert image.file == f"{stem}{place:03}.png"
            assert (image.pixels == (place + shade) % 256).all()


def _without(number: int) -> bytes:
    files = pd.read_csv(io.BytesIO(names()))
    return pd.concat([files[:1], files[1 + number :]]).to_csv(index=False).encode()


def test_padding_is_not_shown() -> None:
    old, new = pair({}, BOTH)
    sizes = {"height": "2", "width": [str(1 + i % 2) for i in range(N)]}
    new = replace(new, table=new.table.assign(**sizes))
    found = changed_images(old, new, common(old, new), count=5)
    for image in found.runs["one"].mended:
        assert image.pixels.shape == (2, 1 + image.row % 2, 1)


class Counted(io.BytesIO):
    """A file that counts the bytes read from it."""

    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.num_read += len(content)
        return content


def test_only_the_rows_that_are_shown_are_read() -> None:
    array = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), np.uint8)
    file = Counted(npy(array))
    assert np.array_equal(npy_rows(file, [70, 3]), array[[70, 3]])
    assert file.num_read < 2 * 8 * 8 * 3 + 200, "two rows and the header"
    assert npy_rows(io.BytesIO(npy(array)), []) == []


def test_rows_of_several_sizes_are_read_without_padding() -> None:
    sizes = np.array([(4, 6), (5, 3), (2, 2)])
    pixels = np.random.default_rng(0).integers(0, 256, (sizes.prod(1).sum(), 3), np.uint8)
    file = Counted(npy(pixels))
    last, middle = npy_rows(file, [2, 1], sizes)
    assert np.array_equal(last, pixels[39:].reshape(2, 2, 3))
    assert np.array_equal(middle, pixels[24:39].reshape(5, 3, 3))
    assert file.num_read < 19 * 3 + 200, "two images and the header"


def test_one_of_several_files_is_not_taken_for_all_images() -> None:
    for sizes in (None, np.tile((8, 8), (40, 1))):
        with pytest.raises(ValueError, match="expected those of 40 images"):
            npy_rows(io.BytesIO(npy(np.zeros((39, 8, 8, 3), np.uint8))), [3], sizes, count=40)


def test_rows_that_an_earlier_release_padded_are_read_without_padding() -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), np.uint8)
    [row] = npy_rows(io.BytesIO(npy(array)), [1], np.array([(4, 6), (5, 3), (2, 2)]))
    assert np.array_equal(row, array[1, :5, :3])


def stored(folder: Path, images: np.ndarray) -> dict[str, bytes]:
    """The files of a revision whose test images lie in several files or as bytes, below data/prepared."""
    table = revision(same=SAME).table
    folder.mkdir(exist_ok=True)
    write_set(folder, ImageSet(images, table.assign(source_id=table["id"], origin="real")), shard_bytes=300)
    files = {f"test/images/{file.name}": file.read_bytes() for file in sorted((folder / "images").iterdir())}
    return {"files.csv": names(), **files}


def encoded_images(folder: Path) -> EncodedImages:
    """The same images as `images`, each a PNG, of which a few are stored as pixels."""
    contents = []
    for row, pixels in enumerate(images()):
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0]).save(buffer, "png")
        contents.append(pixels.tobytes() if row % 3 == 0 else buffer.getvalue())
    lengths = np.array([len(content) for content in contents])
    places = np.stack([np.zeros_like(lengths), np.cumsum(lengths) - lengths, lengths], axis=1)
    how = Preparation(channels=1, image_size=0, resize="squash", max_pixels=100)
    whole = np.frombuffer(b"".join(contents), np.uint8)
    return EncodedImages([whole], np.tile((2, 3), (N, 1)), places, how)


@pytest.mark.parametrize("kind", ["several files", "bytes"])
def test_images_in_several_files_and_as_bytes_are_shown(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = images() if kind == "several files" else as_array(encoded_images(tmp_path))
    monkeypatch.setattr("touchstone.data.as_prepared.resize", lambda image, **_: image)  # these are not square
    files = stored(tmp_path / "p", shown)
    assert len(files) > 4
    sizes = {"height": 2, "width": 3} if kind == "bytes" else {}
    pair_of = [replace(each, table=each.table.assign(**sizes)) for each in pair(BOTH, BOTH)]
    pairs = [replace(each, stored=Files(files)) for each in pair_of]
    plain, other = (changed_images(*both, common(*both), count=4) for both in (pair_of, pairs))
    assert plain.pixels
    assert other.pixels is not None
    assert plain.pixels.keys() == other.pixels.keys()
    for row, pixels in plain.pixels.items():
        assert np.array_equal(pixels, other.pixels[row])
    lacking = {name: content for name, content in files.items() if not name.endswith(".npy") or "places" in name}
    pairs = [replace(each, stored=Files(lacking)) for each in pair_of]
    assert changed_images(*pairs, common(*pairs), count=4).pixels is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(np.zeros((4, 2, 2, 1), np.uint8))[:-1], "row 3: got 3 bytes, expected 4"),
        (npy(np.zeros((4, 2, 2, 1), np.float32)), "got float32"),
        (npy(np.zeros((4, 2), np.uint8)), r"got uint8 \(4, 2\)"),
        (npy(np.asfortranarray(np.zeros((4, 2, 2, 3), np.uint8))), "expected uint8"),
        (npy(np.array([[[[None]]]])), "got object"),
        (b"not an array", "magic"),
    ],
)
def test_a_file_without_such_images_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        npy_rows(io.BytesIO(content), [0, 3])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as the stages leave them, in DVC's cache as of HEAD; one run's predictions differ in the workspace."""
    root = tmp_path_factory.mktemp("compared")
    workspace(root, seeds=3)
    for command in (("git", "init"), ("dvc", "init"), ("dvc", "add", "data"), ("git", "add", "-A")):
        run(*command, "-q", cwd=root) if command != ("git", "add", "-A") else run(*command, cwd=root)
    run("git", "commit", "-qm", "before", cwd=root)
    file = root / "data/probs/lenet-real/test.npy"
    predicted = np.load(file)
    file.unlink()  # it is a link into the cache
    np.save(file, predicted[..., ::-1])
    return root


def test_the_command_writes_page_and_chart_beside_its_text(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    main(["compare", "--html", "page.html", "--png", "chart.png", "--json"])
    assert '"run": "lenet-real"' in capsys.readouterr().out
    page = (project / "page.html").read_text()
    assert "workspace compared with HEAD" in page
    assert "<h3>Mended: 3 of 4</h3>" in page, "report.worst is 3"
    assert "<image" in page
    assert (project / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert not list(project.glob(".*.new"))


@pytest.mark.parametrize("option", ["--html", "--png"])
@pytest.mark.parametrize("place", ["no/such/file", "."])
def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, option: str, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["compare", option, place])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {option} {place}: expected a file in a folder that exists\n"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page with pictures, without, and where nothing changed."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {"pictures": page_of(*pair(BOTH, BOTH)), "names": page_of(*pair({}, {}))}
    pages["same"] = page_of(revision(same=SAME), revision("new", same=SAME))
    for name, page in pages.items():
        write(folder / f"{name}.html", page)
    return {name: folder / f"{name}.html" for name in pages}


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["pictures", "names", "same"])
def test_the_page_fits_asks_nothing_and_is_accessible(browser, files, name: str, width: str, scheme: str) -> None:
    page, heard = opened(browser, files[name], width=width, scheme=scheme)
    assert heard == []
    assert unfit(page) == []
    assert faults(page) == []
    page.close()


@needs_chromium
def test_a_change_leads_to_its_images_which_enlarge(browser, files) -> None:
    page, heard = opened(browser, files["pictures"])
    page.evaluate("document.querySelectorAll('#changed details').forEach(each => each.open = false)")
    page.locator(".forest .gain a").click()
    page.wait_for_function("document.querySelector('#changed details[open]')")
    page.locator("#changed .enlarge").first.press("Enter")
    assert "right in" in page.locator(":popover-open p").inner_text()
    assert heard == []
    page.close()
