"""A page on many processors or machines, by Ray Serve: `serve run sdxs.serve:app page=sketch`.

Replicas of `Pages` answer browsers and programs, and have replicas of `Painters` paint. Which
replica does what, and how many there are, is Ray's to say; what waits at one is painted together.
"""

import argparse
from collections.abc import Mapping
from typing import Any, NoReturn

from click import UsageError
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig

from sdxs.errors import InputError, SDXSError
from sdxs.page.apps import APPS, TOGETHER
from sdxs.serve.pages import Pages
from sdxs.serve.painters import Painters
from sdxs.server.start import parser, settle
from sdxs.service.turns import MOST_WAITING

CONNECTIONS = 10_000  # of a page's replica; every tab has one that stays open
# no thread of Ray's own between a request and its answer: nothing of ours blocks an event loop
DIRECT: dict[str, Any] = {
    "runtime_env": {
        "env_vars": {
            "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
            "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        }
    }
}
STICKY = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"


def app(args: Mapping[str, Any]) -> Application:
    """What `serve run sdxs.serve:app NAME=VALUE …` starts. args: the options of `sdxs-page` but for
    its address, which is Ray's to know, by their names (`log_format=json`, `public=true`), and

    - page: text, anime or sketch
    - replicas: of the model, "2", or "1-4" for as many as are needed
    - pages: replicas of the page; the requests of a tab stay with one of them
    - cpus, gpus: of each of the model's replicas, which may be parts of one

    Raises click.UsageError, which the command prints as a line.
    """
    try:
        return deployed(args)
    except SDXSError as error:
        raise UsageError(str(error)) from None


def deployed(args: Mapping[str, Any], painters: type[Painters] = Painters) -> Application:
    """The same, with another kind of painters perhaps. Raises InputError, StartError."""
    options = _options(args)
    painting = serve.deployment(
        name=Painters.__name__,
        max_ongoing_requests=2 * TOGETHER,  # the next batch comes together while one is painted
        max_queued_requests=MOST_WAITING,
        health_check_period_s=1,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus, **DIRECT},
        **options.replicas,
    )(painters)
    router: Any = STICKY
    pages = serve.deployment(
        num_replicas=options.pages,
        max_ongoing_requests=CONNECTIONS,
        health_check_period_s=1,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 0, **DIRECT},
        request_router_config=RequestRouterConfig(request_router_class=router),
        logging_config={"enable_access_log": False},
    )(Pages)
    served: Application = pages.bind(painting.bind(options.page, options), options.page, options)
    return served


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _options(args: Mapping[str, Any]) -> argparse.Namespace:
    """Those of a page, settled, and ours. Raises InputError, StartError."""
    for name in ("host", "port"):
        if name in args:
            raise InputError(f"{name} is Ray's to know: http_options in a file for serve run")
    known = parser(kind=_Parser)
    add = known.add_argument
    add("--page", choices=tuple(APPS), default="text")
    add("--replicas", type=_replicas, default="1")
    add("--pages", type=int, default=1)
    add("--cpus", type=float, default=1)
    add("--gpus", type=float, default=0)
    words = []
    for name, value in args.items():
        flag, said = f"--{name.replace('_', '-')}", str(value)
        if said.lower() != "false":
            words.append(flag if said.lower() == "true" else f"{flag}={said}")
    options = known.parse_args(words)
    settle(options)
    return options


def _replicas(text: str) -> dict[str, Any]:
    """What Ray is told of how many there are."""
    fewest, _, most = text.partition("-")
    if not (
        fewest.isdigit() and (most or fewest).isdigit() and 0 < int(fewest) <= int(most or fewest)
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of replicas: 2, or 1-4")
    if not most:
        return {"num_replicas": int(fewest)}
    scaling = AutoscalingConfig(
        min_replicas=int(fewest), max_replicas=int(most), target_ongoing_requests=TOGETHER
    )
    return {"autoscaling_config": scaling}
