"""All jobs on one screen: a bar for the whole, a line for each running stage, and one for each that has ended."""

import shutil
import sys
import time
from types import TracebackType

from tqdm import tqdm

from touchstone.cluster.engine import Outcome


class Screen:
    """Shows progress on a terminal. Elsewhere only the lines of stages that have ended are printed."""

    def __init__(self, total: int, *, slots: int) -> None:
        hidden = not sys.stdout.isatty()
        self._hidden, self._total, self._ended = hidden, total, 0
        self._began: dict[str, float] = {}
        self._whole = tqdm(total=total, desc="stages", unit="stage", file=sys.stdout, disable=hidden, leave=False)
        self._lines = [
            tqdm(bar_format="{desc}", position=1 + i, file=sys.stdout, disable=hidden, leave=False)
            for i in range(min(slots, max(1, shutil.get_terminal_size().lines - 3)))
        ]

    def __enter__(self) -> "Screen":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in (*self._lines, self._whole):
            bar.close()

    def show(self, progress: dict[str, str]) -> None:
        """Show the last line of each running stage."""
        if self._hidden:
            return
        now = time.monotonic()
        self._began = {stage: self._began.get(stage, now) for stage in progress}
        texts = [f"{stage} {now - self._began[stage]:.0f} s: {line}" for stage, line in progress.items()]
        if len(texts) > len(self._lines):
            texts[len(self._lines) - 1 :] = [f"and {len(texts) - len(self._lines) + 1} more"]
        for bar, text in zip(self._lines, texts + [""] * len(self._lines), strict=False):
            bar.set_description_str(text[: shutil.get_terminal_size().columns - 1])
        self._whole.refresh()

    def ended(self, outcome: Outcome) -> None:
        """Note the end of a stage."""
        self._ended += 1
        self._whole.update()
        how = f"failed: {outcome.error}" if outcome.error else f"{outcome.seconds:.1f} s"
        tqdm.write(f"[{self._ended}/{self._total}] {outcome.stage}: {how}", file=sys.stdout)
        sys.stdout.flush()
