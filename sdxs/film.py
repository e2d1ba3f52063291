"""Pictures in a row as a file: an animated WebP, or an MP4 that plays anywhere.

The same pictures give the same bytes. One is asked for after the other and none is kept. MP4 is
written by PyAV, which not everybody has. Knows nothing of models, or of where the pictures lead.
"""

import importlib.util
import itertools
import os
import struct
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

from PIL import Image

from sdxs.errors import InputError, shown
from sdxs.metadata.marker import Label, Marker
from sdxs.metadata.xmp import packet

SUFFIXES = ".webp", ".mp4"
FPS, MOST_FPS = 16, 60  # frames a second
WEBP = {"quality": 85, "method": 2}
H264 = {"crf": "18", "preset": "medium"}  # x264's: hardly to be told from the pictures
BT709 = 1  # of a stream's primaries, transfer and matrix; studio range
NO_PYAV = "MP4 needs PyAV: pip install av, or write a .webp"
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # its name in an MP4, by XMP part 3
PLAIN = Marker()


def has_mp4() -> bool:
    """Whether MP4 can be written here."""
    return importlib.util.find_spec("av") is not None


def rate(value: Any, name: str = "fps") -> int:
    """Frames a second. Raises InputError."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= value <= MOST_FPS:
        raise InputError(f"{name} must be a whole number from 1 to {MOST_FPS}, not {shown(value)}")
    return int(value)


def check_file(file: Path) -> None:
    """Raises InputError for a name that says no format that can be written here."""
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{file}: the name of a film must end in {' or '.join(SUFFIXES)}")
    if file.suffix.lower() == ".mp4" and not has_mp4():
        raise InputError(NO_PYAV)


def write(
    file: str | os.PathLike[str],
    frames: Iterable[Image.Image],
    *,
    count: int | None = None,
    fps: int = FPS,
    loop: bool = False,
    label: Label | None = None,
    marker: Marker = PLAIN,
) -> None:
    """Write pictures of one size as a film, .webp or .mp4, `fps` of them a second.

    `count`: how many there are, where they are no list; a WebP needs to know it. `loop`: a WebP is
    shown over and over again, else once; an MP4 is as its player likes. `marker` writes into the
    file what `label` says of it, and that a model made it. A film that is not finished leaves
    nothing behind. Raises InputError.
    """
    file = Path(file)
    check_file(file)
    rate(fps)
    part = file.with_name(f".{file.name}.part")
    try:
        if file.suffix.lower() == ".mp4":
            _mp4(part, iter(frames), fps, label, marker)
        else:
            frames = frames if count or isinstance(frames, Sized) else list(frames)
            total = count or len(frames)  # type: ignore[arg-type]
            _webp(part, _Reel(iter(frames), total), fps, loop, label, marker)
        if marker.credentials:
            part.write_bytes(marker.signed(part.read_bytes(), file.suffix.lower()[1:]))
        os.replace(part, file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


class _Reel(Image.Image):
    """Frames as Pillow knows an animation: it seeks one after the other, and each comes then."""

    def __init__(self, frames: Iterator[Image.Image], count: int) -> None:
        super().__init__()
        self._frames, self.n_frames, self._next = frames, count, 0
        self.seek(0)

    def seek(self, frame: int) -> None:
        if frame < self._next:
            return  # it is there, or it is over: Pillow rewinds
        picture = next(self._frames, None)
        if picture is None:
            raise InputError(f"a film of {self.n_frames} frames has only {frame}")
        picture = _like(picture, self.size if frame else picture.size)
        self.im, self._mode, self._size = picture.im, picture.mode, picture.size
        self._next = frame + 1


def _like(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.size != size:
        raise InputError(f"the frames of a film have one size: {size}, not {picture.size}, too")
    return picture.convert("RGB")


def _webp(
    file: Path, reel: _Reel, fps: int, loop: bool, label: Label | None, marker: Marker
) -> None:
    extra = marker.extra(label, "webp", reel.size, keep=True) | WEBP
    reel.save(file, "WEBP", save_all=True, duration=1000 / fps, loop=0 if loop else 1, **extra)


def _mp4(
    file: Path, frames: Iterator[Image.Image], fps: int, label: Label | None, marker: Marker
) -> None:
    """H.264 with colours at half the resolution, which every player knows, in one thread: more of
    them give other bytes. The index is in front, so that it plays while it arrives."""
    import av

    from_image: Any = av.VideoFrame.from_image  # it states no types
    first = next(frames, None)
    if first is None or first.width % 2 or first.height % 2:
        size = "no frames" if first is None else f"{first.width} x {first.height} pixels"
        raise InputError(f"an MP4 needs frames with even sides, not {size}: write a .webp")
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(file), "w", format="mp4", options=options) as film:
        if text := marker.text(label, first.size):
            film.metadata["comment"] = text
        stream = film.add_stream("libx264", rate=fps, options=H264)
        context: Any = stream.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, "yuv420p"
        context.thread_count, context.color_range = 1, 1
        context.color_primaries = context.color_trc = context.colorspace = BT709
        for picture in itertools.chain([first], frames):
            frame = from_image(_like(picture, first.size)).reformat(
                format="yuv420p", dst_colorspace="ITU709"
            )
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    mark = packet()
    with file.open("ab") as end:
        end.write(struct.pack(">I4s16s", 24 + len(mark), b"uuid", XMP_BOX) + mark)
