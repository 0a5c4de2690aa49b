"""The stages in dvc.yaml and dvc.lock, as plain values."""

from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML is built with it: ten times as fast


def read_stages(file: Path) -> dict[str, Any]:
    """Return the entry of each stage by its name.

    Raises OSError, yaml.YAMLError, KeyError or TypeError where the file is missing or is none of DVC's.
    """
    return yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER)["stages"]  # noqa: S506  (LOADER is a safe one)
