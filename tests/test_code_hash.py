from pathlib import Path

from touchstone.code_hash import PACKAGE, digest, imports


def names(script: Path) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in imports(script)[1:]}


def test_imports_are_followed_into_functions_packages_and_their_inits(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os\nimport numpy\n\ndef f():\n    from touchstone.models.nets import lenet\n")
    assert names(script) == {
        "__init__.py",
        "errors.py",
        "models/__init__.py",
        "models/nets/__init__.py",
        "models/nets/lenet.py",
    }
    script.write_text("import touchstone.seeds\n")
    assert names(script) == {"__init__.py", "seeds.py"}
    script.write_text("import touchstones.seeds\n")
    assert names(script) == set()


def test_the_digest_follows_contents_and_order(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("a")
    two.write_text("b")
    first = digest([one, two])
    assert first != digest([two, one])
    two.write_text("c")
    assert first != digest([one, two])
