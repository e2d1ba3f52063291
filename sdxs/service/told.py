"""What is told of an error to whoever asked, a person or a program; the log has the rest.

Knows nothing of how either is answered.
"""

import logging
from dataclasses import dataclass

from sdxs.errors import SDXSError, sentence
from sdxs.service.turns import Crowded, NotNow, Stale, Stuck
from sdxs.zero import NoGPU

log = logging.getLogger(__name__)

BROKEN = "Something went wrong while making this picture; the next one may well work."


@dataclass(frozen=True)
class Told:
    """note: one line. status: HTTP's. after: in so many seconds the same request may well succeed,
    which HTTP says as Retry-After; 0 for who knows. again: a page then asks by itself."""

    note: str
    status: int
    again: bool = False
    after: int = 0


def told(error: Exception) -> Told:
    """Of any error that making a picture may end in."""
    if isinstance(error, NotNow):
        status = 429 if isinstance(error, Crowded) else 503
        return Told(str(error), status, again=True, after=error.retry_after)
    if isinstance(error, NoGPU):
        return Told(sentence(error), 429, after=error.retry_after)
    if isinstance(error, Stale):
        return Told(str(error), 409)
    if isinstance(error, Stuck):
        return Told(str(error), 504)
    if isinstance(error, SDXSError):
        return Told(sentence(error), 400)
    log.error("a picture could not be made", exc_info=error)
    return Told(BROKEN, 500)
