"""The device and the number of processes that stages use."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import Count, NonNegative, Section, each_once


class Machine(Section):
    """Settings of one machine. No stage depends on them, so moving to another device runs nothing again."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    num_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load batches; the results are the same."""
    resident: bool = False
    """Keep training images in the memory of the GPU, where they fit, and crop, mirror and jitter them there; the
    results are the same."""
    devices: Count = 1
    """Devices, or CPU processes, that samples are made on; the results are the same."""
    save_seconds: NonNegative = 20.0
    """Seconds between two resume states of training."""
    loggers: Annotated[tuple[Literal["tensorboard", "wandb"], ...], AfterValidator(each_once)] = ()
    """Extra loggers, each an optional dependency of the package."""
