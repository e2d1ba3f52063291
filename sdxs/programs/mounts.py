"""Where the forms are on a page: before Gradio's own routes, each with its own OpenAPI.

Knows nothing of what they say.
"""

from importlib.util import find_spec
from typing import Any

from fastapi import Request
from starlette.routing import BaseRoute, Mount

from sdxs.programs.automatic import controlnet, txt2img
from sdxs.programs.openai import openai
from sdxs.programs.plain import plain
from sdxs.programs.tools import tools
from sdxs.service.making import Maker


def programs(maker: Maker, root_path: str = "", with_tools: bool = False) -> dict[str, Any]:
    """What FastAPI is told, for a page's forms to be there. root_path: where visitors find the
    page, a path or a whole address. with_tools: MCP, too, where it is installed."""

    def root(request: Request) -> str:
        whole = root_path.startswith(("http://", "https://"))
        return root_path if whole else f"{request.url.scheme}://{request.url.netloc}{root_path}"

    routes: list[BaseRoute] = [
        Mount("/v1", openai(maker, root)),
        Mount("/api", plain(maker)),
        Mount("/sdapi/v1", txt2img(maker)),
        Mount("/controlnet", controlnet(maker)),
    ]
    if not with_tools or find_spec("mcp") is None:
        return {"routes": routes}
    route, lifespan = tools(maker, "/mcp")
    return {"routes": [*routes, route], "lifespan": lifespan}
