"""From the names of Stability's and CompVis's files (LDM) to those of diffusers, one by one.

By the name alone, so that shapes are checked before a number is read, and so that tiny U-Nets can
be read whose blocks were numbered with gaps: diffusers' own functions (`single_file_utils`, which
tests compare these with) want all tensors at once and no gaps. A name that is no Stability's is
left as it is. Knows nothing of files.
"""

import functools
import re
from collections.abc import Iterable

from torch import Tensor

from sdxs.checkpoint.weights import Names, Take, whole

Named = list[tuple[str, Take]]  # what a stored tensor is in diffusers' network, or its parts

UNET = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "middle_block_out.0": "controlnet_mid_block",  # of a ControlNet, as is what follows
    "input_hint_block.0": "controlnet_cond_embedding.conv_in",
    "input_hint_block.14": "controlnet_cond_embedding.conv_out",
}
RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
ATTENTION = {
    "norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0",
}  # fmt: skip
CLIP = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}  # fmt: skip
OPEN_CLIP = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_BLOCK = re.compile(r"(input|output)_blocks\.(\d{1,3})\.(\d)\.(.+)\.(weight|bias)")
_DOWN = re.compile(r"input_blocks\.(\d{1,3})\.0\.op\.weight")


def unet_names(keys: Iterable[str]) -> Names:
    """Of a U-Net or a ControlNet with these names."""
    # a block ends with what halves the size; without one there is a single block
    ends = [int(found[1]) for key in keys if (found := _DOWN.fullmatch(key))]
    stride = min(ends, default=1000)

    def named(key: str) -> Named:
        return [(_unet(key, max(stride, 1)), whole)]

    return named


def _unet(key: str, stride: int) -> str:
    layer, _, end = key.rpartition(".")
    if layer in UNET:
        return f"{UNET[layer]}.{end}"
    if found := re.fullmatch(r"zero_convs\.(\d+)\.0", layer):
        return f"controlnet_down_blocks.{found[1]}.{end}"
    if found := re.fullmatch(r"input_hint_block\.(\d{1,2})", layer):
        return f"controlnet_cond_embedding.blocks.{int(found[1]) // 2 - 1}.{end}"
    if found := re.fullmatch(r"middle_block\.([012])\.(.+)", layer):
        place = int(found[1])
        kind = "attentions.0" if place == 1 else f"resnets.{place // 2}"
        return f"mid_block.{kind}.{RESNET.get(found[2], found[2])}.{end}"
    found = _BLOCK.fullmatch(key)
    if not found:
        return key
    side, number, part, rest = found[1], int(found[2]), found[3], found[4]
    if side == "input":
        block, place = divmod(number - 1, stride)
        at = f"down_blocks.{block}"
        if rest == "op":
            return f"{at}.downsamplers.0.conv.{end}"
    else:
        block, place = divmod(number, stride)
        at = f"up_blocks.{block}"
        if rest == "conv":
            return f"{at}.upsamplers.0.conv.{end}"
    kind = "resnets" if part == "0" else "attentions"
    return f"{at}.{kind}.{place}.{RESNET.get(rest, rest)}.{end}"


def autoencoder_names(keys: Iterable[str]) -> Names:
    """Of an autoencoder with these names, a large one or a tiny one (TAESD)."""
    ups = [int(found[1]) for key in keys if (found := re.match(r"decoder\.up\.(\d{1,2})\.", key))]
    last = max(ups, default=0)

    def named(key: str) -> Named:
        attention = re.fullmatch(r"(encoder|decoder)\.mid\.attn_1\.(\w+)\.(weight|bias)", key)
        if attention and attention[2] in ATTENTION:
            name = f"{attention[1]}.mid_block.attentions.0.{ATTENTION[attention[2]]}.{attention[3]}"
            # a convolution of 1 x 1 then, a matrix today
            return [(name, matrix if attention[2] != "norm" and name.endswith("weight") else whole)]
        return [(_autoencoder(key, last), whole)]

    return named


def _autoencoder(key: str, last: int) -> str:
    if found := re.fullmatch(r"(encoder|decoder)\.(\d{1,3})\.(.+)", key):  # TAESD's own
        # a decoder's first layer is a clamp, which diffusers does not number
        return f"{found[1]}.layers.{int(found[2]) - (found[1] == 'decoder')}.{found[3]}"
    key = key.replace(".norm_out.", ".conv_norm_out.").replace(".nin_shortcut.", ".conv_shortcut.")
    key = re.sub(
        r"\.mid\.block_([12])\.", lambda found: f".mid_block.resnets.{int(found[1]) - 1}.", key
    )
    if found := re.fullmatch(r"encoder\.down\.(\d{1,2})\.(.+)", key):
        return f"encoder.down_blocks.{found[1]}.{_resized(found[2], 'downsample')}"
    if found := re.fullmatch(r"decoder\.up\.(\d{1,2})\.(.+)", key):
        return f"decoder.up_blocks.{last - int(found[1])}.{_resized(found[2], 'upsample')}"
    return key


def _resized(rest: str, kind: str) -> str:
    if rest.startswith("block."):
        return f"resnets.{rest.removeprefix('block.')}"
    return rest.replace(f"{kind}.conv.", f"{kind}rs.0.conv.", 1)


def text_names(keys: Iterable[str]) -> Names:
    """Of a text encoder with these names, CLIP's or OpenCLIP's."""

    def named(key: str) -> Named:
        found = re.fullmatch(r"transformer\.resblocks\.(\d{1,3})\.(.+?)[._](weight|bias)", key)
        if not found:
            if key == "text_projection":
                return [("text_projection.weight", turned)]
            name = OPEN_CLIP.get(key, key)
            above = ("text_model.", "text_projection.", "logit_scale")
            return [(name if name.startswith(above) else f"text_model.{name}", whole)]
        layer = f"text_model.encoder.layers.{found[1]}"
        if found[2] == "attn.in_proj":  # three matrices in one
            return [
                (f"{layer}.self_attn.{name}_proj.{found[3]}", functools.partial(third, place))
                for place, name in enumerate("qkv")
            ]
        return [(f"{layer}.{CLIP.get(found[2], found[2])}.{found[3]}", whole)]

    return named


def third(place: int, tensor: Tensor) -> Tensor:
    return tensor.chunk(3)[place] if tensor.ndim and len(tensor) % 3 == 0 else tensor


def turned(tensor: Tensor) -> Tensor:
    return tensor.t() if tensor.ndim == 2 else tensor


def matrix(tensor: Tensor) -> Tensor:
    """(A, B, 1, 1) or (A, B, 1) as (A, B)."""
    return tensor.flatten(1) if tensor.ndim > 2 else tensor
