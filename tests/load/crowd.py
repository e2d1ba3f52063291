"""A crowd at a page, by locust: people who type, or Gradio's own shape of a load.

    python -m tests.load.crowd typing --visitors 1 8 32 128 --seconds 30 [--page embedded]
    python -m tests.load.crowd typing --visitors 128 --bursts 1000
    python -m tests.load.crowd gradio --users 100 --bursts 50

A burst of keys ends in the picture of the last one, or that is lost. In Gradio's shape so many
users ask so many times each without a pause, all of them waiting for one another, first by Gradio's
queue and then as pages do: p99 is to be 1.5 times p50 at most. Nothing may be lost. The last line
is JSON; exit status 1 where a target is missed.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator

from locust import User

from tests.load import figures
from tests.load.figures import Row
from tests.load.pages import SECONDS, Page, served
from tests.load.swarm import Bursts, captions, swarm
from tests.load.users import Asker, Load, Program, Typist, Visitor

VISITORS = 1, 8, 32, 128


def crowd(
    page: Page, kind: type[User], count: int, bursts: Bursts, told: Callable[..., Row]
) -> tuple[Row, Counter[str]]:
    """So many users of a kind in figures, with what went wrong."""
    load = Load(page, Asker(page.url), captions(), bursts.begin)
    seen = swarm(page, kind, count, bursts, load)
    return told(seen.heard, count, seen.rate, bursts.begun, seen.memory), seen.heard.wrong


def typing(page: Page, options: argparse.Namespace) -> Iterator[tuple[Row, Counter[str]]]:
    for count in options.visitors:
        limits = (options.bursts,) if options.bursts else (math.inf, options.seconds)
        yield crowd(page, Typist, count, Bursts(*limits), figures.typed)


def gradio(page: Page, options: argparse.Namespace) -> Iterator[tuple[Row, Counter[str]]]:
    for way, kind in {"Gradio's queue": Program, "the page's call": Visitor}.items():
        bursts = Bursts(options.users * options.bursts)
        row, wrong = crowd(page, kind, options.users, bursts, figures.crowded)
        yield {"by": way, **row}, wrong


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--page", choices=("standin", "embedded"), default="standin")
    shared.add_argument("--seconds-a-picture", type=float, default=SECONDS, help="the stand-in's")
    shared.add_argument("--at", default="", metavar="URL", help="a page that is there")
    shapes = whole.add_subparsers(required=True)
    one = shapes.add_parser("typing", parents=[shared])
    one.set_defaults(shape=typing)
    one.add_argument("--visitors", type=int, nargs="+", default=VISITORS, help="at once, in turn")
    limit = one.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=float, default=30, help="in which bursts begin")
    limit.add_argument("--bursts", type=int, help="of all visitors together")
    one = shapes.add_parser("gradio", parents=[shared])
    one.set_defaults(shape=gradio)
    one.add_argument("--users", type=int, default=100)
    one.add_argument("--bursts", type=int, default=50, help="of each")
    return whole


def main() -> int:
    options = parser().parse_args()
    own = ("--seconds", options.seconds_a_picture) if options.page == "standin" else ()
    rows, wrong = [], Counter[str]()
    with served(options.page, *own, at=options.at) as page:
        page.warm()
        for row, errors in options.shape(page, options):
            rows.append(row)
            wrong += errors
    missed = [line for row in rows for line in figures.missed(row)]
    told = {"page": options.page}
    if own:
        told["seconds_a_picture"] = options.seconds_a_picture
    return figures.report(rows, wrong, missed, **told)


if __name__ == "__main__":
    sys.exit(main())
