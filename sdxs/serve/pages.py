"""A replica that serves a page and what other programs call, and has `Painters` paint.

Knows nothing of models.
"""

import argparse
import gc
from contextlib import ExitStack
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from sdxs.page.apps import APPS
from sdxs.proxies import direct
from sdxs.serve.replicas import Replicas
from sdxs.server import logs
from sdxs.server.front import Front
from sdxs.server.start import prepare_environment, temporary_files_in
from sdxs.service import marks
from sdxs.temporary import own_folder


@serve.ingress()
class Pages:
    """The page. options: of `start.parser`, settled."""

    async def __init__(  # type: ignore[misc]
        self, painters: DeploymentHandle[Any], page: str, options: argparse.Namespace
    ) -> None:
        logs.begin(options.log_format)
        self._until_the_end = ExitStack()
        folder = self._until_the_end.enter_context(own_folder())
        self._until_the_end.enter_context(temporary_files_in(folder))
        prepare_environment(folder)
        with direct():  # Gradio makes a client of the network when it is imported
            from sdxs.page import ui
            from sdxs.page.answers import Answers

        about, welcome, style = await painters.facts.remote()
        canvas = APPS[page].controls is not None
        turns, marker = Replicas(painters), marks.marker(options)
        answers, tools = Answers(turns, about, marker, canvas), not options.public
        made = ui.sketch(answers, tools) if canvas else ui.text(answers, welcome, style, tools)
        self._app = made.mounted(Front.of(options), options.root_path)
        gc.collect()
        gc.freeze()  # as `sdxs.server.start.serve` does

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._app

    def __del__(self) -> None:
        self._until_the_end.close()
