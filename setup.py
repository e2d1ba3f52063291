"""Puts `weights/` and `recipes/` into the package, as `sdxs/weights` and `sdxs/recipes`, with the
graphs in `weights/onnx` where `make onnx` has left them; all else stands in pyproject.toml."""

import os
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class WithData(build_py):
    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # modules that are gone since
        super().run()
        if not self.editable_mode:  # which finds them where they are
            skip = shutil.ignore_patterns("*.webp")
            for folder in filter(os.path.isdir, ("weights", "recipes")):  # an image has no recipes
                shutil.copytree(folder, f"{self.build_lib}/sdxs/{folder}", ignore=skip)


setup(cmdclass={"build_py": WithData})
