"""From the names and shapes of a network's tensors to the settings that it was built with.

For files that bring no settings. What shapes do not tell (heads, groups, activations) is as in the
models of that kind. Names are diffusers'. Knows nothing of files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sdxs.errors import CheckpointError

HEADS, HEAD = 8, 64  # heads in Stable Diffusion 1; channels of a head in everything later, and CLIP
SIZE_NUMBERS = 6  # that SDXL's U-Net is told of the size
DEEPEST = 9  # parts of a name that are looked at
CROSS = "CrossAttn"
SELF = "attentions.0.transformer_blocks.0.attn1.to_k"  # reads the text in SDXS-512-0.9


class Shapes:
    """The shapes of a network's tensors, by name. whose: the network, for messages."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], whose: str) -> None:
        self._shapes, self._whose = shapes, whose
        self._layers: set[str] = set()
        for name in shapes:
            parts = name.split(".", DEEPEST)[:DEEPEST]
            self._layers |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}

    def of(self, name: str) -> tuple[int, ...]:
        """Of a weight, at least two numbers. Raises CheckpointError where there is none."""
        shape = self._shapes.get(f"{name}.weight", ())
        if len(shape) < 2:
            wrong = f"has the shape {shape}" if f"{name}.weight" in self._shapes else "missing"
            raise CheckpointError(f"{self._whose}: {name}.weight {wrong}")
        return shape

    def has(self, layer: str) -> bool:
        return layer in self._layers

    def numbered(self, layers: str) -> list[str]:
        """`layers.0`, `layers.1` and so on, as far as they go."""
        found: list[str] = []
        while self.has(name := f"{layers}.{len(found)}"):
            found.append(name)
        return found


def unet(shapes: Shapes) -> dict[str, Any]:
    """Of a UNet2DConditionModel, but for what the rest of a checkpoint says."""
    settings = unet_down(shapes)
    widths, linear = settings["block_out_channels"], settings["use_linear_projection"]
    ups = shapes.numbered("up_blocks")
    depths = [_depth(shapes, block) for block in ups]
    mirrored = depths == settings["transformer_layers_per_block"][::-1]
    return settings | {
        "out_channels": shapes.of("conv_out")[0],
        "up_block_types": [f"{_cross(shapes, block)}UpBlock2D" for block in ups],
        "reverse_transformer_layers_per_block": None if mirrored else depths,
        "attention_head_dim": [max(1, width // HEAD) for width in widths] if linear else HEADS,
    }


def unet_down(shapes: Shapes) -> dict[str, Any]:
    """Of that half of a U-Net which a ControlNet has, too."""
    downs = shapes.numbered("down_blocks")
    widths = [shapes.of(f"{block}.resnets.0.conv1")[0] for block in downs]
    crossed = [block for block in downs if _cross(shapes, block)]
    first = f"{crossed[0] if crossed else 'down_blocks.0'}.attentions.0"
    reads = shapes.of(f"{first}.transformer_blocks.0.attn2.to_k")[1]
    told = shapes.has("add_embedding")
    return {
        "in_channels": shapes.of("conv_in")[1],
        "block_out_channels": widths,
        "layers_per_block": _alike([len(shapes.numbered(f"{block}.resnets")) for block in downs]),
        "down_block_types": [f"{_cross(shapes, block)}DownBlock2D" for block in downs],
        "mid_block_type": f"UNetMidBlock2D{_cross(shapes, 'mid_block')}"
        if shapes.has("mid_block")
        else None,
        "cross_attention_dim": reads,
        "transformer_layers_per_block": [_depth(shapes, block) for block in downs],
        "use_linear_projection": len(shapes.of(f"{first}.proj_in")) == 2,
        "only_cross_attention": [
            block in crossed and width != reads == shapes.of(f"{block}.{SELF}")[1]
            for block, width in zip(downs, widths, strict=True)
        ],
        "addition_embed_type": "text_time" if told else None,
        "projection_class_embeddings_input_dim": shapes.of("add_embedding.linear_1")[1]
        if told
        else None,
    }


def control(shapes: Shapes, unet_config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a ControlNet for a U-Net, which says what shapes do not."""
    embedding = shapes.numbered("controlnet_cond_embedding.blocks")
    first = shapes.of("controlnet_cond_embedding.conv_in")
    same = ("attention_head_dim", "norm_num_groups", "addition_time_embed_dim")
    return {
        **unet_down(shapes),
        **{name: unet_config[name] for name in same},
        "conditioning_channels": first[1],
        "conditioning_embedding_out_channels": [
            first[0],
            *(shapes.of(layer)[0] for layer in embedding[1::2]),
        ],
    }


def autoencoder(shapes: Shapes) -> dict[str, Any]:
    """Of an AutoencoderKL."""
    ups = shapes.numbered("decoder.up_blocks")
    stages = len(ups)
    return {
        "_class_name": "AutoencoderKL",
        "latent_channels": shapes.of("decoder.conv_in")[1],
        "block_out_channels": [shapes.of(f"{block}.resnets.0.conv1")[0] for block in ups[::-1]],
        "layers_per_block": len(shapes.numbered("decoder.up_blocks.0.resnets")) - 1,
        "down_block_types": ["DownEncoderBlock2D"] * stages,
        "up_block_types": ["UpDecoderBlock2D"] * stages,
        "use_quant_conv": shapes.has("quant_conv"),
        "use_post_quant_conv": shapes.has("post_quant_conv"),
    }


def tiny_autoencoder(shapes: Shapes) -> dict[str, Any]:
    """Of an AutoencoderTiny, whose stages are blocks between convolutions."""
    settings: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        widths: list[int] = []
        counts: list[int] = []
        blocks, place = 0, 1
        while any(shapes.has(f"{side}.layers.{place + more}") for more in (0, 1)):
            layer = f"{side}.layers.{place}"
            if shapes.has(f"{layer}.conv"):
                blocks += 1
            elif shapes.has(f"{layer}.weight"):
                widths.append(shapes.of(layer)[1])
                counts.append(blocks)
                blocks = 0
            place += 1
        settings |= {f"{side}_block_out_channels": widths, f"num_{side}_blocks": counts}
    return settings | {
        "_class_name": "AutoencoderTiny",
        "latent_channels": shapes.of("decoder.layers.0")[1],
        "scaling_factor": 1.0,
    }


def text_encoder(shapes: Shapes, act: str) -> dict[str, Any]:
    """Of a CLIPTextModel, or one with a projection; act: its hidden_act. Names are those before
    transformers 5."""
    words, width = shapes.of("text_model.embeddings.token_embedding")[:2]
    projected = shapes.has("text_projection")
    layers = shapes.numbered("text_model.encoder.layers")
    return {
        "hidden_act": act,
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": shapes.of("text_model.embeddings.position_embedding")[0],
        "num_hidden_layers": len(layers),
        "intermediate_size": shapes.of("text_model.encoder.layers.0.mlp.fc1")[0],
        "num_attention_heads": max(1, width // HEAD),
        "projection_dim": shapes.of("text_projection")[0] if projected else width,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


def _cross(shapes: Shapes, block: str) -> str:
    return CROSS if shapes.has(f"{block}.attentions") else ""


def _depth(shapes: Shapes, block: str) -> Any:
    """Transformer layers of a block, of each attention where they differ."""
    attentions = shapes.numbered(f"{block}.attentions")
    return _alike(
        [len(shapes.numbered(f"{each}.transformer_blocks")) for each in attentions] or [1]
    )


def _alike(numbers: Sequence[int]) -> Any:
    """One number for all, or all of them."""
    return numbers[0] if len(set(numbers)) == 1 else list(numbers)
