"""Probabilities and labels to scores, comparisons and verdicts."""
