"""Losses against imbalance: the focal loss and weights by effective numbers, against their formulas."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from kit.params import message
from touchstone.config.schema.model import Phase
from touchstone.training.focal import focal_loss, focal_losses, lowest_loss
from touchstone.training.objective import MultiLabel, SingleLabel, inverse_effective

LABELS = np.array([0] * 6 + [1] * 3 + [3])
SEVERAL = np.array([[1, 0], [1, 1], [1, np.nan], [0, 0], [1, 0]], np.float32)


def phase(**changes: object) -> Phase:
    return Phase(num_steps=1, **changes)


def test_the_focal_loss_is_its_formula() -> None:
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    labels = torch.tensor([0, 0, 1])
    terms = [-((1 - q) ** 2) * math.log(q) for q in (0.9, 0.4, 0.8)]
    assert float(focal_loss(p.log(), labels, gamma=2.0)) == pytest.approx(sum(terms) / 3)
    weights = torch.tensor([1.0, 3.0])
    expected = (terms[0] + terms[1] + 3 * terms[2]) / 5
    assert float(focal_loss(p.log(), labels, gamma=2.0, weights=weights)) == pytest.approx(expected)
    mixed = torch.tensor([[0.7, 0.3]])
    expected = -0.7 * 0.6**2 * math.log(0.4) - 0.3 * 0.4**2 * math.log(0.6)
    assert float(focal_loss(p[1:2].log(), mixed, gamma=2.0)) == pytest.approx(expected)


def test_without_gamma_it_is_the_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(9, 4), torch.randint(0, 4, (9,)), torch.tensor([0.5, 1.0, 2.0, 3.0])
    own = focal_loss(logits, labels, gamma=0.0, weights=weights)
    assert float(own) == pytest.approx(float(F.cross_entropy(logits, labels, weight=weights)), rel=1e-6)


def test_with_several_labels_it_is_torchvisions() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4), torch.randint(0, 2, (9, 4)).float()
    for gamma in (0.5, 2.0):
        library = sigmoid_focal_loss(logits, labels, alpha=-1, gamma=gamma)
        assert torch.allclose(focal_losses(logits, labels, gamma=gamma), library, atol=1e-6)
    labels[0, 0] = math.nan
    own = MultiLabel(labels.numpy(), 4).loss(logits, labels, gamma=2.0)
    library = sigmoid_focal_loss(logits, labels.nan_to_num(), alpha=-1, gamma=2.0).flatten()[1:].mean()
    assert float(own) == pytest.approx(float(library), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_gradients_are_finite_where_the_net_is_sure(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0], [0.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0, 1]), gamma=gamma).backward()
    assert bool(torch.isfinite(logits.grad).all())
    logits.grad = None
    focal_losses(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 1.0]]), gamma=gamma).sum().backward()
    assert bool(torch.isfinite(logits.grad).all())


def test_effective_weights_are_those_of_the_paper() -> None:
    counts = np.array([1, 10, 100, 0])
    expected = [1, 0.1 / (1 - 0.9**10), 0.1 / (1 - 0.9**100), 0]
    assert inverse_effective(counts, 0.9).tolist() == pytest.approx(expected)
    weights = SingleLabel(LABELS, 4).class_weights(phase(class_weights="effective", effective_beta=0.9))
    raw = np.array([0.1 / (1 - 0.9**n) for n in (6, 3)] + [0, 1.0])
    assert weights.tolist() == pytest.approx((raw / raw.sum() * 3).tolist()), "they sum to the number of classes"
    near_one = SingleLabel(LABELS, 4).class_weights(phase(class_weights="effective", effective_beta=1 - 1e-9))
    balanced = SingleLabel(LABELS, 4).balanced()
    assert near_one / near_one.sum() == pytest.approx(balanced / balanced.sum(), rel=1e-5)
    equal = SingleLabel(LABELS, 4).class_weights(phase(class_weights="effective", effective_beta=0.0))
    assert equal.tolist() == [1, 1, 0, 1]


def test_effective_weights_of_several_labels_keep_the_sum_of_each_class() -> None:
    weights = MultiLabel(SEVERAL, 2).class_weights(phase(class_weights="effective", effective_beta=0.9))
    counts = np.array([[4, 1], [1, 3]])
    assert (weights * counts).sum(0).tolist() == pytest.approx([5, 4])
    ratio = (1 - 0.9**1) / (1 - 0.9**4)
    assert weights[0, 0] / weights[1, 0] == pytest.approx(ratio)
    assert weights[1, 1] / weights[0, 1] == pytest.approx((1 - 0.9) / (1 - 0.9**3))


CASES = [
    {"loss": "focal"},
    {"loss": "focal", "focal_gamma": 0.5, "class_weights": "effective", "effective_beta": 0.8},
    {"loss": "focal", "focal_gamma": 5.0, "sampler": "weighted", "sampler_power": 0.5},
    {"sampler": "weighted"},
    {"class_weights": "effective", "effective_beta": 0.7, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("changes", CASES)
@pytest.mark.parametrize("several", [False, True])
def test_chance_is_the_lowest_loss_of_one_answer_for_all(changes: dict, several: bool) -> None:
    """Over a set in which images are drawn as often as the sampler draws them."""
    from touchstone.data.sampling import balancing_weights

    chosen, labels = phase(**changes), SEVERAL if several else np.array([0] * 6 + [1] * 3 + [2])
    objective = MultiLabel(labels, 2) if several else SingleLabel(labels, 3)
    drawn = balancing_weights(labels, chosen.balance) if chosen.balance else np.ones(len(labels))
    often = np.round(drawn * 1000).astype(int)
    seen = torch.tensor(np.repeat(labels, often, 0))
    given = objective.class_weights(chosen)
    weights = None if given is None else torch.tensor(given).double()
    answer = torch.zeros(objective.num_classes, requires_grad=True, dtype=torch.float64)
    solver = torch.optim.LBFGS([answer], max_iter=200)
    how = {"weights": weights, "smoothing": chosen.label_smoothing, "gamma": chosen.gamma}

    def loss() -> torch.Tensor:
        solver.zero_grad()
        out = objective.loss(answer.expand(len(seen), -1), seen.double() if several else seen, **how)
        out.backward()
        return out

    for _ in range(5):
        solver.step(loss)
    assert loss().item() == pytest.approx(objective.chance_loss(chosen), rel=1e-3)


def test_one_class_alone_costs_nothing() -> None:
    assert lowest_loss(np.array([0.0, 1.0]), 2.0) == 0.0
    assert lowest_loss(np.full(10, 0.1), 0.0) == pytest.approx(math.log(10))
    assert lowest_loss(np.full(10, 0.1), 2.0) == pytest.approx(0.9**2 * math.log(10))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.loss=hinge", "train.loss: got 'hinge'"),
        ("train.focal_gamma=-1", "train.focal_gamma: got -1"),
        ("train.class_weights=efective", "train.class_weights: got 'efective'"),
        ("train.effective_beta=1", "train.effective_beta: got 1, should be less than 1"),
        ("models.simple={loss: focal, label_smoothing: 0.1}", "models.simple: label_smoothing: is not for loss: focal"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, change: str, said: str) -> None:
    assert said in message(tmp_path, change)
