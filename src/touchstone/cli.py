"""The command `touchstone`, for use in the project's root: run the pipeline and studies, predict, compare, verify."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from touchstone.config.load import load
from touchstone.data.imageset import read_table
from touchstone.errors import TouchstoneError, run

METRICS = Path("metrics/metrics.json")
SOME_FAILED = 3  # the exit code of `predict` where some files could not be read
Command = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]
AT_A_TIME = "stages to run at a time; default: as many as there are GPUs, or else cores; on a cluster all"


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and run one command; bad input is one line on stderr and exit code 1."""
    arguments = _parser().parse_args(argv)
    run(lambda: arguments.command(arguments))


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, in the order in which `--help` lists them."""
    parser = argparse.ArgumentParser(prog="touchstone", description="Find out whether an augmentation helps.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, function: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        added.set_defaults(command=function)
        return added

    _add_projects(command)
    _add_models(command)
    _add_studies(command)
    _add_comparisons(command)
    _add_mosaics(command)
    return parser


def _add_projects(command: Command) -> None:
    """Add the commands that begin a study: new and init."""
    new = command("new", _new, "lay out a project of your own: the pipeline without our recipes, tests and results")
    new.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")

    place = "a folder or an archive of images, a table that lists them, or an address such as s3://..."
    init = command(
        "init", _init, "look at images and write a params.yaml that suits them, with the minutes it will take"
    )
    init.add_argument("path", metavar="PATH", help=place)
    mirrored = "whether an image may be mirrored; default: the names of the classes decide"
    init.add_argument("--mirror", action=argparse.BooleanOptionalAction, default=None, help=mirrored)
    init.add_argument("--minutes", type=float, default=15, help="what the study may take, about; default: 15")
    init.add_argument("--force", action="store_true", help="replace a params.yaml with changes that are not committed")


def _add_models(command: Command) -> None:
    """Add the commands about trained models and nets: predict, models and export."""
    text = f"label the images in a folder or an archive with a run; exit code {SOME_FAILED} where some cannot be read"
    predict = command("predict", _predict, text)
    predict.add_argument(
        "folder", type=Path, metavar="PATH", help="a folder, searched with its subfolders, or a .zip or .tar archive"
    )
    predict.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")
    text = "run, ensemble or file of `touchstone export`; default: the best on validation"
    predict.add_argument("-m", "--model", default="", metavar="RUN_OR_FILE", help=text)
    text = "onnx and openvino are faster and equal to float tolerance; auto: the fastest installed; default: torch"
    predict.add_argument("--runtime", choices=("torch", "onnx", "openvino", "auto"), default="", help=text)
    predict.add_argument(
        "--top", type=int, default=1, metavar="K", help="write the K most probable classes; default: 1"
    )

    text = "list nets by name, ours, torchvision's and timm's: parameters, operations, input, speed, weights"
    models = command("models", _models, text)
    models.add_argument(
        "patterns", nargs="*", metavar="PATTERN", help="such as 'convnext*' or 'timm/*tiny*'; none: ours"
    )
    models.add_argument("--speed", action="store_true", help="measure the speed of all, also of many")

    text = "write a run or ensemble as a file with its preprocessing and labels, checked, with a model card"
    export = command("export", _export, text)
    export.add_argument("name", metavar="RUN", help="run or ensemble")
    export.add_argument("--to", choices=("onnx", "openvino", "torchscript"), required=True, help="the file's format")
    export.add_argument("--int8", action="store_true", help="quantise as well, calibrated on training images")
    text = "any (default): the file resizes images of any size; prepared: it takes them at the sizes that its nets see"
    export.add_argument("--images", choices=("any", "prepared"), default="any", help=text)
    export.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="default: exports/RUN")
    text = "the licence in the model card, by its name on the Hugging Face Hub, such as apache-2.0; default: unknown"
    export.add_argument("--license", default="unknown", metavar="ID", help=text)


def _add_studies(command: Command) -> None:
    """Add the commands that run the pipeline, or say what would run: study, sweep, studies, repro and plan."""
    study = command("study", _study, "run recipes/NAME and keep its metrics.json and report.md there")
    sweep = command("sweep", _sweep, "run recipes/NAME with all values in its sweep.yaml, as DVC experiments")
    change = "a parameter to change in the recipe's params.yaml; may be repeated"
    for added in (study, sweep):
        added.add_argument("name", metavar="NAME")
        added.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help=change)
    sweep.add_argument("-j", "--jobs", type=int, default=1, help="experiments to run at a time; default: 1")
    study.add_argument("-j", "--jobs", type=int, help=AT_A_TIME)

    text = "list what each recipe keeps, and whether the present code and settings would make it"
    studies = command("studies", _studies, text)
    text = "also bring the tables that README and docs quote up to date, and the notes on older figures below them"
    studies.add_argument("--fill", action="store_true", help=text)

    repro = command("repro", _repro, "run the stages that changed, several at a time, as dvc repro does")
    repro.add_argument("targets", nargs="*", metavar="STAGE", help="with the stages before it; default: all stages")
    repro.add_argument("-S", "--set-param", action="append", default=[], help=argparse.SUPPRESS)
    repro.add_argument("-j", "--jobs", type=int, help=AT_A_TIME)

    where = "what runs the stages: local (this machine, the default), slurm, ray; docs/cluster.md says how"
    for added in (repro, study):
        added.add_argument("--on", default="local", metavar="ENGINE", help=where)

    text = "say what will run, how long it will take, and which gains it could find, before anything runs"
    plan = command("plan", _plan, text)
    metrics = f"only the gains, from the metrics.json of a pilot study; default: {METRICS}"
    plan.add_argument("--metrics", type=Path, metavar="FILE", help=metrics)
    plan.add_argument("--images", type=int, metavar="N", help="test images; default: those in data/prepared")
    for what in ("seed", "image"):
        given = f"instead of a pilot: the standard deviation of a gain from {what} to {what}, in points"
        plan.add_argument(f"--{what}-sd", type=float, metavar="POINTS", help=given)


def _add_comparisons(command: Command) -> None:
    """Add the commands that look at results: compare, offline-plots and verify."""
    compare = command("compare", _compare, "compare two revisions or experiments by their stored predictions")
    compare.add_argument("before", nargs="?", default="HEAD", metavar="REV_A", help="default: HEAD")
    compare.add_argument("after", nargs="?", default="workspace", metavar="REV_B", help="default: workspace")
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="write Markdown, for a pull request")
    form.add_argument("--json", action="store_true", help="write all numbers, unrounded, as JSON")
    page = "also write a page with a chart, all metrics, parameters, and the images whose prediction changed"
    compare.add_argument("--html", type=Path, metavar="FILE", help=page)
    compare.add_argument(
        "--png", type=Path, metavar="FILE", help="also write a chart of the changes of the first metric"
    )

    command("offline-plots", _offline_plots, "let `dvc plots show` and `diff` draw without a network, in this folder")

    text = "hash all outputs again; list those that differ from dvc.lock, stale results, and what no stage makes"
    command("verify", _verify, text)


def _add_mosaics(command: Command) -> None:
    """Add the command that makes a data set of its own: mosaics."""
    mosaics = command("mosaics", _mosaics, "make a multi-label data set of 2x2 pictures, in VOC's layout")
    mosaics.add_argument("to", type=Path, metavar="DIR", help="a new folder")
    mosaics.add_argument("--source", default="cifar10", help="single-label, with a test split; default: cifar10")
    mosaics.add_argument("--mirror", default="", help="where to download from, as source.mirror in params.yaml")
    for split, count in (("train", 2000), ("val", 500), ("test", 1000)):
        mosaics.add_argument(f"--{split}", type=int, default=count, metavar="N", help=f"pictures; default: {count}")
    mosaics.add_argument("--seed", type=int, default=0, help="default: 0")


def _predict(arguments: argparse.Namespace) -> None:
    from touchstone.export.predict import choose_model
    from touchstone.studies.predict_folder import predict_folder

    _check_writable("-o", arguments.output)
    if arguments.top < 1:
        raise TouchstoneError(f"--top {arguments.top}: expected at least 1")
    name, model = choose_model(arguments.model, arguments.runtime, root=Path.cwd(), metrics=METRICS)
    table = predict_folder(arguments.folder, model, top=arguments.top)
    failed = table[table["error"] != ""]
    for file, reason in zip(failed["file"], failed["error"], strict=True):
        print(f"not readable: {file}: {reason}", file=sys.stderr)
    output: Path = arguments.output
    is_pipe = output.is_symlink() or (output.exists() and not output.is_file())  # such as /dev/stdout
    new = output if is_pipe else output.with_name(f".{output.name}.new")
    table.to_csv(new, index=False)
    if not is_pipe:
        new.replace(output)
    said = f"{output}: {len(table) - len(failed)} images by {name}; {len(failed)} not readable"
    print(said, file=sys.stderr if is_pipe else sys.stdout)
    if len(failed):
        sys.exit(SOME_FAILED)


def _export(arguments: argparse.Namespace) -> None:
    from touchstone.export.folder import export_to_folder

    form = {"to": arguments.to, "int8": arguments.int8, "images": arguments.images}
    folder = arguments.output or Path("exports") / arguments.name
    options = {"root": Path.cwd(), "metrics": METRICS, "license_id": arguments.license}
    print(export_to_folder(arguments.name, folder, settings=load(), **form, **options))


def _check_writable(option: str, file: Path) -> None:
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir():
        raise TouchstoneError(f"{option} {file}: expected a file in a folder that exists")
    through = file.is_symlink() or (file.exists() and not file.is_file())  # written to, and not replaced
    if not os.access(file if through and file.exists() else folder, os.W_OK):
        raise TouchstoneError(f"{option} {file}: cannot be written there; give a place that you may write to")


def _study(arguments: argparse.Namespace) -> None:
    from touchstone.cluster.study import study

    options = {"changes": arguments.set_param, "jobs": _jobs(arguments), "engine": arguments.on}
    space = study(arguments.name, root=Path.cwd(), **options)
    print(f"kept in recipes/{arguments.name}; the full report: {space / 'metrics/report.html'}")


def _sweep(arguments: argparse.Namespace) -> None:
    from touchstone.studies.sweep import TABLE, sweep

    space = sweep(arguments.name, root=Path.cwd(), changes=arguments.set_param, jobs=max(1, arguments.jobs))
    print(f"kept in recipes/{arguments.name}/{TABLE}; `dvc exp show` in {space} shows the experiments")


def _studies(arguments: argparse.Namespace) -> None:
    from touchstone.studies import made_by, quotes

    root = Path.cwd()
    listed = made_by.states(root)
    if not listed:
        raise TouchstoneError("recipes/*/params.yaml: no such file; run from a project that has recipes")
    for name, kept_by, state in listed:
        print(f"{name} ({kept_by}): {state.text}")
    for file in quotes.update(root) if arguments.fill else ():
        print(f"{file.relative_to(root)}: brought up to date")
    altered = [name for name, _, state in listed if state is made_by.State.ALTERED]
    if altered:
        raise TouchstoneError(
            f"{', '.join(altered)}: kept files differ from those recorded in {made_by.FILE}; `git checkout` them, or "
            "run the recipe again"
        )


def _models(arguments: argparse.Namespace) -> None:
    from touchstone.studies.list_models import described, matching, mirror_of

    mirror = mirror_of(Path("params.yaml"))
    print(described(matching(arguments.patterns), channels=3, mirror=mirror, speed=arguments.speed))


def _new(arguments: argparse.Namespace) -> None:
    from touchstone.studies.new_project import new_project

    number = new_project(arguments.folder)
    print(f"{arguments.folder}: {number} files; next: cd {arguments.folder}, make setup, touchstone init PATH")


def _init(arguments: argparse.Namespace) -> None:
    from touchstone.cluster.engines import default_slots
    from touchstone.cluster.start import init

    if not arguments.minutes > 0:
        raise TouchstoneError(f"--minutes {arguments.minutes:g}: expected more than 0")
    options = {"mirror": arguments.mirror, "minutes": arguments.minutes, "force": arguments.force}
    init(Path.cwd(), arguments.path, jobs=default_slots(None), **options)


def _repro(arguments: argparse.Namespace) -> None:
    from touchstone.cluster.repro import repro

    if arguments.set_param:
        change = arguments.set_param[0]
        raise TouchstoneError(
            f"-S {change}: repro runs params.yaml as it is; change it there, or try the change with `dvc exp run -S "
            f"{change}` (`-S +{change.lstrip('+')}` for a key that params.yaml leaves to its default)"
        )
    repro(Path.cwd(), arguments.targets, jobs=_jobs(arguments), engine=arguments.on)


def _jobs(arguments: argparse.Namespace) -> int | None:
    """The number of stages that run at a time; None: the engine's own."""
    jobs: int | None = arguments.jobs
    if jobs is not None and jobs < 1:
        raise TouchstoneError(f"--jobs {jobs}: expected at least 1")
    return jobs


def _offline_plots(arguments: argparse.Namespace) -> None:
    from touchstone.studies.offline_plots import offline_plots

    print(f"{offline_plots(Path.cwd()).relative_to(Path.cwd())}: `dvc plots show` and `dvc plots diff` use it")


def _plan(arguments: argparse.Namespace) -> None:
    from touchstone.evaluation.design import Spread
    from touchstone.studies.plan import pilot_spread, plan

    settings = load()
    points = arguments.seed_sd, arguments.image_sd
    if (arguments.metrics, arguments.images, *points) == (None,) * 4:
        from touchstone.cluster.engines import default_slots
        from touchstone.cluster.start import planned

        print(planned(Path.cwd(), settings, METRICS, jobs=default_slots(settings)))
        return
    if (points[0] is None) != (points[1] is None):
        raise TouchstoneError("give both --seed-sd and --image-sd, or neither")
    if points[0] is not None and not (points[0] >= 0 and points[1] > 0):
        raise TouchstoneError(f"--seed-sd {points[0]:g} --image-sd {points[1]:g}: expected 0 or more, and more than 0")
    spread = (
        pilot_spread(arguments.metrics or METRICS, settings)
        if points[0] is None
        else Spread(points[0] / 100, points[1] / 100)
    )
    num_images, meta = arguments.images, Path("data/prepared/meta.json")
    if num_images is None:
        if not meta.is_file():
            raise TouchstoneError(f"{meta} is not there yet; give the number of test images with --images")
        num_images = len(read_table(meta.parent / "test"))
    if num_images < 2:
        raise TouchstoneError(f"--images {num_images}: expected at least 2")
    print(plan(settings, spread, num_images=num_images))


def _compare(arguments: argparse.Namespace) -> None:
    from touchstone.studies import revision_text
    from touchstone.studies.revisions import compare_revisions, read_revision

    for option, file in (("--html", arguments.html), ("--png", arguments.png)):
        if file is not None:
            _check_writable(option, file)
    settings = load()
    before, after = (read_revision(Path.cwd(), revision) for revision in (arguments.before, arguments.after))
    comparison = compare_revisions(before, after, settings.compare, seed=settings.seed)
    if arguments.html is not None:
        from touchstone.report import pages
        from touchstone.studies.revision_page import html

        pages.write(arguments.html, html(before, after, comparison, count=settings.report.worst))
    if arguments.png is not None:
        from touchstone.studies.revision_chart import save

        save(comparison, arguments.png)
    write = revision_text.markdown if arguments.md else revision_text.as_json if arguments.json else revision_text.text
    print(write(comparison))


def _verify(arguments: argparse.Namespace) -> None:
    from touchstone.studies.commands import cache_folder
    from touchstone.studies.stale import OTHER, stale_results
    from touchstone.studies.verify import verify

    root = Path.cwd()
    verified = verify(root, cache_folder(root))
    for fault in verified.faults:
        print(f"{fault.kind}: {fault.path.relative_to(root)} (output of {fault.stage})")
    for path in verified.leftovers:
        print(f"leftover: {path} (no stage makes it: delete it, or move it if it is yours)")
    stale = stale_results(root)
    for name, stage in stale.items():
        print(f"stale: {name} (output of {stage})")
    counts = f"{verified.num_outs} outputs, {verified.num_files:,} files, {verified.num_bytes / 1e6:,.1f} MB"
    if verified.faults:
        raise TouchstoneError(
            f"{len(verified.faults)} faults in {counts}; `dvc pull --force` fetches what a remote has; a stage makes "
            "its outputs again once they and their entries in DVC's cache are deleted"
        )
    print(f"{counts}: all as in dvc.lock")
    if stale:
        raise TouchstoneError(f"{len(stale)} stale results: they are {OTHER}")


def _mosaics(arguments: argparse.Namespace) -> None:
    from touchstone.data.sources import load_source
    from touchstone.data.splits import LABELLED
    from touchstone.studies.mosaics import write

    counts = {split: getattr(arguments, split) for split in LABELLED}
    if min(counts.values()) < 1:
        raise TouchstoneError("--train, --val, --test: expected at least one picture each")
    if arguments.to.exists() or not arguments.to.absolute().parent.is_dir():
        raise TouchstoneError(f"{arguments.to}: expected a new folder in one that exists")
    source = load_source(arguments.source)
    with tempfile.TemporaryDirectory() as folder:
        source.download(to=Path(folder), path=Path(), mirror=arguments.mirror)
        write(source.read(raw=Path(folder)), arguments.to, counts=counts, seed=arguments.seed)
    print(f"{arguments.to}: {', '.join(f'{count} {split}' for split, count in counts.items())} pictures")
