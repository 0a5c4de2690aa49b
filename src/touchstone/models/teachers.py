"""The trained runs that a student learns from: notes of their weights, and their nets.

A note stands between a run and its students: where a run is trained again to the same bytes, its note stays the same,
and no student is trained again. Students of seed k learn from the teachers' nets of seed k, which saw the training
images that the student sees, and no others.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from touchstone.errors import TouchstoneError
from touchstone.models.runs import Predictor, RunMetadata, load_nets, load_run_metadata

OWN = ("weights", "selected_step", "diverged", "normalisations")  # parts of the metadata that each seed has for itself


def write_note(file: Path, run: str | None, *, runs: Path) -> None:
    """Write the note of a run in the folder `runs`, or null for a run that teaches nothing."""
    metadata = None if run is None else asdict(load_run_metadata(runs / run))
    file.parent.mkdir(parents=True, exist_ok=True)
    note = None if metadata is None else {"run": run} | metadata
    file.write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Teachers:
    """The runs that teach a student."""

    runs: dict[str, RunMetadata]
    """Run -> its metadata, as the notes have it."""
    folder: Path
    """The folder of all runs."""

    @property
    def diverged(self) -> dict[str, str]:
        """Seed -> the teacher's divergence, of the first of several."""
        found: dict[str, str] = {}
        for name, metadata in self.runs.items():
            for seed, reason in metadata.diverged.items():
                found.setdefault(seed, f"{name}, which it learns from: {reason}")
        return found

    def lacking(self, seeds: tuple[int, ...]) -> str:
        """The first teacher without one of the seeds, and the seed; "" where all have them."""
        lacks = [
            f"{name} has no seed {k}" for name, one in self.runs.items() for k in seeds if str(k) not in one.weights
        ]
        return lacks[0] if lacks else ""

    def own_inputs(self, seed: int) -> list[str]:
        """For each teacher, the hash of all that its net of a seed is made of."""
        found = []
        for metadata in self.runs.values():
            shared = {name: value for name, value in asdict(metadata).items() if name not in OWN}
            of_seed = metadata.weights[str(seed)], metadata.normalisations.get(str(seed))
            found.append(hashlib.sha256(json.dumps([shared, of_seed], sort_keys=True).encode()).hexdigest())
        return found

    def nets(self, seed: int) -> list[Predictor]:
        """Load the nets of a seed, on the CPU and in evaluation mode.

        Raises TouchstoneError where the weights are damaged or others than the notes name.
        """
        nets = []
        for name, metadata in self.runs.items():
            one = replace(metadata, weights={str(seed): metadata.weights[str(seed)]})
            nets.append(load_nets(self.folder / name, one)[0].eval().requires_grad_(False))
        return nets


def load_teachers(notes: Path, models: tuple[str, ...], *, runs: Path) -> Teachers:
    """Read the notes `<model>.json` of a student's teachers. Raises TouchstoneError where one is missing."""
    found = {}
    for model in models:
        file = notes / f"{model}.json"
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
            name = note.pop("run")
            found[name] = RunMetadata(**note)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TouchstoneError(f"{file}: no readable note of a run ({error}); run `dvc repro`") from error
    return Teachers(found, runs)
