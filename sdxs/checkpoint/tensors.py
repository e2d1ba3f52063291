"""From the files of a checkpoint to settings and tensors, checked before they are believed.

No class is looked up by a name from a file, and of pickles nothing is read but tensors. Knows
nothing of what the networks are for.
"""

import json
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from sdxs.checkpoint.mistaken import instead_of_weights
from sdxs.errors import CheckpointError, blaming, one_line

LARGEST_CONFIG = 4 * 2**20  # bytes; real ones are a few thousand
LARGEST_NUMBER = 10**6  # in a config; more would only fill the memory
MOST_BLOCKS = 64  # layers of one kind, in a config; more would only take time
MAYBE_NONE = ("num_decoder_blocks", "num_encoder_blocks")  # a stage may only change the size
BLOCKS = (*MAYBE_NONE, "layers_per_block", "num_hidden_layers", "transformer_layers_per_block")
COUNTS = {  # settings that are whole numbers from 1 on, where they are numbers at all
    *BLOCKS, "addition_time_embed_dim", "attention_head_dim", "block_out_channels",
    "conditioning_embedding_out_channels", "cross_attention_dim", "decoder_block_out_channels",
    "hidden_size", "image_size", "in_channels", "intermediate_size", "latent_channels",
    "max_position_embeddings", "norm_num_groups", "num_attention_heads", "out_channels",
    "patch_size", "projection_class_embeddings_input_dim", "projection_dim",
    "upsampling_scaling_factor", "vocab_size",
}  # fmt: skip
IN_PICKLES = re.compile(
    r"collections OrderedDict|torch \w+Storage|torch\._utils _rebuild_(tensor_v2|parameter)"
)
TEXT_MODEL = "clip_text_model"  # what transformers calls CLIP's text encoders
FLOATS = ("F16", "BF16", "F32", "F64")
_FILLS = {  # what networks begin with, before they are given their numbers
    init.constant_, init.kaiming_uniform_, init.normal_, init.uniform_,
    Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_,
}  # fmt: skip


def read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise CheckpointError(f"{file} is far too large for a config: not a checkpoint's")
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{file} is missing: the checkpoint is incomplete, fetch it again"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({one_line(error)}): fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds no settings: fetch the checkpoint again")
    return content


def read_config(
    folder: Path, known: Mapping[str, Any], name: str = "config.json"
) -> tuple[Path, dict[str, Any]]:
    """The file of a config and what it says, its class being one of `known`."""
    file = folder / name
    config = read_json(file)
    cls = _class(config, known)
    if cls is None:
        key, value = "_class_name", next(iter(known))
        if "model_type" in config:  # transformers and diffusers name the class differently
            key, value = "architectures", f"[{value}]"
        raise CheckpointError(f"{file} names no class: give it {key}, such as {value}")
    if not isinstance(cls, str) or cls not in known:
        raise CheckpointError(
            f"{file}: the class {one_line(cls, 60)} is not supported: "
            f"{', '.join(known)} {'is' if len(known) == 1 else 'are'}"
        )
    check_numbers(config, file)
    return file, _numbers_alone(config)


def _class(config: dict[str, Any], known: Mapping[str, Any]) -> Any:
    """The name of a config's class, None where it says nothing. A text encoder's kind is enough."""
    cls, named = config.get("_class_name"), config.get("architectures")
    if cls is None and isinstance(named, list):
        cls = next(iter(named), None)
    elif cls is None and named is not None:
        cls = named
    elif cls is None and config.get("model_type") == TEXT_MODEL and len(known) == 1:
        cls = next(iter(known))
    return cls


def _numbers_alone(config: Any) -> Any:
    """Without the settings that choose code rather than numbers, such as attention kernels."""
    if not isinstance(config, dict):
        return config
    return {
        key: _numbers_alone(value)
        for key, value in config.items()
        if "attn_implementation" not in key
    }


def check_numbers(config: Any, file: Path, name: str = "", most: int = LARGEST_NUMBER) -> None:
    """No whole number, nor list, that is beyond any real network. Raises CheckpointError."""
    if isinstance(config, dict):
        for key, value in config.items():
            check_numbers(value, file, str(key), most)
        return
    values = config if isinstance(config, list) else [config]
    bound = min(most, MOST_BLOCKS) if name in BLOCKS else most
    whole = [value for value in values if isinstance(value, int)]
    shown = one_line(name, 60)
    if (len(values) > MOST_BLOCKS and whole) or any(abs(value) > bound for value in whole):
        raise CheckpointError(f"{file}: {shown} is beyond any real network")
    least = 0 if name in MAYBE_NONE else 1
    if name in COUNTS and any(value is True or value < least for value in whole):
        raise CheckpointError(f"{file}: {shown} must be a whole number from {least} on")
    for value in values:
        if isinstance(value, dict | list):
            check_numbers(value, file, name, most)


def build(make: Callable[[], Any], file: Path) -> Any:
    """A network without numbers: its parameters have a shape and no memory."""
    with blaming(f"{file}: no network can be built from it"), torch.device("meta"), _Unfilled():
        return make()


class _Unfilled(TorchFunctionMode):
    """Draws no numbers for tensors without memory: to work out only what shape they would be of
    takes half the time of building a network."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if function in _FILLS:
            tensor = args[0] if args else given["tensor"]
            if tensor.is_meta:
                return tensor
        return function(*args, **given)


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, still in the file, and the notes in its header."""
    with opened(file) as stored:
        notes = stored.metadata() or {}
        return {key: stored.get_tensor(key) for key in stored.keys()}, notes  # noqa: SIM118


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A safetensors file to read from. Raises CheckpointError where that fails, MemoryError."""
    _is_weights(file)
    kinds = (SafetensorError, OSError, ValueError, RuntimeError)
    damaged = blaming(f"{file} is damaged or no safetensors file", ": fetch it again", kinds)
    with damaged, safe_open(file, framework="pt") as stored:
        try:
            yield stored
        except RuntimeError as error:
            if "allocate memory" in str(error):  # torch's, while numbers are copied
                raise MemoryError(str(error)) from None
            raise


def _is_weights(file: Path) -> None:
    """Raises CheckpointError for a file of which it is known what else it is."""
    if problem := instead_of_weights(file):
        raise CheckpointError(f"{file} {problem}")


def read_pickle(file: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save`, read without running anything in it."""
    _is_weights(file)
    problem = f"{file} holds more than named tensors: save it as safetensors"
    with blaming(f"{file} is damaged or holds more than tensors", ": save it as safetensors"):
        with zipfile.ZipFile(file) as archive:
            if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
                raise CheckpointError(f"{file} is compressed, as torch never saves: not read")
            pickles = [name for name in archive.namelist() if name.endswith(".pkl")]
            if not all(_only_tensors(archive.read(name)) for name in pickles):
                raise CheckpointError(problem)
        content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise CheckpointError(problem)
    size = sum(tensor.numel() * tensor.element_size() for tensor in content.values())
    plain = all(
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and tensor.is_contiguous()
        for tensor in content.values()
    )
    if not plain or size > file.stat().st_size:  # a few bytes can claim to be many numbers
        raise CheckpointError(f"{file} is stored in an unusual way: save it as safetensors")
    return content


def _only_tensors(pickled: bytes) -> bool:
    """Whether a pickle names nothing but what `torch.save` writes for a dict of tensors."""
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            return False
        if operation.name == "GLOBAL" and not IN_PICKLES.fullmatch(str(argument)):
            return False
    return True
