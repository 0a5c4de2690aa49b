"""Tests which operations are quantised, on graphs small enough to see."""

from touchstone.export.quantised_part import quantised_nodes

GRAPH = {
    "resize": ("MatMul", ["images"], ["resized"]),
    "normalise": ("Sub", ["resized"], ["x"]),
    "first": ("Conv", ["x", "w1"], ["a"]),
    "relu": ("Relu", ["a"], ["b"]),
    "second": ("Conv", ["b", "w2"], ["c"]),
    "sum": ("Add", ["b", "c"], ["d"]),
    "head": ("Gemm", ["d", "w3"], ["logits"]),
    "softmax": ("Softmax", ["logits"], ["p"]),
    "votes": ("Add", ["p"], ["probabilities"]),
}


def test_from_the_first_convolution_to_the_last_weights() -> None:
    found = quantised_nodes(GRAPH, weighted=("Conv", "Gemm", "MatMul"))
    assert found == {"first", "relu", "second", "sum", "head"}


def test_each_net_of_an_ensemble_and_nothing_without_convolutions() -> None:
    other = {
        f"2{name}": (kind, [f"2{i}" for i in ins], [f"2{o}" for o in outs]) for name, (kind, ins, outs) in GRAPH.items()
    }
    assert len(quantised_nodes(GRAPH | other, weighted=("Conv", "Gemm"))) == 10
    assert quantised_nodes({"resize": GRAPH["resize"]}, weighted=("Conv", "MatMul")) == set()
