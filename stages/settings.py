"""params.yaml -> data/settings: checked, merged with defaults, and split into one small file for each reader.

A typo stops `dvc repro` here, before any output is touched. Each file also holds the hash of its reader's code, so a
stage runs again only where its own settings or its own code changed.
"""

from pathlib import Path

from touchstone.arithmetic import note
from touchstone.code_hash import hashes
from touchstone.config.checks import check_paths
from touchstone.config.declared import sections
from touchstone.config.leftovers import remove_leftovers
from touchstone.config.load import load
from touchstone.config.probes import remark
from touchstone.config.resolved import ENCODER, FOLDER, write
from touchstone.config.schema import explain, generator
from touchstone.config.schema.data import Columns
from touchstone.data import remote, sources
from touchstone.data.folders import replaced
from touchstone.data.walk import check_names
from touchstone.errors import TouchstoneError
from touchstone.models import nets
from touchstone.models.checks import check_models
from touchstone.stage import run
from touchstone.training.loggers import check_loggers

STAGES = Path("stages")


def main() -> None:
    settings = load()
    source = sources.file_of(settings.data.source)
    remote.check_place(settings.source.path)
    check_paths(settings)
    for folder in (generator.ADDED, explain.OWN):
        check_names(folder)
    if settings.data.columns != Columns() and "columns" not in sources.options_of(settings.data.source):
        raise TouchstoneError(f"data.columns: the source {settings.data.source} has none to name; take it out")
    check_loggers(settings.machine.loggers)
    check_models(settings)
    print(end=note(settings.arithmetic) + remark(settings))
    remove_leftovers(settings)
    with replaced(FOLDER) as folder:
        for script in sorted(STAGES.glob("*.py")):
            code = hashes(script, source) if script.stem in ("download", "prepare") else hashes(script)
            computes = {} if script.stem == "download" else {"arithmetic": settings.arithmetic}
            write(folder / f"{script.stem}.json", sections(script, settings), **computes, code=code)
        encoder = settings.audit.encoder if settings.generators else None  # only generated images need it
        for name, model in {**settings.trained, ENCODER: encoder}.items():
            code = hashes(nets.file_of(model.net)) | nets.facts_of(model.net) if model else {}
            write(folder / f"models/{name}.json", model, code=code)
        write(folder / "sheet.json", settings.report.sheet)
        write(folder / "replicates.json", {"draws": settings.train.num_draws, "fits": settings.train.num_fits})
        for name, transform in settings.transforms.items():
            write(folder / f"transforms/{name}.json", transform)
        for name, config in settings.generators.items():
            code = hashes(generator.FOLDER / config.kind / config.CODE)
            for part in ("fit", "sample"):
                values = {"kind": config.kind, part: getattr(config, part, None)}  # a folder's images need no fit
                write(folder / f"generators/{name}.{part}.json", values, code=code)


if __name__ == "__main__":
    run(main)
