"""data/augmented x real images -> data/audit: figures, pictures and tables of each set; metrics/audit_summary.json."""

from functools import partial
from pathlib import Path
from typing import Any

from touchstone.audit.features import FeatureExtractor, by_thumbnails, nearest
from touchstone.audit.groups import read_groups
from touchstone.audit.sets import RealImages, audit_derived, audit_generated, judged
from touchstone.config.machine import load_machine
from touchstone.config.settings import load_settings
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.replicates import of_replicate
from touchstone.evaluation.summary import of_audit, save
from touchstone.models.device import device
from touchstone.models.runs import load_first, load_run_metadata
from touchstone.stage import run

import numpy as np
import torch
from tqdm import tqdm

SETTINGS = ("audit", "data.image_size", "generators", "transforms")
DATA = Path("data")


def main() -> None:
    settings = load_settings("audit")
    torch.set_num_threads(settings.audit.encoder.num_threads)
    train, test = of_replicate(load(DATA / "prepared/train"), 0), load(DATA / "prepared/test")
    plain = partial(by_thumbnails, size_px=settings.data.image_size)
    found: dict[str, Any] = {"encoder": None, "search": {}}
    if settings.generators:
        metadata = load_run_metadata(DATA / "encoder")
        encoder = load_first(DATA / "encoder", device=device(load_machine().accelerator))
        meta = {"classes": metadata.classes, "multi_label": metadata.multi_label}
        extractor = FeatureExtractor(encoder, view=metadata.view, meta=meta)
        real = RealImages(extractor.calibrate(train), extractor.extract(test), settings.audit)
        found |= real.described(sha256=metadata.weights[str(settings.audit.seed)])
    else:  # no classifier was trained, and copies of test images are found by pixels
        real = RealImages(plain(train), plain(test), settings.audit)
    derived, generated = {}, {}
    for name in tqdm(settings.added_sets, desc="audit", unit="set", disable=None):
        images = load(DATA / "augmented" / name)
        if name in settings.transforms:
            derived[name] = audit_derived(plain(images), real)
        else:
            groups = read_groups(DATA / "augmented" / name, DATA / "prepared")
            generated[name] = audit_generated(extractor.extract(of_replicate(images, 0)), real, groups)
    found["sets"] = judged(derived) | judged(generated)
    with replaced(DATA / "audit") as folder:
        nearest(real.test, real.train).to_csv(folder / "test-nearest.csv", index=False)
        np.save(folder / "test-features.npy", real.test.values.astype(np.float16))
        for name, each in (derived | generated).items():
            each.gallery.save(folder / f"{name}.png")
            if each.strip:
                each.strip.save(folder / f"{name}-strip.png")
            each.pairs.to_csv(folder / f"{name}.csv", index=False)
            print(f"{name}: {found['sets'][name]['verdict']}. {found['sets'][name]['reasons']}")
        save(folder, audit=found)
    save(Path("metrics"), audit_summary=of_audit(found))


if __name__ == "__main__":
    run(main)
