"""ONNX files: written by torch's exporter, quantised and run by ONNX Runtime."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from touchstone.errors import TouchstoneError, one_line
from touchstone.export.description import ANY, KEY, Description, parse
from touchstone.export.formats import Calibration, Session, check_file
from touchstone.export.graph import ExportedNet
from touchstone.export.libraries import library, num_threads, quiet, reason
from touchstone.export.quantised_part import quantised_nodes

LIMIT = 2**31 - 2**20  # bytes of weights, with room for the graph: a message of protobuf has at most 2**31 - 1
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "AveragePool", "GlobalAveragePool", "MaxPool", "Relu", "Clip", "Concat")


def write(net: ExportedNet, file: Path) -> None:
    """Write the net as one ONNX file with its description in the metadata."""
    onnx = library("onnx")
    library("onnxscript")
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    if size > LIMIT:
        raise TouchstoneError(
            f"{net.description.name}: its weights take {size / 1e9:.1f} GB, and an ONNX file holds {LIMIT / 1e9:.1f}; "
            "use --to openvino or torchscript"
        )
    inputs = net.example()
    sizes = {0: torch.export.Dim.AUTO}
    if net.description.images == ANY:
        sizes |= {1: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO}
    with quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                net,
                inputs,
                dynamo=True,
                verbose=False,
                dynamic_shapes=(tuple(sizes for _ in inputs),),
                input_names=net.description.inputs,
                output_names=net.description.outputs,
            )
        except Exception as error:  # the exporter raises whatever an operation leads it to
            raise TouchstoneError(
                f"{net.description.name}: ONNX cannot hold an operation of this net ({reason(error)}); change the net, "
                "or use --to torchscript"
            ) from error
    assert program is not None
    model = program.model_proto
    _describe(model, net.description)
    onnx.save(model, str(file))


def _describe(model: Any, description: Description) -> None:
    library("onnx").helper.set_model_props(model, {KEY: description.text(), "labels": "\n".join(description.classes)})


def description_of(file: Path) -> Description:
    """Read a file's description. Raises TouchstoneError where it is missing or not ONNX."""
    check_file(file)
    onnx = library("onnx")
    try:
        model = onnx.load(str(file), load_external_data=False)
    except Exception as error:  # protobuf's decoder raises its own
        raise TouchstoneError(f"{file}: no readable ONNX file ({one_line(error)}); export it again") from error
    return parse({entry.key: entry.value for entry in model.metadata_props}.get(KEY), file)


def open_file(file: Path, *, threads: int = 0) -> tuple[Description, Session]:
    check_file(file)
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or num_threads()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise TouchstoneError(
            f"{file}: ONNX Runtime cannot read it ({one_line(error)[:200]}); export it again"
        ) from error
    description = parse(session.get_modelmeta().custom_metadata_map.get(KEY), file)

    def run(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return session.run(description.outputs, dict(zip(description.inputs, images, strict=True)))

    return description, run


def quantise(file: Path, to: Path, batches: Calibration) -> None:
    """Quantise statically, in QDQ form: a scale for each channel of the weights, activations by calibration images."""
    onnx, quantization = library("onnx"), library("onnxruntime.quantization")
    pre_process = library("onnxruntime.quantization.shape_inference").quant_pre_process
    description = description_of(file)
    with tempfile.TemporaryDirectory() as folder, quiet():
        folded = Path(folder) / "folded.onnx"
        # Batch norms are folded into convolutions first. Symbolic shapes are left out: they fail on computed sizes.
        pre_process(str(file), str(folded), skip_symbolic_shape=True)
        graph = onnx.load(str(folded)).graph
        nodes = quantised_nodes(
            {node.name: (node.op_type, list(node.input), list(node.output)) for node in graph.node},
            weighted=("Conv", "Gemm", "MatMul"),
        )
        if not nodes:
            raise TouchstoneError(f"--int8: {description.name} has no convolution to quantise; leave --int8 out")
        quantization.quantize_static(
            str(folded),
            str(to),
            _Reader(description.inputs, batches),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_quantize=sorted(nodes),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
    model = onnx.load(str(to))
    _describe(model, description.quantised())
    onnx.save(model, str(to))


class _Reader:
    """Calibration batches, as ONNX Runtime asks for them."""

    def __init__(self, names: list[str], batches: Calibration) -> None:
        self.names, self.batches = names, batches()

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else dict(zip(self.names, batch, strict=True))
