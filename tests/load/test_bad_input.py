"""The short form of `python -m tests.load.bad_input`."""

import random

from tests.load.bad_input import SHARES, attack, served
from tests.load.mutated import payloads, routes


def test_bad_input() -> None:
    with served() as (port, memory):
        found = attack(port, memory, 1500, seed=1)
    assert not found.wrong
    kinds = {named for named, _ in found.statuses}
    assert kinds == {*SHARES, "published", "malformed"} and found.sent >= 1500
    assert {status for _, status in found.statuses} >= {200, 400, 404, 415, 422}


def test_a_seed_gives_the_same_requests() -> None:
    valid = [("/a", {"data": [1, {"b": "c"}]})]
    for made in (lambda seed: routes(random.Random(seed)),
                 lambda seed: payloads(random.Random(seed), valid)):  # fmt: skip
        first, again, other = ([next(one) for _ in range(50)] for one in map(made, (1, 1, 2)))
        assert first == again != other
