"""Helpers that tests of several rooms share: small real inputs, and commands run as a user would run them."""
