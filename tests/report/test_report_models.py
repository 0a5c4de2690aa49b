"""The table of models follows from the schema."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from pydantic import create_model

from kit.project import ROOT
from kit.report import facts_of, with_settings, workspace
from touchstone.config.load import load, resolve_model
from touchstone.config.schema.model import Model, Net, Phase, Run
from touchstone.config.schema.probe import Probe
from touchstone.config.schema.section import Section, Shown
from touchstone.config.schema.teaching import Teaching
from touchstone.errors import TouchstoneError
from touchstone.models.initial_weights import InitialWeights
from touchstone.report.facts import Facts
from touchstone.report.gather import gather
from touchstone.report.models import models

# These settings change nothing that tells one model from another: how the same result is computed,
COMPUTATION = ("engine", "deterministic", "num_threads", "feature_cache")
# what is checked on the way,
CHECKS = ("weights_sha256", "eval_steps", "collapse_epochs", "on_divergence")
# what other facts of the run say,
# and details of settings that are shown, which stand under Parameters.
DETAILS = ("normalisation", "swa_lr", "swa_anneal_epochs")
NOT_SHOWN = (*COMPUTATION, *CHECKS, *DETAILS)

BASE = {"net": "lenet", "input_size": 8, "num_steps": 3, "crops": "five"}


def table_of(facts: Facts, **entries: Model) -> list[dict[str, str]]:
    table = models(with_settings(facts, models=entries))
    assert all(len(row) == len(table.header) == len(table.align) for row in table.rows)
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def another(kind: Any, value: Any) -> Any:
    """A value of that type, unlike the given one."""
    if get_origin(kind) is Literal:
        return next(option for option in get_args(kind) if option != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        return tuple(each + 1 for each in value)
    if value is None:
        return Probe()
    return {str: "other", tuple: ("other",), dict: {"width": 2}}[type(value)]


@pytest.mark.parametrize("section", [Phase, Run, Net, Teaching])
def test_every_setting_is_shown_unless_it_says_nothing_about_the_model(facts: Facts, section: type[Section]) -> None:
    base = resolve_model(BASE)
    for name, field in section.model_fields.items():
        holder = base.phases[0] if section is Phase else base
        changes = {name: another(field.annotation, getattr(holder, name))}
        changes |= {"num_steps": 0} if name == "epochs" else {}
        changed = base.model_copy(update=changes)
        if section is Phase:
            changed = base.model_copy(update={"phases": (base.phases[0].model_copy(update=changes),)})
        differs = table_of(facts, a=changed) != table_of(facts, a=base)
        assert differs == (name not in NOT_SHOWN), name


def test_what_is_not_shown_exists() -> None:
    assert set(NOT_SHOWN) <= set(Run.model_fields) | set(Net.model_fields)


@pytest.mark.parametrize("column", ["online augmentation", "loss"])
def test_a_new_setting_that_is_marked_as_shown_has_its_place(facts: Facts, column: str) -> None:
    """In a column of the table, or in one of its own."""
    kind: Any = Annotated[float, Shown(column, "sharpened by {:g}")]
    sharpened = create_model("Sharpened", __base__=Phase, sharpness=(kind, 0.0))
    base = resolve_model(BASE | {"hflip": True})
    phases = tuple(sharpened(**base.phases[0].model_dump(), sharpness=value) for value in (0.5, 0.0))
    first, second = table_of(facts, a=base.model_copy(update={"phases": phases}))
    before, _, last = first[column].rpartition("sharpened by 0.5")
    assert (before, last) == ("horizontal flip, " if column == "online augmentation" else "", "")
    assert second[column] == ("horizontal flip" if column == "online augmentation" else "none")


def test_each_phase_is_a_row_and_frozen_random_weights_are_named(facts: Facts) -> None:
    second = {"num_steps": 3, "batch_norm": "frozen", "schedule": "step", "decay_epochs": 2.0, "crop_scale": 0.5}
    second |= {"hflip": True, "weight_decay": 0.1}
    phases = ({"epochs": 2, "trainable": ("head",), "lr": 0.5}, second)
    big = resolve_model({"net": "resnet", "input_size": 8, "num_steps": 3, "weights": "random", "phases": phases})
    lenet = resolve_model({"net": "lenet", "input_size": 8, "num_steps": 3, "weights": "imagenet"})
    rows = table_of(replace(facts, published={"lenet": "LeNet_Weights.IMAGENET1K_V2"}), big=big, lenet=lenet)
    assert [row["model"] for row in rows] == ["big", "", "lenet"]
    assert [row["starts from"] for row in rows] == [
        "random weights, partly frozen: a test of the mechanics only",
        "",
        "LeNet_Weights.IMAGENET1K_V2",
    ]
    head, rest, _ = rows
    assert (head["trained"], head["budget"], head["learning rate"]) == ("head", "2 epochs", "0.5")
    assert (rest["trained"], rest["budget"], rest["schedule"]) == (
        "all, batch norm frozen",
        "3 steps",
        "step, decays every 2 epochs",
    )
    assert head["online augmentation"] == "none"
    assert rest["online augmentation"] == "random resized crop from 0.5 of the area, horizontal flip"
    assert rest["optimizer"] == "adam, weight decay 0.1"


def test_the_version_of_a_publishers_weights_is_read_from_the_note_of_the_stage(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    started = resolve_model(BASE | {"weights": "imagenet"})
    settings = with_settings(facts_of(root), models={"lenet": started}).settings
    with pytest.raises(TouchstoneError, match=r"pretrained/lenet\.json: cannot be read .*; run `dvc repro`"):
        gather(root, settings)
    InitialWeights("imagenet", "LeNet_Weights.IMAGENET1K_V2").write(root / "data/pretrained/lenet.json")
    [row] = table_of(gather(root, settings), lenet=started)
    assert row["starts from"] == "LeNet_Weights.IMAGENET1K_V2"


def test_without_validation_images_the_last_weights_count(facts: Facts) -> None:
    bare = replace(facts, findings=facts.findings | {"num_val": 0})
    assert table_of(facts, a=resolve_model(BASE))[0]["selected by"] == "val_accuracy"
    assert table_of(bare, a=resolve_model(BASE | {"ema_decay": 0.9}))[0]["selected by"] == (
        "last, EMA of the weights, decay 0.9"
    )


def test_a_learning_rate_that_was_found_is_named(tmp_path: Path) -> None:
    [row] = models(facts_of(workspace(tmp_path, lr="auto"))).rows
    assert "auto: 0.003" in row


@pytest.mark.parametrize("file", sorted(ROOT.glob("recipes/*/params.yaml")), ids=lambda file: file.parent.name)
def test_the_models_of_every_recipe_can_be_shown(facts: Facts, file: Path) -> None:
    settings = load(file)
    rates = dict.fromkeys(settings.models, (0.003, facts.counts))
    published = dict.fromkeys(settings.models, "Weights.IMAGENET1K_V1")
    rows = models(replace(facts, settings=settings, rates=rates, published=published)).rows
    assert len(rows) == sum(len(model.phases) for model in settings.trained.values())
    assert not [cell for row in rows for cell in row if "{" in cell or "<" in cell]
