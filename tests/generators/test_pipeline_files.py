"""A pipeline's files: packed with their hashes, from a folder or a hub, and refused in one line."""

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import pretrained
from kit.params import load, message
from touchstone.errors import TouchstoneError
from touchstone.generators.diffusers.files import PipelineFacts, check_files, pack, read_facts

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained.unconditional(tmp_path_factory.mktemp("made") / "tiny")


def packed(tmp_path: Path, pipeline: Path | str, *, has_labels: bool = True, old: str = "none") -> PipelineFacts:
    to = tmp_path / "packed"
    to.mkdir()
    where = {"old": tmp_path / old, "downloads": tmp_path / "downloads"}
    return pack("g", str(pipeline), has_labels=has_labels, to=to, **where)


def refused(tmp_path: Path, pipeline: Path | str, **how: Any) -> str:
    with pytest.raises(TouchstoneError) as caught:
        packed(tmp_path, pipeline, **how)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("generators.g.pipeline: ")
    return str(caught.value)


def copied(pipeline: Path, to: Path) -> Path:
    for file in pipeline.rglob("*"):
        if file.is_file():
            (to / file.relative_to(pipeline)).parent.mkdir(parents=True, exist_ok=True)
            (to / file.relative_to(pipeline)).write_bytes(file.read_bytes())
    return to


def changed(folder: Path, **entries: Any) -> Path:
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return folder


def test_a_folder_is_packed_with_hashes_and_licence(tmp_path: Path, pipeline: Path) -> None:
    (copied(pipeline, tmp_path / "in") / "unet/notes.txt").write_text("not needed")
    facts = packed(tmp_path, tmp_path / "in")
    assert (facts.kind, facts.licence, facts.revision) == ("DDPMPipeline", "mit", "")
    assert read_facts(tmp_path / "packed") == facts
    for path, sha256 in facts.files.items():
        assert hashlib.sha256((tmp_path / "packed" / path).read_bytes()).hexdigest() == sha256
    assert "unet/notes.txt" not in facts.files
    check_files(tmp_path / "packed", facts)
    (tmp_path / "packed/unet/config.json").unlink()
    with pytest.raises(TouchstoneError, match="run `dvc checkout --force`"):
        check_files(tmp_path / "packed", facts)


def test_an_early_pipeline_has_its_model_at_the_top(tmp_path: Path, pipeline: Path) -> None:
    flat = copied(pipeline, tmp_path / "in")
    for folder in ("unet", "scheduler"):
        for file in (flat / folder).iterdir():
            file.rename(flat / file.name)
        (flat / folder).rmdir()
    facts = packed(tmp_path, flat)
    assert "unet/diffusion_pytorch_model.safetensors" in facts.files
    assert facts.files["unet/config.json"] == hashlib.sha256((pipeline / "unet/config.json").read_bytes()).hexdigest()
    check_files(tmp_path / "packed", facts)


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\ntags:\n- x\nlicense: other\nlicense_name: stability-ai\n---\n", "stability-ai"),
        ("---\nlicense: 'openrail'  # of the weights\n---\n", "openrail"),
        ("# license: mit\n", ""),
        ("", ""),
    ],
)
def test_the_licence_is_that_of_the_models_card(tmp_path: Path, pipeline: Path, head: str, licence: str) -> None:
    (copied(pipeline, tmp_path / "in") / "README.md").write_text(head)
    assert packed(tmp_path, tmp_path / "in").licence == licence


def test_what_has_code_or_pickles_is_refused(tmp_path: Path, pipeline: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "d").mkdir()
    coded = changed(copied(pipeline, tmp_path / "1"), _class_name=["pipeline", "MyPipeline"])
    assert "has code of its own for a pipeline, which is never run" in refused(tmp_path / "a", coded)
    part = changed(copied(pipeline, tmp_path / "2"), unet=["my_unet", "MyUnet"])
    assert "its unet is ['my_unet', 'MyUnet'], expected diffusers's UNet2DModel" in refused(tmp_path / "b", part)
    pickled = copied(pipeline, tmp_path / "3")
    weights = pickled / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    text = refused(tmp_path / "c", pickled)
    assert "unet/diffusion_pytorch_model.bin is a pickle, which can run code and is never loaded" in text
    other = changed(copied(pipeline, tmp_path / "4"), _class_name="FluxPipeline")
    assert "got a FluxPipeline, expected one of DDPMPipeline, " in refused(tmp_path / "d", other)


def test_what_is_no_pipeline_is_said(tmp_path: Path, pipeline: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    assert "no such folder" in refused(tmp_path / "a", tmp_path / "nowhere")
    assert "no model_index.json" in refused(tmp_path / "b", tmp_path / "b")
    broken = copied(pipeline, tmp_path / "1")
    (broken / "model_index.json").write_text("{")
    assert "model_index.json: not JSON" in refused(tmp_path / "c", broken)
    partial = copied(pipeline, tmp_path / "2")
    (partial / "unet/diffusion_pytorch_model.safetensors").unlink()
    assert "no unet/diffusion_pytorch_model.safetensors" in refused(tmp_path / "d", partial)


def test_images_without_a_label_are_refused(tmp_path: Path, pipeline: Path) -> None:
    text = refused(tmp_path, pipeline, has_labels=False)
    assert "makes images without a label; set sample.strength" in text
    numbered = pretrained.unconditional(tmp_path / "numbered", num_class_embeds=2)
    (tmp_path / "second").mkdir()
    packed(tmp_path / "second", numbered, has_labels=False)


def test_params_pin_a_pipeline(tmp_path: Path) -> None:
    def entry(pipeline: str, more: str = "", sample: str = "per_class: 3") -> str:
        return f"generators.mine={{kind: diffusers, pipeline: {pipeline}{more}, sample: {{{sample}}}}}"

    settings = load(tmp_path, entry("data/weights/mine", ", fit: {template: 'a {label}', words: {'0': nought}}"))
    sample: Any = settings.generators["mine"].sample
    assert (sample.template, sample.words) == ("a {label}", {"0": "nought"}), "those of fit"
    assert settings.pipelines["mine"] == {"pipeline": "data/weights/mine", "has_labels": False}
    assert settings.pipelines["ddpm"] is None
    load(tmp_path, entry(f"owner/name@{REVISION}", sample="per_class: 3, strength: 0.5"))
    text = message(tmp_path, entry("owner/name@main"))
    assert "generators.mine.pipeline: got the revision 'main', expected owner/name@ and the 40 digits of" in text
    assert "got no revision, expected owner/name@" in message(tmp_path, entry("owner/name"))
    assert "expected a folder directly in data/weights" in message(tmp_path, entry("data/other/mine"))
    without = "generators.mine={kind: diffusers, sample: {per_class: 3}}"
    assert "generators.mine.pipeline: this key is missing" in message(tmp_path, without)
    assert "adapt is none" in message(tmp_path, entry("data/weights/m", ", fit: {num_steps: 3}"))
    assert "exactly one of num_steps and epochs" in message(tmp_path, entry("data/weights/m", ", fit: {adapt: lora}"))
    assert "expected a text with {label}" in message(tmp_path, entry("data/weights/m", ", fit: {template: a photo}"))
    few = entry("data/weights/m", sample="per_class: 3, strength: 0.1, num_inference_steps: 5")
    assert "strength 0.1 of 5 steps is less than one" in message(tmp_path, few)


# --- a hub, on this machine ---


class HubHandler(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does: the list of a commit's files, and each file; `gated` and `moved` repositories, too."""

    def __init__(self, folder: Path, asked: list[str], *arguments: Any) -> None:
        self.folder, self.asked = folder, asked
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            owner, name, revision = parts[2], parts[3], parts[5]
        else:
            owner, name, revision = parts[0], parts[1], parts[3]
        if name == "gated":
            return self.refuse(403, "GatedRepo")
        if name == "missing":
            return self.refuse(404, "RepoNotFound")
        if revision != REVISION:
            return self.refuse(404, "RevisionNotFound")
        if parts[:2] == ["api", "models"]:
            files = sorted(f.relative_to(self.folder).as_posix() for f in self.folder.rglob("*") if f.is_file())
            sha = "f" * 40 if name == "moved" else REVISION
            siblings = [{"rfilename": file} for file in files]
            body = {"id": f"{owner}/{name}", "sha": sha, "siblings": siblings, "tags": [], "downloads": 0}
            return self.answer(json.dumps(body).encode())
        content = (self.folder / "/".join(parts[4:])).read_bytes()
        return self.answer(content, **{"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'})

    def refuse(self, code: int, reason: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths asked for at a hub whose repositories all hold the pipeline."""
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(HubHandler, pipeline, asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield asked
    server.shutdown()
    server.server_close()


def test_a_pinned_commit_is_fetched_once(tmp_path: Path, pipeline: Path, hub: list[str]) -> None:
    facts = packed(tmp_path, f"owner/name@{REVISION}")
    assert (facts.revision, facts.licence) == (REVISION, "mit")
    assert facts.files["unet/config.json"] == hashlib.sha256((pipeline / "unet/config.json").read_bytes()).hexdigest()
    number = len(hub)
    assert number
    (tmp_path / "packed").rename(tmp_path / "before")
    assert packed(tmp_path, f"owner/name@{REVISION}", old="before") == facts
    assert len(hub) == number, "an earlier run's files are whole"
    check_files(tmp_path / "packed", facts)


@pytest.mark.parametrize(
    ("pipeline_at", "text"),
    [
        (f"owner/gated@{REVISION}", "owner/gated: gated: accept its conditions on its page, and set HF_TOKEN"),
        (f"owner/missing@{REVISION}", "owner/missing: no such repository, or a private one; check its name"),
        (f"owner/name@{'9' * 40}", f"owner/name: no commit {'9' * 40} any more, or never; name another one"),
        (f"owner/moved@{REVISION}", f"the hub answers with commit {'f' * 40} for {REVISION}: the revision has moved"),
    ],
)
def test_what_the_hub_refuses_is_one_line(tmp_path: Path, hub: list[str], pipeline_at: str, text: str) -> None:
    assert text in refused(tmp_path, pipeline_at)


def test_a_commit_with_other_files_than_before_has_moved(tmp_path: Path, hub: list[str]) -> None:
    packed(tmp_path, f"owner/name@{REVISION}")
    (tmp_path / "packed").rename(tmp_path / "before")
    facts = json.loads((tmp_path / "before/pipeline.json").read_text())
    facts["files"]["unet/config.json"] = "0" * 64
    (tmp_path / "before/pipeline.json").write_text(json.dumps(facts))
    text = refused(tmp_path, f"owner/name@{REVISION}", old="before")
    assert "unet/config.json is not the file that" in text
    assert "the revision has moved" in text


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    text = refused(tmp_path, f"owner/name@{REVISION}")
    assert "cannot be fetched (" in text
    assert "download the files elsewhere and name their folder" in text
