"""The figures of the paper (arXiv 2403.16627), as printed, to stand beside what is measured.

Its GPU is not named; table 3 was taken in float16, compiled, at batch 1.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A column of tables 1 and 2. parameters: in millions. ms: of one evaluation."""

    parameters: float
    ms: float
    evaluations: int


@dataclass(frozen=True)
class Method:
    """A row of table 3, on the 5K subset of MS-COCO 2017. parameters: the U-Net's, in millions."""

    title: str
    side: int
    parameters: float
    sampler: str
    evaluations: int
    ms: float
    fid: float
    clip: float


EFFICIENCY: dict[str, dict[str, Stage]] = {  # tables 1 and 2
    "sd-2.1-base": {
        "text": Stage(330, 1.1, 2), "unet": Stage(870, 16, 32), "decoder": Stage(50, 18, 1),
    },
    "sdxs-512-paper": {
        "text": Stage(330, 1.1, 1), "unet": Stage(320, 6.3, 1), "decoder": Stage(1.2, 1.7, 1),
    },
    "sdxl-base": {
        "text": Stage(800, 1.8, 2), "unet": Stage(2560, 56, 32), "decoder": Stage(50, 73, 1),
    },
    "sdxs-1024": {
        "text": Stage(800, 1.8, 1), "unet": Stage(740, 24, 1), "decoder": Stage(1.2, 6.1, 1),
    },
}  # fmt: skip
QUALITY = (  # table 3
    Method("SD v1.5", 512, 860, "DPM-Solver++", 16, 276, 24.28, 31.84),
    Method("SD v1.5-LCM", 512, 860, "LCM", 4, 84, 34.74, 30.85),
    Method("SD Turbo", 512, 865, "–", 1, 35, 26.50, 33.07),
    Method("Tiny SD", 512, 324, "DPM-Solver++", 16, 146, 31.16, 31.06),
    Method("SDXS-512", 512, 319, "–", 1, 9, 28.21, 32.81),
    Method("SDXL", 1024, 2560, "Euler", 32, 1869, 24.60, 33.77),
    Method("SDXL-LCM", 1024, 2560, "LCM", 4, 299, 28.87, 32.45),
    Method("SDXL Lightning", 1024, 2560, "–", 1, 131, 29.26, 32.09),
    Method("Vega", 1024, 740, "Euler", 32, 845, 29.24, 32.99),
    Method("SDXS-1024", 1024, 740, "–", 1, 32, 30.92, 32.32),
)
