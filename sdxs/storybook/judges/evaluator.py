"""The evaluator: a network that looks at a picture and says what it sees.

It takes part in no loss: other architecture, seed and data; half of its renders went through the
autoencoder, whose blur it must not mistake for a fault. For each kind of thing it
looks for the place that resembles it most; whether the thing is there, where, its colour and
its size are read off at that place. Relations follow from the places.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.checkpoint.find import weights_folder
from sdxs.errors import blaming
from sdxs.storybook.judges.tallies import Found
from sdxs.storybook.world.captions import Caption
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, PLACE_X, SIZES, SKIES, THINGS

IN_FRONT = 0.10  # a thing this much lower than another stands in front of it
FEATURES = 128
SIDE = 128  # pixels of the pictures that judges were taught with


class Sight(NamedTuple):
    """What is seen in a batch of pictures; K = 10 kinds of things.

    present (B, K) logits; colour (B, K, 8), size (B, K, 2), sky (B, 3), ground (B, 4) logits;
    where (B, K, 2): x and the y of the ground line; features (B, FEATURES).
    """

    present: Tensor
    colour: Tensor
    size: Tensor
    where: Tensor
    sky: Tensor
    ground: Tensor
    features: Tensor


def known(picture: Tensor) -> Tensor:
    """Pictures (B, C, R, R), larger ones reduced to the size that judges know: areas' means."""
    return F.adaptive_avg_pool2d(picture, SIDE) if picture.shape[-1] > SIDE else picture


def layer(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*layer(width, width), *layer(width, width)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Evaluator(nn.Module):
    """Pictures (B, 3, R, R) in [-1, 1], any R that 8 divides or above SIDE, to a `Sight`."""

    PART: ClassVar = ""  # of the folder `evaluator` among the weights: where one ships

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *layer(3, 32, stride=2), *layer(32, 64, stride=2), Block(64),
            *layer(64, FEATURES, stride=2), Block(FEATURES), Block(FEATURES),
        )  # fmt: skip
        self.attend = nn.Conv2d(FEATURES, len(THINGS), 1)
        self.colour = nn.Linear(FEATURES, len(COLOURS))
        self.size = nn.Linear(FEATURES, len(SIZES))
        self.shift = nn.Linear(FEATURES, 2)  # from the place attended to, to the ground line
        self.sky = nn.Linear(FEATURES, len(SKIES))
        self.ground = nn.Linear(FEATURES, len(GROUNDS))

    def forward(self, picture: Tensor) -> Sight:
        return self.read(self.body(known(picture)))

    def read(self, maps: Tensor) -> Sight:
        """What the body's maps (B, F, h, w) say."""
        heat = self.attend(maps).flatten(2)  # (B, K, hw)
        weight = heat.softmax(-1)
        at = torch.einsum("bkp,bfp->bkf", weight, maps.flatten(2))  # (B, K, F)
        y, x = ((torch.arange(side, device=maps.device) + 0.5) / side for side in maps.shape[2:])
        place = torch.cartesian_prod(y, x).flip(1)  # (hw, 2)
        half = len(y) // 2
        return Sight(
            present=heat.amax(-1),
            colour=self.colour(at),
            size=self.size(at),
            where=weight @ place + self.shift(at),
            sky=self.sky(maps[:, :, :half].mean((2, 3))),
            ground=self.ground(maps[:, :, half:].mean((2, 3))),
            features=maps.mean((2, 3)),
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.contiguous() for k, v in self.state_dict().items()}
        floats = {k: v.half() for k, v in state.items() if v.is_floating_point()}
        save_file(state | floats, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """The network of `save`, by default the one that ships; CheckpointError for another."""
        model, folder = cls(), folder or weights_folder("evaluator") / cls.PART
        kinds = (OSError, RuntimeError, SafetensorError)
        with blaming(f"no evaluator in {folder}", kinds=kinds):
            model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.float().eval()


def check(sight: Sight, captions: list[Caption]) -> list[Found]:
    """For each picture, every attribute that its caption states and whether it is seen so.

    A colour or a size counts only on a thing that is there; a relation only between two.
    """
    present = sight.present > 0
    colour, size = sight.colour.argmax(-1), sight.size.argmax(-1)
    sky, ground = sight.sky.argmax(-1), sight.ground.argmax(-1)
    results = []
    for row, caption in enumerate(captions):
        found = []
        kinds = [THINGS.index(thing.kind) for thing in caption.things]
        for kind, thing in zip(kinds, caption.things, strict=True):
            there = bool(present[row, kind])
            found.append(("thing", there))
            if thing.colour is not None:
                found.append(("colour", there and COLOURS[colour[row, kind]] == thing.colour))
            if thing.size is not None:
                found.append(("size", there and SIZES[size[row, kind]] == thing.size))
        there = all(bool(present[row, kind]) for kind in kinds)
        if caption.place is not None:
            x = float(sight.where[row, kinds[0], 0])
            near = min(PLACE_X, key=lambda name: abs(sum(PLACE_X[name]) / 2 - x))
            found.append(("place", there and near == caption.place))
        if caption.relation is not None:
            seen = relation(*sight.where[row, kinds].tolist())
            wanted = ("left", "right") if caption.relation == "beside" else (caption.relation,)
            found.append(("relation", there and seen in wanted))
        if caption.sky is not None:
            found.append(("sky", SKIES[sky[row]] == caption.sky))
        if caption.ground is not None:
            found.append(("ground", GROUNDS[ground[row]] == caption.ground))
        results.append(found)
    return results


def relation(first: tuple[float, float], second: tuple[float, float]) -> str:
    """How the first of two places (x, y down) lies to the second."""
    if abs(first[1] - second[1]) > IN_FRONT:
        return "front" if first[1] > second[1] else "behind"
    return "left" if first[0] < second[0] else "right"
