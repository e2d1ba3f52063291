"""The light model: an exported folder of ONNX, painted by ONNX Runtime and NumPy, without torch."""
