"""DVC's graph run by several jobs at a time: `touchstone repro`.

Each job works in a private copy of the project, so no two share a lock of DVC. All copies share DVC's cache, whose
run-cache is where results meet: `dvc repro` in the project then finds every stage done, and alone writes dvc.lock.
"""
