"""Nets and their weights: what they start from, how they are kept, how they predict."""
