"""data/augmented x real images -> metrics/audit.json, data/audit/<set>.{png,csv}: the audit of each added set."""

import json
from pathlib import Path

from touchstone.audit.features import FeatureExtractor, nearest
from touchstone.audit.sets import audit, real_images, rounded
from touchstone.config.machine import load_machine
from touchstone.config.settings import load_settings
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.replicates import of_replicate
from touchstone.models.device import device
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.stage import run

import torch
from tqdm import tqdm

SETTINGS = ("audit", "generators", "transforms")
DATA = Path("data")


def main() -> None:
    settings = load_settings("audit")
    torch.set_num_threads(settings.audit.encoder.num_threads)
    metadata = load_run_metadata(DATA / "encoder")
    encoder = load_nets(DATA / "encoder", metadata, device=device(load_machine().accelerator))[0]
    meta = {"classes": metadata.classes, "multi_label": metadata.multi_label}
    extractor = FeatureExtractor(encoder, view=metadata.view, meta=meta)
    train = extractor.calibrate(of_replicate(load(DATA / "prepared/train"), 0))
    test = extractor.extract(load(DATA / "prepared/test"))
    real = real_images(train, test, settings=settings.audit)
    figures = {}
    with replaced(DATA / "audit") as folder:
        nearest(test, train).to_csv(folder / "test-nearest.csv", index=False)
        for name in tqdm(settings.added_sets, desc="audit", unit="set", disable=None):
            added = of_replicate(load(DATA / "augmented" / name), 0)
            result = audit(extractor.extract(added), real, settings=settings.audit)
            figures[name] = result.figures
            result.gallery.save(folder / f"{name}.png")
            result.pairs.to_csv(folder / f"{name}.csv", index=False)
            print(f"{name}: {result.figures['verdict']}. {result.figures['reasons']}")
    sha256 = metadata.weights[str(settings.audit.seed)]
    found = {"sets": figures, "encoder": {"sha256": sha256, "test_accuracy": rounded(test.agreement)}}
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/audit.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    run(main)
