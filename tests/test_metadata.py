"""What files say of pictures: as other programs read it, and read back whole."""

import io
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import ParserManager

from sdxs.errors import InputError
from sdxs.metadata import xmp
from sdxs.metadata.marker import Label, Marker
from sdxs.metadata.parameters import LONGEST, parsed, written
from sdxs.metadata.reading import LONGEST_TEXT, Found, read
from sdxs.picture import MIME, encode
from tests.programs import lacking

PICTURE = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
SETTINGS = {"Seed": 7, "Style": "anime", "Style scale": 0.8, "To prompt": 'a: "b",\nc'}
PROMPTS = [
    "a red house to the left of a green tree",
    "  spaces at both ends  ",
    "a fôx 🦊, ночь, 夜\u2028 \u202eright to left\u202c",
    'quotes "here" and \\ there, a: b',
    "two lines\nand a third\r\n\n",
    "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 3\nNegative prompt: none",
    "<lora:anime:0.8>, {prompt}",
    "&lt;x/> ]]> <?xpacket?> %s %d",
    "x" * LONGEST,
]


def made(format: str, prompt: str = PROMPTS[0], drawing: bytes = b"", **more: Any) -> bytes:
    label = Label(prompt, "storybook", {**SETTINGS, **more}, drawing)
    return Marker()(PICTURE, format, label, keep=True)


def found(file: bytes | Path) -> Found:
    said = read(file, "the file")
    assert said
    return said


@pytest.mark.parametrize("format", MIME)
@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_all_comes_back(format: str, prompt: str) -> None:
    said = found(made(format, prompt)).parameters
    assert said.prompt == prompt and said.ours
    assert said.settings["Size"] == "64x48" and said.settings["Model"] == "storybook"
    assert {name: said.settings[name] for name in SETTINGS} == {
        name: str(value) for name, value in SETTINGS.items()
    }


@pytest.mark.parametrize("format", MIME)
def test_what_a_file_cannot_hold_is_left_out(format: str) -> None:
    assert found(made(format, "a\0b \ud83d c")).parameters.prompt == "ab ? c"
    long = found(made(format, "🦊" * 20_000, **{"To prompt": "🦊" * 20_000})).parameters
    assert long.prompt == "🦊" * LONGEST and long.settings["Seed"] == "7"
    assert Image.open(io.BytesIO(made(format))).size == PICTURE.size


def exiftool(file: Path) -> dict[str, str]:
    if not shutil.which("exiftool"):
        lacking("no exiftool on this machine: apt-get install libimage-exiftool-perl")
    done = subprocess.run(
        ["exiftool", "-j", "-validate", "-warning", "-all", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("format", MIME)
def test_others_read_it(format: str, tmp_path: Path) -> None:
    prompt = "a red house, 夜 🦊\nat sunset"
    file = tmp_path / f"picture.{format}"
    file.write_bytes(made(format, prompt))
    theirs = ParserManager().parse(file)
    assert theirs
    sampler = theirs.samplers[0]
    assert sampler.prompts[0].value == prompt and sampler.model.name == "storybook"
    assert sampler.parameters["seed"] == "7" and theirs.metadata["Style scale"] == "0.8"
    tags = exiftool(file)
    text = tags["Parameters" if format == "png" else "UserComment"]
    assert text.startswith(f"{prompt}\nSteps: 1, Sampler: one step, CFG scale: 1, Seed: 7, ")
    assert tags["DigitalSourceType"] == xmp.AI_MADE and tags["CreatorTool"].startswith("sdxs ")
    assert "XMP" not in tags.get("Warning", "")


@pytest.mark.parametrize("format", MIME)
def test_without_parameters_the_mark_stays(format: str) -> None:
    label = Label(PROMPTS[0], "storybook", SETTINGS, drawing())
    file = Marker(parameters=False)(PICTURE, format, label, keep=True)
    assert read(file, "the file") is None
    assert xmp.AI_MADE.encode() in file and b"red house" not in file and b"drawing=" not in file


def test_an_animated_picture_says_it_too() -> None:
    file = io.BytesIO()
    extra = Marker().extra(Label("a", "storybook", SETTINGS), "webp", PICTURE.size)
    other = PICTURE.rotate(180)
    PICTURE.save(file, "WEBP", save_all=True, append_images=[other], **extra)
    assert Image.open(file).is_animated  # type: ignore[attr-defined]
    assert found(file.getvalue()).parameters.prompt == "a"
    assert xmp.AI_MADE.encode() in file.getvalue()


def drawing(mode: str = "RGB") -> bytes:
    page = Image.new("RGB", (512, 512), "white")
    page.paste((30, 30, 30), (100, 100, 130, 400))
    return xmp.kept(page.convert(mode))


@pytest.mark.parametrize("format", MIME)
def test_a_drawing_comes_back_as_it_was_in_files_to_keep(format: str) -> None:
    kept = drawing("RGBA")
    page = Image.open(io.BytesIO(found(made(format, drawing=kept)).drawing))
    assert page.mode == "L" and page.getpixel((110, 110)) == 30 and len(kept) < 2_000
    label = Label("a", "storybook", {}, kept)
    assert not found(Marker()(PICTURE, format, label)).drawing  # a frame
    photo = xmp.kept(Image.effect_noise((512, 512), 90))
    assert photo == xmp.kept(Image.new("L", (2_000, 1_001))) == b""  # they do not fit
    coloured = Image.new("RGB", (9, 9), "red")
    assert Image.open(io.BytesIO(xmp.kept(coloured))).getpixel((0, 0)) == (255, 0, 0)


def test_what_a_frame_costs() -> None:
    label = Label(PROMPTS[0], "storybook", SETTINGS)
    assert len(Marker()(PICTURE, "jpeg", label)) - len(encode(PICTURE)) < 2_500
    start = time.perf_counter()
    for _ in range(100):
        Marker().extra(label, "jpeg", PICTURE.size)
    assert time.perf_counter() - start < 1  # 0.06 ms each on a quiet machine


FOREIGN = """masterpiece, (a fox:1.2), <lora:anime:0.8>, snow
Negative prompt: blurry,
bad hands
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, \
Model hash: c35782bad8, Model: realisticVision, Lora hashes: "anime: 10cfe2f1, b: 2", \
Hashes: {"model": "c35782bad8", "lora:b": "2"}, Version: v1.9.4"""


def foreign(text: str, format: str, code: str = "utf-16-be") -> bytes:
    """A file as stable-diffusion-webui writes it."""
    file = io.BytesIO()
    if format == "png":
        chunks = PngInfo()
        chunks.add_text("parameters", text, zip=True)
        PICTURE.save(file, "PNG", pnginfo=chunks)
    else:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode(code)
        PICTURE.save(file, format.upper(), exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("code", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("format", MIME)
def test_other_programs_files(format: str, code: str) -> None:
    said = found(foreign(FOREIGN, format, code)).parameters
    assert said.prompt == "masterpiece, (a fox:1.2), <lora:anime:0.8>, snow" and not said.ours
    assert said.negative == "blurry,\nbad hands"
    wanted = {"Steps": "20", "Seed": "965400086", "Size": "512x768", "Model": "realisticVision"}
    assert wanted.items() <= said.settings.items()
    assert said.settings["Lora hashes"] == "anime: 10cfe2f1, b: 2"
    assert said.settings["Version"] == "v1.9.4"


@pytest.mark.parametrize(
    "text",
    [
        *("", "a red house", "a: b, c: d", ":" * 9_000, ",:" * 9_000, 'a:"' * 9_000, "a:[" * 9_000),
        *("[" * 90_000, "Steps:" + "{" * 90_000, " " * 90_000, "a " * 45_000, "\n" * 90_000),
    ],
)
def test_a_text_may_be_anything(text: str) -> None:
    start = time.perf_counter()
    assert parsed(text) is None or "Steps" in text
    assert time.perf_counter() - start < 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_file_may_be_anything() -> None:
    for format in ("png", "webp"):
        with pytest.raises(InputError, match="it says more of how it was made than 100,000"):
            read(foreign("Steps: 1" + "a" * LONGEST_TEXT, format), "it")
    bomb = foreign("a" * 50_000_000, "png")
    assert len(bomb) < 100_000
    with pytest.raises(InputError, match=r"it cannot be read as a picture"):
        read(bomb, "it")
    with pytest.raises(InputError, match="it is not a PNG, JPEG or WebP picture"):
        read(b"GIF89a", "it")
    for exif in (b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0" + bytes(40)):
        file = io.BytesIO()
        PICTURE.save(file, "JPEG", exif=exif, xmp=b"<!DOCTYPE x [<!ENTITY a '" + b"a" * 9_000)
        assert read(file.getvalue(), "it") is None
    for packet in ("", 'sdxs:drawing="', 'sdxs:drawing="AAA"', "<sdxs:drawing>é</sdxs:drawing>"):
        assert xmp.drawing_of(packet) == b""
    for size, is_kept in (((512, 512), True), ((9_000, 9_000), False)):
        drawn = io.BytesIO()
        Image.new("1", size).save(drawn, "PNG")
        packet = xmp.packet(drawn.getvalue()).decode()
        assert xmp.drawing_of(packet) == (drawn.getvalue() if is_kept else b"")
    for comment in (7, b"", b"UNICODE\0", b"UNICODE\0\xd8", b"x" * 20_000):
        exif_ = Image.Exif()
        exif_.get_ifd(0x8769)[0x9286] = comment
        file = io.BytesIO()
        PICTURE.save(file, "WEBP", exif=exif_)
        assert read(file.getvalue(), "it") is None


def test_where_something_lies_is_not_said(tmp_path: Path) -> None:
    lies = str(tmp_path)
    settings = {"Style": lies, "Control": lies, "To prompt": lies}  # a prompt is no file
    label = Label(lies, lies, settings)
    said = found(Marker()(PICTURE, "jpeg", label)).parameters
    names = [said.settings[name] for name in ("Model", "Style", "Control")]
    assert names == [tmp_path.name] * 3 and said.prompt == said.settings["To prompt"] == lies


def test_numbers_are_short_and_whole() -> None:
    text = written("a", {"A": 1.0, "B": 0.05, "C": 2**63 - 1, "D": "", "E": True})
    assert text.startswith(f'a\nA: 1, B: 0.05, C: {2**63 - 1}, D: "", E: True, Version: sdxs ')
