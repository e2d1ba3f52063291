"""An exported model of nothing but names, for stand-ins of ONNX Runtime."""

import hashlib
import json
from typing import Any


def files(**changed: Any) -> dict[str, str]:
    """A model of nothing but names, with three styles."""
    there = {"tokenizer.json": json.dumps({"added_tokens": []}), "w/text": "t", "w/unet": "uu"}
    graphs = [{"file": "text.onnx", "decoder": "", "style": "", "control": "", "inputs": ["ids"],
               "outputs": ["states"], "weights": ["w/text"]}]  # fmt: skip
    there["text.onnx"] = "text"
    for style in ("", "ink", "oil", "wax"):
        name = f"paint+{style}" if style else "paint"
        there |= {f"{name}.onnx": name} | ({f"w/{style}": "sss"} if style else {})
        weights = ["w/unet", *([f"w/{style}"] if style else [])]
        graphs.append({"file": f"{name}.onnx", "decoder": "tiny", "style": style, "control": "",
                       "inputs": ["noise", "states", *(["scales"] if style else [])],
                       "outputs": ["pixels", "finite"], "weights": weights})  # fmt: skip
    facts = {
        name: {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for name, text in there.items()
    }
    index = {
        "format": 1, "dtype": "float32", "size": [8, 8], "channels": 4, "factor": 2, "multiple": 4,
        "tokenizers": [{"file": "tokenizer.json", "pad": 0, "length": 4}], "decoders": ["tiny"],
        "styles": ["ink", "oil", "wax"], "controls": [], "text_styles": [], "graphs": graphs,
        "files": facts, "about": {"title": "Names", "checkpoint": "names", "facts": [],
        "examples": ["a"], "words": {}, "fillers": [], "near": {}}, **changed,
    }  # fmt: skip
    return there | {"sdxs.json": json.dumps(index)}
