"""OpenVINO files, an .xml with a .bin beside it: converted from torch, quantised by NNCF, run by OpenVINO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from touchstone.errors import TouchstoneError, one_line
from touchstone.export.description import ANY, KEY, Description, parse
from touchstone.export.formats import Calibration, Session, check_file
from touchstone.export.graph import ExportedNet
from touchstone.export.libraries import library, num_threads, quiet, reason, whole_processor
from touchstone.export.quantised_part import quantised_nodes

WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def write(net: ExportedNet, file: Path) -> None:
    """Trace the net and write what OpenVINO makes of it."""
    openvino, one = library("openvino"), net.description
    sides = [[-1, -1, -1] if one.images == ANY else [-1, *shown.shape[1:-1]] for shown in net.example()]
    shapes = [(openvino.PartialShape([*sizes, one.channels]), openvino.Type.u8) for sizes in sides]
    with quiet(), torch.no_grad():
        try:
            model = openvino.convert_model(net, example_input=net.example(), input=shapes)
        except Exception as error:  # whatever an operation leads it to
            raise TouchstoneError(
                f"{one.name}: OpenVINO cannot hold an operation of this net ({reason(error)}); change the net, or use "
                "--to torchscript"
            ) from error
    for ports, names in ((model.inputs, one.inputs), (model.outputs, one.outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    _save(model, one, file)


def _save(model: Any, description: Description, file: Path) -> None:
    openvino = library("openvino")
    model.set_rt_info(description.text(), KEY)
    model.set_rt_info(" ".join(name.replace(" ", "_") for name in description.classes), ["model_info", "labels"])
    openvino.save_model(model, str(file), compress_to_fp16=False)


def open_file(file: Path, *, threads: int = 0) -> tuple[Description, Session]:
    check_file(file)
    openvino = library("openvino")
    core = openvino.Core()
    try:
        model = core.read_model(str(file))
    except RuntimeError as error:
        raise TouchstoneError(f"{file}: OpenVINO cannot read it ({one_line(error)[:200]}); export it again") from error
    description = _description(model, file)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",  # a batch at a time, by all threads
        "INFERENCE_NUM_THREADS": threads or num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # not bfloat16, which some processors would take
    }
    with whole_processor():
        compiled = core.compile_model(model, "CPU", settings)

    def run(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        result = compiled(dict(zip(description.inputs, images, strict=True)))
        return [result[name] for name in description.outputs]

    return description, run


def _description(model: Any, file: Path) -> Description:
    text = model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None
    return parse(text, file)


def quantise(file: Path, to: Path, batches: Calibration) -> None:
    """Quantise by NNCF: weights by channel, activations by calibration images."""
    openvino, nncf = library("openvino"), library("nncf")
    model = openvino.Core().read_model(str(file))
    description = _description(model, file)
    nodes = {op.get_friendly_name(): _node(op) for op in model.get_ops()}
    chosen = quantised_nodes(nodes, weighted=WEIGHTED, first="Convolution")
    if not chosen:
        raise TouchstoneError(f"--int8: {description.name} has no convolution to quantise; leave --int8 out")
    ignored = [
        name for name, (kind, _, _) in nodes.items() if kind in ("MatMul", "Add", "Multiply") and name not in chosen
    ]
    data = nncf.Dataset([dict(zip(description.inputs, batch, strict=True)) for batch in batches()])
    with quiet():
        preset = nncf.QuantizationPreset.MIXED  # symmetric activations ruin nets whose activations have one sign
        scope = nncf.IgnoredScope(names=ignored, validate=False)
        quantised = nncf.quantize(model, data, subset_size=len(list(batches())), ignored_scope=scope, preset=preset)
    _save(quantised, description.quantised(), to)


def _node(op: Any) -> tuple[str, list[str], list[str]]:
    inputs = [
        f"{value.get_source_output().get_node().get_friendly_name()}:{value.get_source_output().get_index()}"
        for value in op.inputs()
    ]
    outputs = [f"{op.get_friendly_name()}:{value.get_index()}" for value in op.outputs()]
    return op.get_type_name(), inputs, outputs
