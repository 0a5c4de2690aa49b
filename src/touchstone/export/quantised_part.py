"""Finds the operations of a file to quantise: those of the nets, and neither the preprocessing nor what follows."""

from collections.abc import Collection, Iterable, Mapping

Node = tuple[str, list[str], list[str]]
"""The type of an operation, and the names of its inputs and outputs."""


def quantised_nodes(nodes: Mapping[str, Node], *, weighted: Collection[str], first: str = "Conv") -> set[str]:
    """Return the names of the operations from the first convolutions to the last that has weights.

    nodes: name -> operation. weighted: the types that have weights. first: the type of a convolution. A matrix product
    before any convolution belongs to the resizing; what follows the last one makes probabilities, in full precision.
    """
    makers = {output: name for name, (_, _, outputs) in nodes.items() for output in outputs}
    before = {name: [makers[i] for i in inputs if i in makers] for name, (_, inputs, _) in nodes.items()}
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for name, others in before.items():
        for other in others:
            after[other].append(name)
    starts = {name for name, (kind, _, _) in nodes.items() if kind == first}
    inside = _reached(starts, after)
    ends = {name for name in inside if nodes[name][0] in weighted}
    return inside & _reached(ends, before)


def _reached(start: Iterable[str], edges: Mapping[str, list[str]]) -> set[str]:
    found, todo = set(start), list(start)
    while todo:
        new = [name for name in edges[todo.pop()] if name not in found]
        found.update(new)
        todo += new
    return found
