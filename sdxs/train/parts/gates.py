"""What a stage must have reached before a recipe goes on.

Knows nothing of where the numbers come from.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """A number, and what is asked of it: at least, or at most, so much.

    number: its place in a stage's result or its model's score, as "seen.caption_accuracy.share".
    below: another, the points that it lies below which count; by: another that it is divided by. Of
    another stage they are written "teacher/…".
    """

    what: str
    number: str
    below: str = ""
    by: str = ""
    least: float | None = None
    most: float | None = None

    def value(self, find: Callable[[str], float]) -> float:
        """find: what gives a number by its place. NaN, which no gate lets pass, by a number that is
        zero."""
        ours = find(self.number)
        if self.below:
            return 100 * (find(self.below) - ours)
        if self.by:
            theirs = find(self.by)
            return ours / theirs if theirs else float("nan")
        return ours

    def passed(self, value: float) -> bool:
        if self.least is not None:
            return value >= self.least
        return self.most is not None and value <= self.most

    @property
    def asked(self) -> str:
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"

    def told(self, value: float) -> str:
        passed = "passed" if self.passed(value) else "FAILED"
        return f"{passed}: {self.what} is {value:g}, {self.asked}"
