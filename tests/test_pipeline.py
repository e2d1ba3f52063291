"""The pipeline is the same function as diffusers' own, and keeps its promises about noise."""

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from theirs import decoded, one_step, painted, pipeline_of
from tiny import build_checkpoint, load, seeded_prompts, tiny_scheduler

from sdxs import SDXS, InputError, PromptCutWarning
from sdxs.model.schedule import seeded

pytestmark = [
    pytest.mark.filterwarnings("ignore:The configuration file of this scheduler:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

PROMPTS = ["a red house", "a big blue tree at night", "tree"]
SEEDS = [7, 0, 2**63 - 1]

SCHEDULERS = {  # name, kind first -> settings
    "ddpm epsilon": {"clip_sample": False},
    "ddpm epsilon clipped": {"clip_sample": True},
    "ddpm adds noise": {"clip_sample": False, "variance_type": "fixed_large"},
    "deis epsilon": {},
    "deis linspace": {"timestep_spacing": "linspace"},
    "euler epsilon": {},
    "euler v": {"prediction_type": "v_prediction"},
    "ancestral epsilon": {},
    "ddim v": {"prediction_type": "v_prediction"},
    "ddim clipped": {"clip_sample": True},
    "ddim leading": {"timestep_spacing": "leading"},
    "dpm epsilon": {},
    "lcm epsilon": {"timestep_spacing": "leading"},
    "unipc v": {"prediction_type": "v_prediction"},
}


def reference(folder: Path, scheduler: Any) -> Any:
    """diffusers' pipeline over a checkpoint, with the scheduler as it was saved."""
    pipeline = pipeline_of(folder, safety_checker=None)
    pipeline.scheduler = copy.deepcopy(scheduler)  # the pipeline itself turns clipping off
    return pipeline


@pytest.mark.parametrize("name", SCHEDULERS)
def test_equals_diffusers(name: str, tmp_path: Path) -> None:
    scheduler = tiny_scheduler(name.split()[0], **SCHEDULERS[name])
    folder = build_checkpoint(tmp_path / "checkpoint", scheduler)
    saved = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    assert saved.get("clip_sample", False) == ("clipped" in name)
    theirs, ours = reference(folder, scheduler), load(folder)
    latents = one_step(theirs, PROMPTS, SEEDS, output_type="latent")
    wanted = decoded(theirs, latents)

    images = ours(PROMPTS, seed=SEEDS, output_type="pt")
    assert images.shape == (3, 3, 64, 64) and images.dtype == torch.float32
    assert (images - wanted).abs().max() < 1e-4
    assert wanted.std() > 0.1  # there is something to compare
    for row, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True)):
        alone = ours(prompt, seed=seed, output_type="pt")
        assert (alone[0] - images[row]).abs().max() < 1e-4
        assert (alone[0] - wanted[row]).abs().max() < 1e-4

    words = ours.encode(PROMPTS)
    draws = seeded(SEEDS)
    clean = ours.denoise(ours.noise(draws, ours.size), words, draws)
    torch.testing.assert_close(clean, latents, rtol=1e-4, atol=1e-4)

    pictures = one_step(theirs, PROMPTS, SEEDS)
    for ours_, theirs_ in zip(ours(PROMPTS, seed=SEEDS), pictures, strict=True):
        difference = np.asarray(ours_).astype(int) - np.asarray(theirs_).astype(int)
        assert ours_.mode == "RGB" and abs(difference).max() <= 1


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
def test_kinds_and_sizes_equal_diffusers(kind: str, tmp_path: Path) -> None:
    folder = build_checkpoint(tmp_path / kind, kind=kind)
    theirs = pipeline_of(folder)
    ours = load(folder)
    for size in ((64, 64), (96, 64)):
        wanted = painted(theirs, PROMPTS, SEEDS, width=size[0], height=size[1])
        images = ours(PROMPTS, seed=SEEDS, size=size, output_type="pt")
        assert images.shape == (3, 3, size[1], size[0])
        assert (images - wanted).abs().max() < 1e-4 and wanted.std() > 0.1
    alone = ours(PROMPTS[1], seed=SEEDS[1], size=(96, 64), output_type="pt")
    assert (alone[0] - images[1]).abs().max() < 1e-4
    assert ours("a red house", size=96).size == (96, 96)


def test_large_decoder_equals_diffusers(tiny_checkpoint: Path, tiny_model: SDXS) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(tiny_checkpoint / "vae_large")
    noise = tiny_model.noise(seeded([5]), tiny_model.size)
    clean = tiny_model.denoise(noise, tiny_model.encode(["a red house"]))
    with torch.no_grad():
        wanted = vae.decode(clean / vae.config.scaling_factor).sample
    images = tiny_model("a red house", seed=5, decoder="large", output_type="pt")
    assert (images - wanted).abs().max() < 1e-4
    assert tiny_model.decoders == ("tiny", "large")
    assert (tiny_model("a red house", seed=5, output_type="pt") - images).abs().max() > 0.01


def test_noise_is_the_seeds_own(tiny_model: SDXS) -> None:
    wanted = torch.randn(4, 8, 8, generator=torch.Generator("cpu").manual_seed(11))
    noise = tiny_model.noise(seeded([5, 11]), (64, 64))
    assert torch.equal(noise[1], wanted) and noise.dtype == torch.float32
    ours = tiny_model("a red house", seed=11, output_type="pt")
    given = tiny_model("a red house", latents=wanted[None], output_type="pt")
    assert torch.equal(ours, given)


def test_latents_bring_their_size(tiny_model: SDXS) -> None:
    latents = torch.randn(2, 4, 8, 12)
    images = tiny_model(["a red house", "tree"], latents=latents, output_type="pt")
    assert images.shape == (2, 3, 64, 96)
    assert tiny_model("tree", latents=latents[:1].double(), size=(96, 64)).size == (96, 64)


def test_a_row_does_not_depend_on_its_batch(tiny_model: SDXS) -> None:
    prompts = seeded_prompts(9)
    batch = tiny_model(prompts, seed=range(9), output_type="pt")
    for row in (0, 4, 8):
        alone = tiny_model(prompts[row], seed=row, output_type="pt")
        assert (alone[0] - batch[row]).abs().max() < 1e-4


def test_one_unet_call_for_a_batch(tiny_model: SDXS) -> None:
    calls: list[int] = []
    unet = tiny_model._engine.networks.unet
    hook = unet.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    tiny_model(PROMPTS, seed=SEEDS)
    assert calls == [3]
    hook.remove()


def test_shapes_of_the_answer(tiny_model: SDXS) -> None:
    assert isinstance(tiny_model("tree"), Image.Image)
    for answer in (tiny_model(["tree"]), tiny_model(["tree", "ball"], seed=np.int64(3))):
        assert isinstance(answer, list) and all(isinstance(item, Image.Image) for item in answer)
    assert tiny_model.size == (64, 64) and tiny_model.device == torch.device("cpu")
    assert tiny_model.dtype == torch.float32
    assert tiny_model("tree", seed=np.uint64(2)).tobytes() == tiny_model("tree", seed=[2]).tobytes()
    assert not tiny_model("tree", output_type="pt").is_inference()


def test_the_same_seed_for_each(tiny_model: SDXS) -> None:
    one = tiny_model(["tree", "tree"], seed=4, output_type="pt")
    assert (one[0] - one[1]).abs().max() < 1e-5
    other = tiny_model(["tree", "tree"], seed=[4, 5], output_type="pt")
    assert (other[0] - other[1]).abs().max() > 0.01


def test_threads_do_not_meet(tmp_path: Path) -> None:
    """A scheduler that draws, long and short prompts: each thread gets what it gets alone."""
    scheduler = tiny_scheduler("ddpm", clip_sample=False, variance_type="fixed_large")
    model = load(build_checkpoint(tmp_path / "it", scheduler))
    prompts = seeded_prompts(8)
    alone = [model(prompt, seed=i, output_type="pt") for i, prompt in enumerate(prompts)]
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda i: model(prompts[i], seed=i, output_type="pt"), range(8))
    assert all(torch.equal(a, b) for a, b in zip(answers, alone, strict=True))


def test_a_call_changes_nothing(tiny_model: SDXS) -> None:
    unet = tiny_model._engine.networks.unet
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    first = tiny_model("tree", seed=1, output_type="pt")
    tiny_model(["ball", "house"], seed=2, size=96, decoder="large")
    assert torch.equal(tiny_model("tree", seed=1, output_type="pt"), first)
    after = unet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_sixteen_bits(dtype: Any, tiny_checkpoint: Path, tiny_model: SDXS) -> None:
    model = SDXS.load(tiny_checkpoint, device="cpu", dtype=dtype)
    images = model("tree", seed=3, output_type="pt")
    assert images.dtype == torch.float32 and model.dtype in (torch.bfloat16, torch.float16)
    assert model._engine.networks.unet.conv_in.weight.dtype == model.dtype
    wanted = tiny_model("tree", seed=3, output_type="pt")
    assert (images - wanted).abs().mean() < 0.05


def test_channels_last(tiny_model: SDXS) -> None:
    weight = tiny_model._engine.networks.unet.down_blocks[1].resnets[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_a_long_prompt_warns_and_paints(tiny_model: SDXS) -> None:
    long = "a red house and a big green tree and a blue ball at sunset and a zzyzx"
    with pytest.warns(PromptCutWarning, match="zzyzx") as caught:
        picture = tiny_model(long)
    assert isinstance(picture, Image.Image) and len(caught) == 1
    assert caught[0].filename == __file__ and caught[0].message.rows == (0,)
    assert tiny_model.cut_off(long).endswith("zzyzx")


def test_a_warning_names_the_rows_that_it_is_about(tiny_model: SDXS) -> None:
    long, other = (f"{'a red house ' * 5}{end}" for end in ("zzyzx", "ball"))
    with pytest.warns(PromptCutWarning) as caught:
        tiny_model(["tree", long, other, long])
    said = {str(warning.message)[-7:]: warning.message.rows for warning in caught}
    assert said == {" zzyzx'": (1, 3), "e ball'": (2,)}


def test_unusual_text_paints(tiny_model: SDXS) -> None:
    odd = ["🦊" * 3, "a\0\x01\x1b tree", "\ud83d tree", "\u202e\u200btree", "<|endoftext|> tree"]
    with pytest.warns(PromptCutWarning):
        pictures = tiny_model([*odd, "word " * 20_000], seed=range(6))
    assert len(pictures) == 6


def test_a_missing_decoder_is_explained(tmp_path: Path) -> None:
    model = load(build_checkpoint(tmp_path / "it"))
    assert model.decoders == ("tiny",)
    with pytest.raises(InputError, match="no large decoder"):
        model("tree", decoder="large")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"styles": 3}, "styles must be a name"),
        ({"styles": [["anime"]]}, "styles must be a name"),
        ({"styles": {"anime": 3}}, "styles must be a name"),
        ({"controls": ["sketch", ""]}, "controls must be a name"),
        ({"safety": "on"}, "safety"),
        ({"engine": "warp"}, "engine"),
        ({"device": "abacus"}, "no device"),
        ({"device": "meta"}, "not supported"),
        ({"device": "cuda:99"}, "cannot be used"),
        ({"device": 3}, "no device"),
        ({"dtype": "int8"}, "no dtype"),
        ({"dtype": torch.float64}, "no dtype"),
        ({"dtype": None}, "no dtype"),
    ],
)
def test_a_wrong_load_is_explained(
    options: dict[str, Any], message: str, tiny_checkpoint: Path
) -> None:
    with pytest.raises(InputError, match=message):
        SDXS.load(tiny_checkpoint, **options)


def test_dtype_and_device_by_name(tiny_checkpoint: Path) -> None:
    place = {"device": torch.device("cpu"), "dtype": "torch.float32"}
    model = SDXS.load(str(tiny_checkpoint), **place, safety=False)
    assert model.dtype == torch.float32 and model.checkpoint == str(tiny_checkpoint)
    assert str(tiny_checkpoint) in repr(model)
    assert SDXS.load(tiny_checkpoint, engine="eager", styles=[], controls={}).dtype


def test_public_names() -> None:
    import sdxs

    assert set(sdxs.__all__) <= {*dir(sdxs), "SDXS"}
    assert issubclass(sdxs.InputError, sdxs.SDXSError) and issubclass(sdxs.InputError, ValueError)
    assert issubclass(sdxs.CheckpointError, sdxs.SDXSError)
    with pytest.raises(AttributeError):
        _ = sdxs.nothing
