"""Sample sheets: what is laid out is what the model paints."""

from pathlib import Path

from PIL import Image

from sdxs import SDXS
from sdxs.storybook import sheet
from sdxs.storybook.judges.controls import control_images
from sdxs.storybook.judges.sheets import HEADS, MARGIN, NAMES
from sdxs.storybook.sheet import SEED
from sdxs.storybook.world.captions import described, frozen_captions


def cell(
    page: Image.Image, row: int, column: int, size: tuple[int, int], first: int = MARGIN
) -> bytes:
    x, y = NAMES + column * (size[0] + MARGIN), first + row * (size[1] + MARGIN)
    return page.crop((x, y, x + size[0], y + size[1])).tobytes()


def test_controls_and_styles(
    tiny_checkpoint: Path, tiny_control: Path, tiny_style: Path, tmp_path: Path
) -> None:
    file = tmp_path / "sheet.png"
    options = ["--checkpoint", str(tiny_checkpoint), "--output", str(file)]
    control = ["--controls", f"sketch={tiny_control}"]
    worn = ["--styles", f"ink={tiny_style}"]
    sources = {"sketch": str(tiny_control)}, {"ink": str(tiny_style)}
    model = SDXS.load(tiny_checkpoint, controls=sources[0], styles=sources[1])

    assert sheet.main([*options, *control, *worn, "--columns", "2"]) == 0
    page = Image.open(file)
    scenes, captions = described(2, SEED)
    for column, caption in enumerate(captions):
        seen = control_images(model, "sketch", scenes, 0)[column]
        steered = {"seed": column, "control": "sketch", "control_image": seen}
        assert cell(page, 0, column, seen.size) == seen.convert("RGB").tobytes()
        for row, chosen in ((1, None), (2, "ink")):
            painted = model(caption.text, style=chosen, **steered)
            assert cell(page, row, column, painted.size) == painted.tobytes()
    assert cell(page, 1, 0, painted.size) != cell(page, 2, 0, painted.size)

    assert sheet.main([*options, *worn, "--count", "2"]) == 0
    assert sheet.main([*options[:-1], str(tmp_path / "sheet.webp"), *worn, "--count", "2"]) == 0
    page = Image.open(file)
    assert Image.open(tmp_path / "sheet.webp").size == page.size
    for row, caption in enumerate(frozen_captions()[:2]):
        for column, strength in enumerate(sheet.STRENGTHS):
            painted = model(caption.text, seed=row, style="ink", style_scale=strength)
            assert cell(page, row, column, painted.size, MARGIN + HEADS) == painted.tobytes()
