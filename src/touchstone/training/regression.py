"""Logistic regression of features that are standardised first, by scikit-learn's L-BFGS, for both kinds of labels.

With one class an image it is multinomial; with several, each class has a regression of its own, on the images on which
it counts. The sum of the weighted losses, times C, plus half the sum of the squared weights is minimised; the biases
are free. A class whose answer the images do not tell, as all or none of them have it, has no weights: its bias gives it
the probability of the rule (n + 1/2) / (N + 1).
"""

import math
import warnings
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from touchstone.errors import TouchstoneError

TOLERANCE = 1e-8  # largest gradient of the mean loss at the optimum
MOST = 20_000  # iterations


@dataclass(frozen=True)
class LinearLayer:
    """Features (N, D) -> logits (N, K)."""

    weight: np.ndarray
    """float64 (K, D)."""
    bias: np.ndarray
    """float64 (K,)."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return float64 (N, K)."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class _Inputs:
    """Standardised features (N, D), in a basis (D, N) of the space that they span where N < D."""

    values: np.ndarray
    """float64 (N, D), or their coordinates (N, N)."""
    basis: np.ndarray | None
    mean: np.ndarray
    spread: np.ndarray


class Regression:
    """The regression of one set of images; for each C in turn it starts from where it stands.

    features: float32 (M, D), of which the N `rows` are fitted. labels of all: int64 (M,), or float (M, K), NaN where a
    class does not count. weights: of each class, (K,), or of images with and without it, (2, K), as the objectives have
    them; None weighs all the same.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        *,
        rows: np.ndarray,
        num_classes: int,
        weights: np.ndarray | None = None,
    ) -> None:
        self.features, self.rows, self.labels = features, rows, labels[rows]
        self.weights, self.num_classes = weights, num_classes
        self.inputs = cast("_Inputs | None", None)
        self.solvers: dict[int, LogisticRegression] = {}

    def fit(self, C: float) -> LinearLayer:
        """Return the layer for a C, which takes features as they are.

        Raises TouchstoneError without convergence, and where features are not finite.
        """
        with threadpool_limits(limits=1):  # the number of threads would change the last bits
            inputs = self.inputs or self._standardised()
            if len(self.rows) < self.features.shape[1]:
                self.inputs = inputs  # small, and the basis takes a while; others are made anew, to save memory
            weight, bias = (self._one_class if self.labels.ndim == 1 else self._several)(inputs.values, C)
            weight = (weight if inputs.basis is None else weight @ inputs.basis.T) / inputs.spread
            return LinearLayer(weight, bias - weight @ inputs.mean)

    def _standardised(self) -> "_Inputs":
        features = self.features[self.rows].astype(np.float64)
        if not np.isfinite(features).all():
            raise TouchstoneError("probe: features are not finite; check the weights that the net starts from")
        mean, spread = features.mean(0), features.std(0)
        features -= mean
        features /= (spread := np.where(spread > 0, spread, 1.0))
        if len(features) >= features.shape[1]:
            return _Inputs(features, None, mean, spread)
        # With fewer images than features, the optimal weights are combinations of the images.
        basis, values = np.linalg.qr(features.T)
        return _Inputs(np.ascontiguousarray(values.T), basis, mean, spread)

    def _one_class(self, features: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = np.zeros((self.num_classes, features.shape[1])), np.zeros(self.num_classes)
        present = np.unique(self.labels)
        if len(present) > 1:
            shares = None if self.weights is None else self.weights[self.labels]
            coefficients, intercepts = self._solved(0, C, features, self.labels, shares)
            if len(present) == 2:  # scikit-learn's is the logit of the second class; half of it on either side
                coefficients, intercepts = np.stack([-coefficients[0], coefficients[0]]) / 2, intercepts / 2
                intercepts = np.concatenate([-intercepts, intercepts])
            weight[present], bias[present] = coefficients, intercepts
        if len(present) < self.num_classes:
            absent = np.setdiff1d(np.arange(self.num_classes), present)
            logits = features @ weight[present].T + bias[present]
            bias[absent] = logsumexp(logits, axis=1).min() - math.log(2 * len(features) + 1)
        return weight, bias

    def _several(self, features: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = np.zeros((self.num_classes, features.shape[1])), np.zeros(self.num_classes)
        for k, labels in enumerate(self.labels.T):
            rows = np.flatnonzero(~np.isnan(labels))
            has = labels[rows] > 0.5
            if has.any() and not has.all():
                shares = None if self.weights is None else np.where(has, self.weights[0, k], self.weights[1, k])
                coefficients, intercepts = self._solved(k, C, features[rows], has, shares)
                weight[k], bias[k] = coefficients[0], intercepts[0]
            else:
                bias[k] = math.log((has.sum() + 0.5) / ((~has).sum() + 0.5))
        return weight, bias

    def _solved(
        self, key: int, C: float, features: np.ndarray, labels: np.ndarray, shares: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scikit-learn's coefficients (K or 1, D) and intercepts (K or 1,)."""
        solver = self.solvers.setdefault(key, LogisticRegression(tol=TOLERANCE, max_iter=MOST, warm_start=True))
        with warnings.catch_warnings():
            # A line search that ends early has reached the precision of float64. The number of iterations is checked.
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver.set_params(C=C).fit(features, labels, sample_weight=shares)
        if solver.n_iter_.max() >= MOST:
            raise TouchstoneError(f"probe: C {C:g} has not converged after {MOST} iterations; set a lower C")
        return solver.coef_, solver.intercept_
