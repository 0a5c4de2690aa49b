"""data.source -> data/raw: the images as published, checked by hash, in a form that does not change again."""

from pathlib import Path

from touchstone.config.resolved import load, read
from touchstone.config.schema.data import Columns, Source
from touchstone.data.folders import replaced
from touchstone.data.remote import local
from touchstone.data.sources import load_source, options_of
from touchstone.stage import run

SETTINGS = ("data.columns", "data.source", "source")
RAW = Path("data/raw")


def main() -> None:
    name, source = read("download")["data"]["source"], load(Source, "download", "source")
    options = {"columns": load(Columns, "download", "data", "columns")} if "columns" in options_of(name) else {}
    with replaced(RAW) as folder, local(source.path, beside=RAW) as path:
        load_source(name).download(to=folder, path=path, mirror=source.mirror, old=RAW, **options)


if __name__ == "__main__":
    run(main)
