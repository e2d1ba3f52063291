"""How lines are compared: of known sets of pixels, of a square, of nothing."""

import cv2
import numpy as np
import pytest

from sdxs.storybook.judges.controls import f1, lines


def line(column: int, length: int = 20) -> np.ndarray:
    page = np.zeros((32, 32), bool)
    page[5 : 5 + length, column] = True
    return page


def test_f1_of_known_sets() -> None:
    assert f1(line(10), line(10), 1) == 1
    assert f1(line(10), line(11), 1) == 1 and f1(line(10), line(12), 1) == 0
    assert f1(line(10), line(12), 2) == 1
    assert f1(line(10) | line(20), line(10), 1) == pytest.approx(2 / 3)  # half of it is surplus
    assert f1(line(10), line(10) | line(20), 1) == pytest.approx(2 / 3)  # half of it is missing
    empty = np.zeros((32, 32), bool)
    assert f1(empty, line(10), 1) == f1(line(10), empty, 1) == f1(empty, empty, 1) == 0


def test_lines_are_where_the_edges_are() -> None:
    page = np.full((64, 64, 3), 40, np.uint8)
    page[20:44, 20:44] = (250, 220, 90)
    square = np.zeros((64, 64), np.uint8)
    cv2.rectangle(square, (20, 20), (43, 43), 255, 1)
    for control in ("canny", "sketch"):
        assert f1(lines(page, control), square > 0, 2) > 0.95
    assert not lines(np.zeros((64, 64, 3), np.uint8), "sketch").any()
