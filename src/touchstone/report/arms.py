"""Describe the training set of each arm in words."""

from touchstone.config.schema.data import Arm, Transform
from touchstone.report.facts import Facts
from touchstone.report.words import count, listing, percent


def training_sets(facts: Facts) -> list[tuple[str, str]]:
    """Arm -> what its training set holds, as a clause that goes on from its name."""
    return [(name, _holds(name, arm, facts)) for name, arm in facts.settings.arms.items()]


def _holds(name: str, arm: Arm, facts: Facts) -> str:
    real, added = facts.arm_sizes[name]
    if not arm.add:
        return f"is the {real:,} real images alone"
    settings = facts.settings
    folders = {each: path for each, path in settings.folders.items() if path}
    parts = []
    for kind, known in (("transform", settings.transforms), ("generator", settings.fitted), ("folder", folders)):
        if names := [_named(each, known[each]) for each in arm.add if each in known]:
            parts.append(f"the {kind}{'s' if len(names) > 1 else ''} {listing(names)}")
    by = f"{count(added, 'image')} from {listing(parts)}"
    if arm.schedule == "pretrain":
        return f"is trained on {by} first ({percent(arm.pretrain_share, 0)} % of the steps), then on the real images"
    return f"adds {by}" if arm.real else f"is {by}, without real images"


def _named(name: str, made_by: object) -> str:
    return f"{name} (plain copies)" if made_by == Transform() else name
