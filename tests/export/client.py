"""Paints by an exported folder as its format says, without the package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

Array = NDArray[Any]


class Client:
    """Of a folder of ONNX or OpenVINO graphs; each is loaded when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = json.loads((folder / "sdxs.json").read_text("utf-8"))
        self._loaded: dict[str, Any] = {}

    def run(self, inputs: dict[str, Array], **wanted: str) -> list[Array]:
        """By the graph of a decoder, style and control, "" each where there is none."""
        (row,) = [row for row in self.index["graphs"] if wanted.items() <= row.items()]
        assert [*inputs] == row["inputs"]
        if row["file"] not in self._loaded:
            self._loaded[row["file"]] = self._load(self.folder / row["file"])
        return self._loaded[row["file"]](inputs)

    def _load(self, file: Path) -> Any:
        if self.index["runtime"] == "openvino":
            import openvino

            model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            return lambda inputs: [*model(inputs).values()]
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        return lambda inputs: session.run(None, inputs)

    def ids(self, prompts: list[str]) -> dict[str, Array]:
        found = {}
        for name, row in zip(("ids", "ids_2"), self.index["tokenizers"], strict=False):
            tokenizer = Tokenizer.from_file(str(self.folder / row["file"]))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            rows = [each.ids for each in tokenizer.encode_batch(prompts)]
            length = row["length"]
            rows = [ids if len(ids) <= length else ids[: length - 1] + ids[-1:] for ids in rows]
            padded = [ids + [row["pad"]] * (length - len(ids)) for ids in rows]
            found[name] = np.array(padded, np.int64)
        return found

    def said(self, prompts: list[str], style: str, scale: float) -> list[Array]:
        """States (B, L, D) and, for SDXL, pooled (B, P)."""
        heard = style if style in self.index["text_styles"] else ""
        scales = {"scales": np.full((len(prompts), 1), scale, np.float32)} if heard else {}
        return self.run({**self.ids(prompts), **scales}, decoder="", style=heard)

    def paint(
        self, prompts: list[str], seeds: list[int], size: tuple[int, int], *, decoder: str = "tiny",
        style: str = "", style_scale: float = 1, control: str = "", control_scale: float = 1,
        image: Array | None = None,
    ) -> Array:  # fmt: skip
        """Pixels (B, H, W, 3), uint8. image: (H, W, 3), uint8."""
        (width, height), count, index = size, len(prompts), self.index
        said = self.said(prompts, style, style_scale)
        shape = (index["channels"], height // index["factor"], width // index["factor"])
        noise = [
            torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds
        ]
        inputs = {"noise": torch.stack(noise).numpy(), "states": said[0]}
        if len(said) > 1:
            sides = np.array([[height, width, 0, 0, height, width]], np.float32)
            inputs |= {"pooled": said[1], "time_ids": np.repeat(sides, count, 0)}
        led = [style_scale] * bool(style) + [control_scale] * bool(control)
        if led:
            inputs["scales"] = np.full((count, len(led)), led, np.float32)
        if image is not None:
            unit = image.astype(np.float32).transpose(2, 0, 1)[None] / 255
            inputs["images"] = np.repeat(unit, count, 0)
        pixels, finite = self.run(inputs, decoder=decoder, style=style, control=control)
        assert pixels.dtype == np.uint8 and np.isfinite(finite).all()
        return pixels
