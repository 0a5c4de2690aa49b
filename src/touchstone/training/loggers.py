"""Optional loggers: the rows of the history also go to TensorBoard or W&B. No result depends on them.

Each is an extra of the package under its own name. They write below .touchstone/logs; with WANDB_MODE=offline in the
environment, W&B sends nothing anywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from touchstone.errors import TouchstoneError

LOGS = Path(".touchstone/logs")
Log = Callable[[int, dict[str, float]], None]  # takes a step and its row


def check_loggers(names: Sequence[str]) -> None:
    """Raise TouchstoneError where a logger's package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise TouchstoneError(
                f"machine.loggers: {name} is not installed; run `pip install touchstone[{name}]`, or remove it"
            )


@contextmanager
def opened(names: Sequence[str], *, run: str, seed: int, settings: dict[str, Any], start: int) -> Iterator[list[Log]]:
    """Open the loggers of one seed's training, which goes on after step `start`, and close them at the end.

    run: its name. settings: what the run was trained with, for W&B.
    """
    with ExitStack() as stack:
        kinds = {"tensorboard": _tensorboard, "wandb": _wandb}
        yield [stack.enter_context(kinds[name](run, seed, settings, start)) for name in names]


@contextmanager
def _tensorboard(run: str, seed: int, settings: dict[str, Any], start: int) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    # Rows that an earlier process wrote after its last resume state are purged.
    with SummaryWriter(str(LOGS / "tensorboard" / run / f"seed-{seed}"), purge_step=start + 1) as writer:

        def log(step: int, row: dict[str, float]) -> None:
            for name, value in row.items():
                if name != "step":
                    writer.add_scalar(name, value, step)

        yield log


@contextmanager
def _wandb(run: str, seed: int, settings: dict[str, Any], start: int) -> Iterator[Log]:
    import wandb

    (LOGS / "wandb").mkdir(parents=True, exist_ok=True)
    name = f"{run}-seed-{seed}"
    with wandb.init(
        project="touchstone", name=name, group=run, dir=str(LOGS), config=settings, reinit="finish_previous"
    ) as writer:

        def log(step: int, row: dict[str, float]) -> None:
            writer.log({key: value for key, value in row.items() if key != "step"}, step=step)

        yield log
