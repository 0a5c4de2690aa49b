"""Nets and their weights: initial weights, files of trained runs, and predictions."""
