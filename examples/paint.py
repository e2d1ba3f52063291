"""Paints a prompt with four seeds and saves the pictures: python examples/paint.py"""

from sdxs import SDXS

model = SDXS.load()  # the best model on this machine; at first the embedded one
seeds = [0, 1, 2, 3]
pictures = model(["a red house to the left of a green tree at sunset"] * 4, seed=seeds)
for seed, picture in zip(seeds, pictures, strict=True):
    picture.save(f"house-{seed}.png")
