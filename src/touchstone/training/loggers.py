"""Optional loggers, which write the rows of the history to TensorBoard or W&B too. No result depends on them.

Each is an extra of the package, and writes below .touchstone/logs. With WANDB_MODE=offline, W&B sends nothing anywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from touchstone.errors import TouchstoneError

LOGS = Path(".touchstone/logs")
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
