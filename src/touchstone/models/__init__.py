"""Nets and their weights: what they start from, how they are kept, how they predict."""

from touchstone.arithmetic import exact_roots

exact_roots()  # here: whatever computes with torch imports something of this room
