"""One prompt and seed in a style, from none of it to all: python examples/style.py"""

from PIL import Image

from sdxs import SDXS

prompts = ["a yellow star at night on the sea"] * 5
scales = [0.0, 0.25, 0.5, 0.75, 1.0]
model = SDXS.load("storybook", styles="anime")
pictures = model(prompts, seed=7, style="anime", style_scale=scales)
row = Image.new("RGB", (5 * pictures[0].width, pictures[0].height))
for index, picture in enumerate(pictures):
    row.paste(picture, (index * picture.width, 0))
row.save("star-in-anime.png")
