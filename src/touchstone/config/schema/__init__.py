"""The sections of params.yaml, frozen and strictly typed; unknown keys are errors. One file per room that reads them.

This package imports only itself, so a stage that reads its settings depends on no code that checks or explains them.
"""
