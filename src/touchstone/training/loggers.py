"""Optional loggers: what goes into the history is told to TensorBoard or W&B as well. No result depends on them.

Each is an extra of the package, of its own name. They write below .touchstone/logs; W&B sends nothing anywhere with
WANDB_MODE=offline in the environment.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from touchstone.errors import TouchstoneError

LOGS = Path(".touchstone/logs")
Log = Callable[[int, dict[str, float]], None]


def check_loggers(names: Sequence[str]) -> None:
    """Raise TouchstoneError where a logger's package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise TouchstoneError(
                f"machine.loggers: {name} is not installed; run `pip install touchstone[{name}]`, or take it out"
            )


@contextmanager
def opened(names: Sequence[str], *, run: str, seed: int, settings: dict[str, Any], start: int) -> Iterator[list[Log]]:
    """The loggers of one seed's training, which goes on after step `start`; closed at the end."""
    with ExitStack() as stack:
        kinds = {"tensorboard": _tensorboard, "wandb": _wandb}
        yield [stack.enter_context(kinds[name](run, seed, settings, start)) for name in names]


@contextmanager
def _tensorboard(run: str, seed: int, settings: dict[str, Any], start: int) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    # Rows that an earlier process wrote after the state that was taken up are purged.
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
