"""Files that predict outside the project: ONNX, OpenVINO and TorchScript, with preprocessing and labels inside."""
