"""The default params.yaml with changes, and the line that a mistake in it gives."""

from pathlib import Path

import pytest

from kit.project import ROOT
from touchstone.config import yaml
from touchstone.config.load import load as load_params
from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError

DEFAULT = (ROOT / "recipes/digits/params.yaml").read_text()


def load(tmp_path: Path, *changes: str, text: str = DEFAULT) -> Settings:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.changed(text, list(changes)))
    return load_params(file)


def message(tmp_path: Path, *changes: str) -> str:
    with pytest.raises(TouchstoneError) as caught:
        load(tmp_path, *changes)
    text = str(caught.value)
    assert "\n" not in text
    return text
