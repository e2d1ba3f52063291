"""OpenVINO with 8-bit integers: convolutions and matrix products are quantized by NNCF, on samples
of what the graph will be given.

What stays as it was: all that adds up to the prediction and the picture (first and last layers,
projections back into the residual stream, every sum), because epsilon prediction at the last time
step magnifies its errors 14.6 times; and the text encoders.
"""

import logging
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import nn

from sdxs.engines.openvino import OpenVINO
from sdxs.engines.runtime import Unavailable, arrays
from sdxs.model.graph import Inputs, PaintGraph

INSTALL = "pip install 'nncf>=3.0'"
QUANTIZED = {"Convolution", "ConvolutionBackpropData", "MatMul"}
EXACT = ("conv_in", "conv_out", "conv_shortcut", "proj_out", "to_out")  # diffusers' names
PARTS = {*QUANTIZED, "Constant", "Convert", "Parameter", "Result"}


class OpenVINOInt8(OpenVINO):
    """See `sdxs.engines.runtime.Runtime`."""

    name: ClassVar[str] = "openvino-int8"
    calibrated: ClassVar[bool] = True

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        super().check(device, dtype)
        if find_spec("nncf") is None:
            raise Unavailable(f"NNCF is not installed: {INSTALL}")

    def traced(self, graph: nn.Module, example: Inputs, samples: Iterable[Inputs]) -> Any:
        model = super().traced(graph, example, samples)
        if not isinstance(graph, PaintGraph):
            return model
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)  # its handlers may be others'
        given = [arrays(sample) for sample in samples]
        return nncf.quantize(
            model,
            nncf.Dataset(given),
            subset_size=len(given),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            ignored_scope=nncf.IgnoredScope(**exact(model), validate=False),
        )


def exact(model: Any) -> dict[str, list[str]]:
    """Of a graph, the types of operations and the names of those that are not quantized."""
    operations = model.get_ordered_ops()
    products = [op.get_friendly_name() for op in operations if op.get_type_name() in QUANTIZED]
    decoder = [name for name in products if ".decoder.layers." in name]  # a tiny one's
    ends = {_layer(name) for name in (decoder[:1] + decoder[-1:])}
    names = [
        name
        for name in products
        if any(part in name for part in EXACT)
        or _layer(name) in ends
        or not any(part in name for part in (".networks.0.", ".networks.1."))  # a ControlNet
    ]
    return {"types": sorted({op.get_type_name() for op in operations} - PARTS), "names": names}


def _layer(name: str) -> str:
    """The layer of a tiny decoder that an operation belongs to, "" elsewhere."""
    _, found, rest = name.partition(".decoder.layers.")
    return rest.split("/")[0].split(".")[0] if found else ""
