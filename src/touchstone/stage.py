"""Run a stage: errors in one line, and a note of its seconds, versions and hardware, on which no result depends."""

import gc
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from touchstone import notes
from touchstone.errors import run as run_or_explain

SEED = "--seed="  # the argument of a job that does one seed of a stage
PACKAGES = (
    *(
        "captum",
        "diffusers",
        "dvc",
        "numpy",
        "opencv-python-headless",
        "optuna",
        "pandas",
        "pillow",
        "pytorch-lightning",
    ),
    *("scikit-learn", "torch", "torchmetrics", "torchvision"),
)


def run(main: Callable[[], dict[str, object] | None]) -> None:
    """Run a stage's main function and note its cost in metrics/runtime/<stage>.json, with any figures it returns."""
    gc.freeze()  # what is imported by now stays, so no search for garbage needs to look at it
    gc.enable()
    try:
        run_or_explain(lambda: _measured(main))
    finally:
        gc.freeze()  # nor does the last search, when Python ends: it takes longer than many a stage


def _measured(main: Callable[[], dict[str, object] | None]) -> None:
    started, began = datetime.now(UTC), time.perf_counter()
    figures = main() or {}
    if os.environ.get("LOCAL_RANK", "0") != "0":  # of a net's devices the first one notes it
        return
    name = _name(Path(sys.argv[0]).stem, sys.argv[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, in KiB on Linux
    note = {
        "stage": name,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - began, 2),
        "peak_memory_mib": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
        **_peak_of_gpu(),
        **figures,
        "hardware": _hardware(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }
    notes.write(notes.RUNTIME, name, note)


def _name(script: str, arguments: list[str]) -> str:
    """Return the name of a stage, such as train@lenet-real, or of the job of one of its seeds, train@lenet-real~1.

    DVC gives its name for the stage, which need not be the script's (finetune runs train.py), behind the place of a
    dvc.yaml elsewhere. Without DVC the name is made of the script's and its arguments.
    """
    items = "-".join(each for each in arguments if not each.startswith(SEED))
    name = os.environ.get("DVC_STAGE", "").rpartition(":")[2] or (f"{script}@{items}" if items else script)
    return name + "".join(f"~{each.removeprefix(SEED)}" for each in arguments if each.startswith(SEED))


def _hardware() -> dict[str, object]:
    hardware: dict[str, object] = {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")  # not imported for this note: many stages do without it
    if torch is not None:
        hardware["vectors"] = torch.backends.cpu.get_cpu_capability()  # what arithmetic leaves of the processor's
        if torch.cuda.is_initialized():  # used here, and not only there
            hardware["gpu"] = torch.cuda.get_device_name()
    return hardware


def _peak_of_gpu() -> dict[str, object]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"gpu_peak_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
