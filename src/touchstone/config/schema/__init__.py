"""What may stand in params.yaml: one file of sections for each room that reads them.

Sections are frozen and strictly typed, and an unknown key is an error. This package imports nothing of the project but
itself, so that a stage that reads its settings depends on no code that only checks or explains them.
"""
