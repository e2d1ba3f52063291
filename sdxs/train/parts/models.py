"""The storybook's networks by preset, and the noise schedule they share: built, never loaded."""

from dataclasses import dataclass
from typing import Any

from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdxs.train.run.options import FACTOR


@dataclass(frozen=True)
class Preset:
    """Widths of the tiny U-Net and of the text encoder."""

    channels: tuple[int, int, int]
    heads: int
    text_width: int
    text_layers: int


PRESETS = {
    "toy": Preset((32, 32, 32), 2, 32, 1),  # for tests
    "xs": Preset((48, 96, 192), 4, 192, 3),
    "s": Preset((64, 128, 256), 4, 192, 3),
}

LATENT_CHANNELS = 4


DOWN, UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"


def build_unet(preset: Preset, resolution: int) -> UNet2DConditionModel:
    """The SDXS-512 layout (paper, section 3.1): three stages, no middle, one block each."""
    return _unet(
        preset, resolution, preset.channels, layers_per_block=1, mid_block_type=None,
        down_block_types=("DownBlock2D", DOWN, DOWN), up_block_types=(UP, UP, "UpBlock2D"),
    )  # fmt: skip


def build_large_unet(preset: Preset, resolution: int) -> UNet2DConditionModel:
    """Stable Diffusion's own layout at the same widths: four stages, a middle, two blocks each."""
    return _unet(
        preset, resolution, (*preset.channels, preset.channels[-1]), layers_per_block=2,
        down_block_types=(*[DOWN] * 3, "DownBlock2D"), up_block_types=("UpBlock2D", *[UP] * 3),
    )  # fmt: skip


def _unet(
    preset: Preset, resolution: int, channels: tuple[int, ...], **layout: Any
) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=resolution // FACTOR,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=channels,
        cross_attention_dim=preset.text_width,
        attention_head_dim=preset.heads,
        norm_num_groups=16,
        **layout,
    )


LAYOUTS = {"sdxs": build_unet, "sd": build_large_unet}


def build_text_encoder(preset: Preset, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=preset.text_width,
            intermediate_size=4 * preset.text_width,
            num_hidden_layers=preset.text_layers,
            num_attention_heads=preset.text_width // 32,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=preset.text_width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, v-prediction, one step taken at the last timestep."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,  # unused by trailing spacing; StableDiffusionPipeline insists on it
        clip_sample=False,
        set_alpha_to_one=True,  # one step then lands on x0 itself
    )


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """(B, L) token ids, padded to the encoder's window."""
    batch = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    return batch.input_ids
