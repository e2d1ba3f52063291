"""A drawing steers the picture through a ControlNet: python examples/control.py"""

from PIL import Image, ImageDraw

from sdxs import SDXS

drawing = Image.new("RGB", (512, 512), "white")  # or Image.open("drawing.jpg")
pen = ImageDraw.Draw(drawing)
pen.rectangle((150, 230, 360, 430), outline="black", width=8)
pen.line((120, 230, 255, 90, 390, 230, 120, 230), fill="black", width=8)

model = SDXS.load("storybook", controls="sketch")
lines = model.condition("sketch", drawing)  # the control image: white lines on black
lines.save("lines.png")
model("a red house in the snow", control="sketch", control_image=lines, seed=3).save("drawn.png")
