"""The command `touchstone`: predict a folder, run a study, check outputs. Run from the project's root."""

import argparse
import sys
import tempfile
from pathlib import Path

from touchstone.config import params
from touchstone.errors import TouchstoneError, run


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and run one command; bad input is one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="touchstone", description="Does an augmentation help?")
    commands = parser.add_subparsers(required=True, metavar="command")

    predict = commands.add_parser("predict", help="label the images of a folder with a trained run or ensemble")
    predict.add_argument("folder", type=Path, metavar="DIR")
    predict.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")
    predict.add_argument("-m", "--model", default="", help="a run or an ensemble; default: the first ensemble, or run")
    predict.set_defaults(command=_predict)

    study = commands.add_parser("study", help="run recipes/NAME, keep its metrics.json and report.md there")
    study.add_argument("name", metavar="NAME")
    study.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="over the recipe's")
    study.set_defaults(command=_study)

    sweep = commands.add_parser("sweep", help="run recipes/NAME for all values of its sweep.yaml, as DVC experiments")
    sweep.add_argument("name", metavar="NAME")
    sweep.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="over the recipe's")
    sweep.add_argument("-j", "--jobs", type=int, default=1, help="experiments at a time; default: 1")
    sweep.set_defaults(command=_sweep)

    train = commands.add_parser("train", help="run the train stages side by side, one GPU each where there are GPUs")
    train.add_argument("-j", "--jobs", type=int, default=2)
    train.set_defaults(command=_train)

    compare = commands.add_parser("compare", help="two revisions or experiments, by their kept predictions")
    compare.add_argument("before", nargs="?", default="HEAD", metavar="REV_A", help="default: HEAD")
    compare.add_argument("after", nargs="?", default="workspace", metavar="REV_B", help="default: workspace")
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="Markdown, for a pull request")
    form.add_argument("--json", action="store_true", help="everything, unrounded")
    compare.set_defaults(command=_compare)

    verify = commands.add_parser("verify", help="hash all outputs again and name what is not as dvc.lock says")
    verify.set_defaults(command=_verify)

    mosaics = commands.add_parser(
        "mosaics", help="write pictures of 2x2 images, with all their labels, as VOC has them"
    )
    mosaics.add_argument("to", type=Path, metavar="DIR", help="a folder that is not there yet")
    mosaics.add_argument("--source", default="cifar10", help="of single images, with a test split; default: cifar10")
    mosaics.add_argument("--mirror", default="", help="as data.mirror")
    for split, count in (("train", 2000), ("val", 500), ("test", 1000)):
        mosaics.add_argument(f"--{split}", type=int, default=count, metavar="N", help=f"pictures; default: {count}")
    mosaics.add_argument("--seed", type=int, default=0)
    mosaics.set_defaults(command=_mosaics)

    arguments = parser.parse_args(argv)
    run(lambda: arguments.command(arguments))


def _predict(arguments: argparse.Namespace) -> None:
    from touchstone.studies.predict_folder import load_decider, predict_folder

    if arguments.output.is_dir() or not arguments.output.absolute().parent.is_dir():
        raise TouchstoneError(f"-o {arguments.output}: expected a file in a folder that exists")
    settings = params.load()
    name = arguments.model or next(iter([*settings.ensembles, *settings.runs]))
    table, bad = predict_folder(arguments.folder, load_decider(name, params=settings, data=Path("data")))
    for file, reason in bad.items():
        print(f"not readable: {file}: {reason}", file=sys.stderr)
    new = arguments.output.with_name(f".{arguments.output.name}.new")
    table.to_csv(new, index=False)
    new.replace(arguments.output)
    print(f"{arguments.output}: {len(table)} images by {name}, {len(bad)} not readable")


def _study(arguments: argparse.Namespace) -> None:
    from touchstone.studies.workspace import study

    space = study(arguments.name, root=Path.cwd(), changes=arguments.set_param)
    print(f"kept in recipes/{arguments.name}; the whole report: {space / 'metrics/report.html'}")


def _sweep(arguments: argparse.Namespace) -> None:
    from touchstone.studies.sweep import KEPT, sweep

    space = sweep(arguments.name, root=Path.cwd(), changes=arguments.set_param, jobs=max(1, arguments.jobs))
    print(f"kept in recipes/{arguments.name}/{KEPT}; `dvc exp show` in {space} has the experiments")


def _train(arguments: argparse.Namespace) -> None:
    from touchstone.studies.parallel import train_runs, visible_gpus

    settings = params.load()
    runs = [run for name in settings.models for run in settings.runs_of(name)]  # finetunes come after them
    train_runs(runs, jobs=max(1, arguments.jobs), gpus=visible_gpus())


def _compare(arguments: argparse.Namespace) -> None:
    from touchstone.studies import revision_text
    from touchstone.studies.revisions import compare, read

    settings = params.load()
    before, after = (read(Path.cwd(), rev) for rev in (arguments.before, arguments.after))
    found = compare(before, after, settings.compare, seed=settings.seed)
    write = revision_text.markdown if arguments.md else revision_text.as_json if arguments.json else revision_text.text
    print(write(found))


def _verify(arguments: argparse.Namespace) -> None:
    from touchstone.studies.verify import verify
    from touchstone.studies.workspace import cache_of

    found = verify(Path.cwd(), cache_of(Path.cwd()))
    for fault in found.faults:
        print(f"{fault.how}: {fault.path.relative_to(Path.cwd())} (of {fault.stage})")
    what = f"{found.num_outs} outs, {found.num_files:,} files, {found.num_bytes / 1e6:,.1f} MB"
    if found.faults:
        raise TouchstoneError(
            f"{len(found.faults)} faults in {what}; `dvc pull --force` brings back what a remote has; a stage makes "
            "its outs again once they and their entries in DVC's cache are deleted"
        )
    print(f"{what}: all as dvc.lock says")


def _mosaics(arguments: argparse.Namespace) -> None:
    from touchstone.data.sources import load_source
    from touchstone.studies.mosaics import write

    counts = {split: getattr(arguments, split) for split in ("train", "val", "test")}
    if min(counts.values()) < 1:
        raise TouchstoneError("--train, --val, --test: expected at least one picture each")
    if arguments.to.exists() or not arguments.to.absolute().parent.is_dir():
        raise TouchstoneError(f"{arguments.to}: expected a folder that is not there yet, in one that is")
    source = load_source(arguments.source)
    with tempfile.TemporaryDirectory() as folder:
        source.download(to=Path(folder), path=Path(), mirror=arguments.mirror)
        write(source.read(raw=Path(folder)), arguments.to, counts=counts, seed=arguments.seed)
    print(f"{arguments.to}: {', '.join(f'{count} {split}' for split, count in counts.items())} pictures")
