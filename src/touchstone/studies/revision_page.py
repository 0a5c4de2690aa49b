"""The comparison of two revisions as one self-contained HTML page, in the frame and the style of the report."""

from typing import Any

from touchstone.evaluation.metrics import named
from touchstone.report import words
from touchstone.report.facts import Changes
from touchstone.report.forest import Forest, Group, axis_over, row_of
from touchstone.report.pages import environment
from touchstone.report.pictures import gallery_pictures
from touchstone.report.table import Table
from touchstone.studies import revision_text
from touchstone.studies.revision_images import ChangedImages, changed_images
from touchstone.studies.revision_text import means, primary, short
from touchstone.studies.revisions import Revision, RevisionComparison, common

FOLD_ROWS = 24  # a longer table of all metrics starts folded
LONG = 30  # characters of a parameter's value, which has several lines where it is longer


def html(before: Revision, after: Revision, comparison: RevisionComparison, *, count: int) -> str:
    """The page. It asks no server for anything; equal revisions give equal text.

    count: the most images that a gallery shows.
    """
    found = common(before, after)
    images = changed_images(before, after, found, count=count)
    parameters = revision_text.parameters(before.params, after.params)
    return (
        environment(autoescape=True)
        .get_template("compare.html.j2")
        .render(
            words=words,
            names=(short(before.name), short(after.name)),
            headline=revision_text.headline(comparison),
            notes=revision_text.notes(comparison),
            num_runs=len(found.pairs) + len(found.unchanged),
            num_changed=len(found.pairs),
            num_seeds=len(found.seeds),
            num_images=len(found.table),
            forest=_forest(comparison, images),
            table=revision_text.table(comparison),
            fold=FOLD_ROWS,
            interval=f"{100 * comparison.confidence:g} %",
            changes=_that_changed(images),
            files=_files,
            store=None
            if images.pixels is None
            else gallery_pictures({f"test-{row}": pixels for row, pixels in images.pixels.items()}),
            parameters=parameters,
            wrap=[1, 2] if any(len(value) > LONG for row in parameters.rows for value in row[1:]) else [],
        )
    )


def _forest(comparison: RevisionComparison, images: ChangedImages) -> Forest | None:
    """The changes of the first metric, None where nothing changed."""
    changes, shown = primary(comparison), _that_changed(images)
    if not changes:
        return None
    axis = axis_over(end for change in changes for end in (change.low, change.high))
    rows = []
    for change in changes:
        first, second, _ = means(change)
        texts: dict[str, Any] = {"label": change.run, "name": change.run, "verdict": change.verdict}
        texts |= {"score": f"{first} → {second}", "arm": "", "has_images": change.run in shown}
        rows.append(row_of(axis, change.low, change.after - change.before, change.high, **texts))
    caption = (
        f"Change of {named(changes[0].metric).name} in percentage points, with the {100 * comparison.confidence:g} % "
        "interval; verdicts are adjusted for all runs that changed."
    )
    return Forest(
        caption, ("run or ensemble", "per cent", "change"), [Group("", "", "", rows)], axis.place(0.0), axis.ticks
    )


def _that_changed(images: ChangedImages) -> dict[str, Changes]:
    """The runs that mend or break an image."""
    return {name: kept for name, kept in images.runs.items() if kept.num_mended or kept.num_broken}


def _files(kept: Changes, total: int) -> Table:
    """The images that a run mends or breaks, for a page without pixels. total: the replicates."""
    rows = [
        [image.file, kind, image.true, image.predicted, image.right_in(total)]
        for kind, images in (("mended", kept.mended), ("broken", kept.broken))
        for image in images
    ]
    return Table("lllll", ["file", "change", "true", "taken for", "replicates that are right"], rows)
