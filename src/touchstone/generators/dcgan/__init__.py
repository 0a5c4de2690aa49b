"""The DCGAN: its settings and its nets."""
