from pathlib import Path

import pytest

from touchstone.code_hash import PACKAGE, SILENT, constant, digest, file_hash, imports

CODE = '''"""A module."""

from touchstone.errors import TouchstoneError


def halved(value: float) -> float:
    """Half of it."""
    if value < 0:
        raise TouchstoneError(f"got {value}, expected a number from 0 on")
    assert value < 10, "too large"
    print(f"half of {value}")  # for people
    for _ in tqdm(range(3), desc="halving", unit="step"):
        value = value / 2
    return value
'''


def names(script: Path) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in imports(script) if path != script}


def hash_of(folder: Path, text: str) -> str:
    file = folder / f"{len(list(folder.iterdir()))}.py"
    file.write_text(text)
    return file_hash(file)


def test_imports_are_followed_into_functions_packages_and_their_inits(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os\nimport numpy\n\ndef f():\n    from touchstone.models.nets import lenet\n")
    nets = {"models/__init__.py", "models/nets/__init__.py", "models/nets/lenet.py"}
    names_of_nets = {"config/__init__.py", "config/net_names.py"}
    assert names(script) == {"__init__.py", "arithmetic.py"} | nets | names_of_nets
    other = tmp_path / "other.py"
    other.write_text("import touchstone.seeds\nimport touchstones.nothing\n")
    assert names(other) == {"__init__.py", "arithmetic.py", "seeds.py"}


def test_what_is_imported_for_type_checkers_alone_does_not_count(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from touchstone import seeds\n")
    assert names(script) == set()


def test_modules_that_only_check_and_report_do_not_count_and_exist(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from touchstone.config.load import load\nfrom touchstone import errors, stage\n")
    assert not names(script) & set(SILENT)
    assert all((PACKAGE / name).is_file() for name in SILENT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Half of it.", "One half of the value."),
        ("a number from 0 on", "a number above 0"),
        ("too large", "too large by far"),
        ("half of {value}", "half of it"),
        ("# for people", "# shown"),
        ("halving", "dividing"),
        (', unit="step"', ""),
        ("value: float", "value: int"),
        ("        raise", "\n        raise"),
    ],
)
def test_words_change_no_hash(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert hash_of(tmp_path, CODE) == hash_of(tmp_path, CODE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value / 2", "value / 3"),
        ("range(3)", "range(4)"),
        ("value < 0", "value <= 0"),
        ("value < 10", "value < 11"),
        ("raise TouchstoneError", "return TouchstoneError"),
        ("return value", "return -value"),
        ('TouchstoneError(f"got {value}, expected', 'BadImage(f"got {value}, expected'),
        ("halved", "half"),
    ],
)
def test_what_a_function_does_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert hash_of(tmp_path, CODE) != hash_of(tmp_path, CODE.replace(old, new))


def test_the_message_of_a_bad_image_counts_as_it_is_written_down(tmp_path: Path) -> None:
    one, two = (f'def f():\n    raise BadImage("{text}")\n' for text in ("empty", "no pixels"))
    assert hash_of(tmp_path, one) != hash_of(tmp_path, two)


def test_the_digest_follows_every_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a = 1")
    two.write_text("b = 1")
    assert digest(one, two) != digest(one)
    three = tmp_path / "three.py"
    three.write_text("b = 2")
    assert digest(one, two) != digest(one, three)


def test_a_constant_is_read_without_running_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text('raise SystemExit\nSETTINGS = ("data", "seed")\n')
    assert constant(script, "SETTINGS") == ("data", "seed")
    assert constant(script, "OTHERS") is None
