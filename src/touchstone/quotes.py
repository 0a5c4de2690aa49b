"""Tables in README and docs that are quoted from a study's report, so that no figure is typed in.

A quotation stands between `<!-- from recipes/<name>/report.md -->` and `<!-- end -->`: what that report has between
`<!-- results:start -->` and `<!-- results:end -->`.
"""

import re
from pathlib import Path

QUOTE = re.compile(r"(<!-- from (\S+) -->\n).*?(<!-- end -->)", re.S)
RESULTS = re.compile(r"<!-- results:start -->\n(.*?)<!-- results:end -->", re.S)


def quoted(text: str, root: Path) -> str:
    """`text` with every quotation as its source says now; a source that is not there yet leaves it as it is."""

    def fill(found: re.Match[str]) -> str:
        source = root / found[2]
        results = RESULTS.search(source.read_text(encoding="utf-8")) if source.is_file() else None
        return f"{found[1]}{results[1]}{found[3]}" if results else found[0]

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
