"""Puts `weights/` into the package, as `sdxs/weights`; all else stands in pyproject.toml."""

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class WithWeights(build_py):
    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # modules that are gone since
        super().run()
        if not self.editable_mode:  # which finds them where they are
            skip = shutil.ignore_patterns("*.webp")
            shutil.copytree("weights", f"{self.build_lib}/sdxs/weights", ignore=skip)


setup(cmdclass={"build_py": WithWeights})
