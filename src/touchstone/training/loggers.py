"""Reports how a training goes, on which no result depends: a line at its end, and the rows of optional loggers.

Each logger, TensorBoard or W&B, is an extra of the package, and writes below .touchstone/logs. With WANDB_MODE=offline,
W&B sends nothing anywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from touchstone.errors import TouchstoneError

LOGS = Path(".touchstone/logs")
MEASURES = {"val_map": "validation mAP", "val_accuracy": "validation accuracy"}  # the first that a row has is shown
Log = Callable[[int, dict[str, float]], None]  # takes a step and the rest of its row


def check_loggers(names: Sequence[str]) -> None:
    """Raise TouchstoneError where a logger's package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise TouchstoneError(
                f"machine.loggers: {name} is not installed; run `pip install touchstone[{name}]`, or remove it"
            )


@contextmanager
def opened(names: Sequence[str], *, run: str, seed: int, settings: dict[str, Any], start: int) -> Iterator[list[Log]]:
    """Open loggers for one seed's training, which continues after step `start`, and close them at the end.

    run: its name. settings: the run's, for W&B.
    """
    logs: list[Log] = []
    with ExitStack() as stack:
        if "tensorboard" in names:
            from torch.utils.tensorboard import SummaryWriter

            # Rows that an earlier process wrote after its last resume state are purged.
            folder = LOGS / "tensorboard" / run / f"seed-{seed}"
            board = stack.enter_context(SummaryWriter(str(folder), purge_step=start + 1))

            def log(step: int, row: dict[str, float]) -> None:
                for name, value in row.items():
                    board.add_scalar(name, value, step)

            logs.append(log)
        if "wandb" in names:
            import wandb

            (LOGS / "wandb").mkdir(parents=True, exist_ok=True)
            options: Any = {"project": "touchstone", "name": f"{run}-seed-{seed}", "group": run, "dir": str(LOGS)}
            writer: Any = wandb.init(**options, config=settings, reinit="finish_previous")
            stack.enter_context(writer)
            logs.append(lambda step, row: writer.log(row, step=step))
        yield logs


def ended(
    title: str,
    seed: int,
    seeds: Sequence[int],
    history: Sequence[dict[str, float]],
    *,
    num_steps: int,
    kept: int,
    diverged: int | None,
    seconds: float,
) -> str:
    """The line that says how a seed's training ended.

    title: the run's. seeds: of all its replicates. num_steps: those that were planned. kept: the step whose weights
    are. diverged: the step at which training did. seconds: of this process.
    """
    place = f", replicate {seeds.index(seed) + 1} of {len(seeds)}" if seed in seeds and len(seeds) > 1 else ""
    taken = int(history[-1]["step"]) if diverged is None else diverged  # a stop ends at the last validation
    steps = f"{taken:,} steps" if taken == num_steps else f"{taken:,} of {num_steps:,} steps"
    how = _scores(history, kept) if diverged is None else "diverged"
    return f"{title} seed {seed}{place}: {steps}, {how}, {_duration(seconds)}"


def _scores(history: Sequence[dict[str, float]], kept: int) -> str:
    """The last validation score, and that of the weights that are kept where they are others."""
    last = history[-1]
    measure = next((name for name in MEASURES if name in last), None)
    if measure is None:
        return f"training loss {last['train_loss']:.3f}"
    of_kept = [row[measure] for row in history if row["step"] == kept != last["step"] and measure in row]
    more = f" (kept: {_percent(of_kept[0])} at step {kept:,})" if of_kept else ""
    return f"{MEASURES[measure]} {_percent(last[measure])}{more}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
