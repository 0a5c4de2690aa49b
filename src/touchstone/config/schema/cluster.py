"""The cluster: where it is, and the resources of each stage."""

from typing import Annotated, Literal

from pydantic import Field

from touchstone.config.schema.section import Count, Name, NonNegative, Section

Number = Annotated[int, Field(ge=0)]


class Resources(Section):
    """The resources of one stage's job."""

    gpus: Number = 0
    cpus: Count = 1
    memory_gb: NonNegative = 0.0
    """GB of memory; 0: whatever the partition gives (Slurm), or no reservation (Ray)."""
    minutes: Count = 240
    """Minutes that a job of Slurm may run before it goes back to the queue; it then goes on from its resume state."""


class OfStage(Section):
    """The resources that one stage gets instead of the section's own."""

    gpus: Number | None = None
    cpus: Count | None = None
    memory_gb: NonNegative | None = None
    minutes: Count | None = None


class Cluster(Resources):
    """Settings of `touchstone repro --on slurm | ray`. No stage depends on them: another cluster runs nothing again."""

    partition: str = ""
    """Slurm's partition; "" for its default."""
    account: str = ""
    """Slurm's account; "" for its default."""
    address: str = ""
    """Ray's address, such as 10.0.0.1:6379 or auto; "" starts a local cluster."""
    scratch: str = ""
    """A folder on each node for the jobs' clones; "" keeps them in the project's `.touchstone`."""
    remote: str = ""
    """With Ray, a remote of DVC that all nodes reach, where they share no folder with the project."""
    retries: Number = 2
    """Number of times a job that was lost with its node runs again."""
    requeues: Number = 20
    """Number of times a job of Slurm may reach its time limit and go on."""
    seeds: Literal["together", "apart"] = "together"
    """apart: each seed of a run is trained in a job of its own, at the same time as others."""
    stages: dict[Name, OfStage] = Field(default_factory=dict)
    """The resources of single stages, by their name without @, such as train: {gpus: 1}."""

    def of(self, stage: str) -> Resources:
        """Return the resources of a stage such as train@lenet-real."""
        own = self.stages.get(stage.partition("@")[0], OfStage()).model_dump(exclude_none=True)
        return Resources(**{name: own.get(name, getattr(self, name)) for name in Resources.model_fields})
