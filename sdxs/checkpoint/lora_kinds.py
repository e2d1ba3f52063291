"""What files of adapters hold that is no plain LoRA, told by the names it is stored under.

Knows nothing of layers or numbers.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from sdxs.errors import CheckpointError, one_line

PLAIN = "save it as a plain LoRA"
KINDS = {  # how the names of its tensors end -> what it is, what to do
    r"dora_scale|lora_magnitude_vector(\.default)?(\.weight)?": ("DoRA", PLAIN),
    r"hada_\w+": ("LoHa", PLAIN),
    r"lokr_\w+": ("LoKr", PLAIN),
    r"[ab][12]\.weight": ("GLoRA", PLAIN),
    r"(oft_\w+|rescale)(\.default)?(\.weight)?": ("OFT", PLAIN),
    r"on_input|ia3_\w+": ("(IA)3", PLAIN),
    r"vera_\w+": ("VeRA", PLAIN),
    r"diff|set_weight": ("the full difference of layers", PLAIN),
    r"diff_b|w_norm|b_norm": (
        "the full difference of biases or norms",
        "save it without them",
    ),
    r"lora_(B|up)(\.default)?\.bias": ("LoRA with biases", "save it without them"),
    r"lora_embedding_\w+": ("LoRA of word embeddings", "save it without them"),
}
_ANY = re.compile(rf"\.({'|'.join(KINDS)})$")
EMBEDDINGS = {"emb_params", "clip_l", "clip_g"}  # AUTOMATIC1111's names of textual inversion


def check_kind(keys: Iterable[str], path: Path) -> None:
    """Raises CheckpointError where one of a file's keys belongs to something else than LoRA."""
    keys = list(keys)
    for key in keys:
        if key.startswith("bundle_emb"):
            raise CheckpointError(
                f"{path} brings an embedding of its own ({one_line(key, 60)}), which is not "
                "supported: save the LoRA without it"
            )
        if found := _ANY.search(key):
            kind, remedy = next(it for ends, it in KINDS.items() if re.fullmatch(ends, found[1]))
            raise CheckpointError(
                f"{path} holds {kind} ({one_line(key, 100)}), which is not supported: {remedy}"
            )
    if keys and (EMBEDDINGS.issuperset(keys) or (len(keys) == 1 and "." not in keys[0])):
        raise CheckpointError(
            f"{path} is an embedding of textual inversion, no LoRA: load it with diffusers "
            "(load_textual_inversion) and save the pipeline, which is then read as a checkpoint"
        )
