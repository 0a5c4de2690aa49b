"""The notes of stages on their cost (`stage.RUNTIME`), each tied to the result that it is of."""

import json
from contextlib import suppress
from pathlib import Path

from touchstone.cluster.engine import Outcome

MADE = "made"  # the key under which a note has the hashes of what its stage made


def tie(notes: Path, outcome: Outcome) -> None:
    """Write into the note of a stage that has ended, and those of its seeds, which outputs it is of.

    A stage that runs writes a new note, without them. So where a note has other ones, the outputs came from the
    run-cache, and the note is of another run: it is removed.
    """
    if outcome.error or not outcome.entry:
        return
    made = {out["path"]: out["md5"] for out in outcome.entry.get("outs", ())}
    for file in (notes / f"{outcome.stage}.json", *notes.glob(f"{outcome.stage}~*.json")):
        with suppress(OSError, ValueError):  # none, or one that a kill left unfinished
            note = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(note, dict) or note.get(MADE, made) != made:
                file.unlink()
            elif MADE not in note:
                new = file.with_name(f".{file.name}.new")
                new.write_text(json.dumps(note | {MADE: made}, indent=2) + "\n", encoding="utf-8")
                new.replace(file)
