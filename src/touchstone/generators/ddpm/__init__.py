"""The DDPM: its settings and its net."""
