"""Networks of which each rank holds its share alone, by PyTorch's FSDP2 (arXiv 2304.11277).

A block's weights are fetched from all ranks for as long as it computes; its gradient is summed over
them and shared out again. In states networks are whole, so that these are what they are without;
at the end, so is the network itself. Knows nothing of what is trained.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from sdxs.train.run import ranks
from sdxs.train.run.machine import DEVICE

BLOCKS = (ResnetBlock2D, BasicTransformerBlock, CLIPEncoderLayer)
_WHOLE: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()  # without their weights
_meshes: list[DeviceMesh] = []  # of all ranks, once there is one


def has_blocks(network: nn.Module) -> bool:
    """Whether it is worth sharing out."""
    return any(isinstance(part, BLOCKS) for part in network.modules())


def shard(network: nn.Module, *, whole: bool) -> None:
    """Share its blocks out, in place; all of them begin as the main rank's.

    whole: all the rest as well, as a network needs that learns; it is then to be called as a whole,
    and no part of it by itself.
    """
    ranks.share_weights([*network.parameters(), *network.buffers()])
    if not _meshes:
        _meshes.append(init_device_mesh(DEVICE.type, (ranks.world(),)))
    if whole:
        _WHOLE[network] = _without_weights(network)
    network.to(memory_format=torch.contiguous_format)  # FSDP2 takes no other
    parts = [part for part in network.modules() if isinstance(part, BLOCKS)]
    for part in [*parts, network] if whole else parts:
        shared: FSDPModule = fully_shard(part, mesh=_meshes[0], reshard_after_forward=True)
        shared.set_gradient_divide_factor(1.0)  # the learner divides by the micro-batches
        shared.set_force_sum_reduction_for_comms(True)  # gloo knows no sum with a factor


def _without_weights(network: nn.Module) -> nn.Module:
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to("meta"), weight.requires_grad)
        for weight in network.parameters()
    }
    return copy.deepcopy(network, memo)


def is_sharded(parts: Iterable[Any]) -> bool:
    """Whether any of them is a network that was shared out."""
    return any(isinstance(part, nn.Module) and part in _WHOLE for part in parts)


def local(tensor: Tensor) -> Tensor:
    """What of it is here."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(state: Any) -> Any:
    """Nested mappings and sequences with whole tensors on the CPU in the place of shared ones, in
    the main rank; all ranks must ask."""
    if isinstance(state, DTensor):
        found = state.full_tensor()
        return found.cpu() if ranks.is_main() else found.new_empty(0)
    if isinstance(state, Mapping):
        return {name: whole(part) for name, part in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(whole(part) for part in state)
    return state


def spread(state: Any, part: Any) -> Any:
    """A whole state of a part as it is to be loaded: shared out where the part is."""
    if not isinstance(part, torch.optim.Optimizer):
        return _alike(state, part.state_dict())
    weights = [weight for group in part.param_groups for weight in group["params"]]
    like = {
        number: {name: weights[number] for name, value in row.items()
                 if isinstance(value, Tensor) and value.shape == weights[number].shape}
        for number, row in state["state"].items()
    }  # fmt: skip
    return _alike(state, {"state": like})


def _alike(state: Any, like: Any) -> Any:
    if isinstance(like, DTensor):
        place = like.device_mesh, like.placements
        return distribute_tensor(state.to(like.device), *place, src_data_rank=None)
    if isinstance(state, Mapping) and isinstance(like, Mapping):
        return {name: _alike(part, like.get(name)) for name, part in state.items()}
    if isinstance(state, list) and isinstance(like, list):
        return [_alike(part, other) for part, other in zip(state, like, strict=True)]
    return state


def make_whole(parts: Iterable[Any]) -> None:
    """Put the networks together again in the main rank, on the CPU, and their running means; all
    ranks must ask."""
    for part in parts:
        if isinstance(part, EMAModel):
            part.shadow_params = whole(part.shadow_params)
        elif isinstance(part, nn.Module) and part in _WHOLE:
            state, again = whole(part.state_dict()), _WHOLE.pop(part)
            if ranks.is_main():
                again.load_state_dict(state, assign=True)
            part.__class__, part.__dict__ = again.__class__, again.__dict__
