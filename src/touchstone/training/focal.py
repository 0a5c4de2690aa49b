"""The focal loss, which weighs an image by (1 - p)**gamma, p being the probability of its class: Lin et al. 2017,
arXiv 1708.02002. Images that the net is sure of count less; gamma 0 is the cross-entropy.
"""

import numpy as np
import torch
from scipy.optimize import brentq
from torch.nn import functional as F

HALVINGS = 60  # of an interval of probabilities: to float64's precision
LOWEST_LOG, HIGHEST_LOG = -200.0, 200.0  # between which the logarithm of a multiplier is searched


def focal_loss(
    logits: torch.Tensor, labels: torch.Tensor, *, gamma: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the weighted mean () over a batch of one class per image.

    logits: (B, K). labels: int64 (B,), or the classes' shares of mixed images, float (B, K). weights: (K,).
    """
    shares = labels if labels.ndim == 2 else F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    if weights is not None:
        shares = shares * weights
    return (shares * _terms(F.log_softmax(logits, 1), gamma)).sum() / shares.sum()


def focal_losses(logits: torch.Tensor, shares: torch.Tensor, *, gamma: float) -> torch.Tensor:
    """Return the loss of each label (B, K), present to the given shares (B, K). logits: (B, K)."""
    present, absent = _terms(F.logsigmoid(logits), gamma), _terms(F.logsigmoid(-logits), gamma)
    return shares * present + (1 - shares) * absent


def _terms(log_p: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return -(1 - p)**gamma * log(p). The lower bound keeps the gradient finite where p rounds to 1."""
    rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    return -(rest**gamma) * log_p


def lowest_loss(shares: np.ndarray, gamma: float) -> float:
    """Return the lowest sum of shares * focal terms that one answer, probabilities that sum to 1, has. shares: (K,).

    At the lowest, shares * slope is the same for all classes, as each term is convex in its probability.
    """
    present = shares[shares > 0]
    if len(present) < 2:
        return 0.0

    def answer(log_multiplier: float) -> np.ndarray:
        low, high = np.zeros(len(present)), np.ones(len(present))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            is_steep = present * _slope(middle, gamma) < -np.exp(log_multiplier)
            low, high = np.where(is_steep, middle, low), np.where(is_steep, high, middle)
        return (low + high) / 2

    best = answer(float(brentq(lambda log: answer(log).sum() - 1, LOWEST_LOG, HIGHEST_LOG)))
    return float((present * _values(best / best.sum(), gamma)).sum())


def lowest_losses(shares: np.ndarray, gamma: float) -> np.ndarray:
    """Return the same of labels that are present or absent, each on its own: float64 (K,). shares: (2, K)."""
    low, high = np.zeros(shares.shape[1]), np.ones(shares.shape[1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        falls = shares[0] * _slope(middle, gamma) < shares[1] * _slope(1 - middle, gamma)
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    best = (low + high) / 2
    return shares[0] * _values(best, gamma) + shares[1] * _values(1 - best, gamma)


def _values(p: np.ndarray, gamma: float) -> np.ndarray:
    return -((1 - p) ** gamma) * np.log(np.maximum(p, np.finfo(float).tiny))


def _slope(p: np.ndarray, gamma: float) -> np.ndarray:
    """The derivative of `_values`, negative and rising."""
    p = np.clip(p, np.finfo(float).tiny, 1 - np.finfo(float).eps)
    return gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
