"""Tables in README and docs that are quoted from a study's report, so that no figure is typed in.

A quotation stands between `<!-- results from recipes/<name>/report.md -->` and `<!-- end -->`: what that report has
between `<!-- results:start -->` and `<!-- results:end -->`. Likewise `audit`.
"""

import re
from pathlib import Path

QUOTE = re.compile(r"(<!-- (\w+) from (\S+) -->\n).*?(<!-- end -->)", re.S)


def quoted(text: str, root: Path) -> str:
    """`text` with every quotation as its source says now; a source that is not there yet leaves it as it is."""

    def fill(found: re.Match[str]) -> str:
        part = re.compile(rf"<!-- {found[2]}:start -->\n(.*?)<!-- {found[2]}:end -->", re.S)
        source = root / found[3]
        there = part.search(source.read_text(encoding="utf-8")) if source.is_file() else None
        return f"{found[1]}{there[1]}{found[4]}" if there else found[0]

    return QUOTE.sub(fill, text)


def update(root: Path) -> list[Path]:
    """Bring README.md and docs/*.md up to date; returns the files that changed."""
    changed = []
    for file in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        old = file.read_text(encoding="utf-8")
        new = quoted(old, root)
        if new != old:
            file.write_text(new, encoding="utf-8")
            changed.append(file)
    return changed
