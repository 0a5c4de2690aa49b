"""Write real images that a study does not use into an added set, as the control for generated ones.

    python benchmarks/unused_images.py recipes/cifar10_few/params.yaml --per-class 500 [--mirror FOLDER]

The images come from the source of the params.yaml, whose `data.train_size` is below the number of its training images.
The first unused ones of each class, by their hashes, are written as they are prepared to data/added/retrieved/<class>/
(--to), where a generator of the kind `folder` finds them. A sweep.yaml beside params.yaml counts by its largest
data.train_size, so no image is used at any size. Near copies of test and validation images are left out.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from touchstone.config import yaml
from touchstone.config.load import settings_of
from touchstone.data import split_table
from touchstone.data.copies import drop_copies
from touchstone.data.raw_images import Preparation, decode_all
from touchstone.data.sources import load_source, options_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("params", type=Path)
    parser.add_argument("--per-class", type=int, required=True)
    parser.add_argument("--mirror", default="")
    parser.add_argument("--to", type=Path, default=Path("data/added/retrieved"))
    arguments = parser.parse_args()
    if arguments.to.is_dir() and any(arguments.to.iterdir()):
        parser.error(f"{arguments.to} holds images already, which may be used by this study; remove it first")
    settings = settings_of(arguments.params.read_text(encoding="utf-8"))
    data, draws = settings.data, settings.train.num_draws
    options = {name: getattr(data, name) for name in options_of(data.source)}
    with TemporaryDirectory() as scratch:
        to, source = Path(scratch) / "raw", load_source(data.source)
        to.mkdir()
        mirror = arguments.mirror or settings.source.mirror
        source.download(to=to, path=Path(settings.source.path), mirror=mirror, **options)
        raw = source.read(to)
        how = Preparation(data.channels, data.image_size, data.resize, data.max_pixels, data.bits, data.white)
        images, sizes, bad, _ = decode_all(raw, how, Path(scratch) / "pixels.npy")
        table = split_table.split_table(raw, bad, data, settings.multi_label)
        drop_copies(table, images, sizes, drop_near=True)
        size = largest_train_size(arguments.params, data.train_size)
        split_table.draw_training(table, size, draws=draws, multi_label=raw.multi_label)
        unused = table[table["left_out"] == split_table.OVER_TRAIN_SIZE].sort_values("id")
        for label, rows in unused.groupby("label"):
            folder = arguments.to / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            kept = rows.index[: arguments.per_class]
            for row in kept:
                height, width = sizes[row]
                Image.fromarray(images[row, :height, :width].squeeze()).save(folder / f"{table['id'][row]}.png")
            print(f"{label}: {len(kept)} of {len(rows)} unused images")


def largest_train_size(params: Path, own: int) -> int:
    """The largest data.train_size of a study and the sweep.yaml beside it; 0, all images, is larger than any number."""
    sweep = params.with_name("sweep.yaml")
    swept = yaml.parse(sweep.read_text(encoding="utf-8")).get("data.train_size", []) if sweep.is_file() else []
    sizes = [own, *swept]
    return 0 if 0 in sizes else max(sizes)


if __name__ == "__main__":
    main()
