"""Pixels -> Appearance: what a picture looks like as a whole, and how that differs from what a model knows.

Measured on the picture as it is shrunk for the network, about: what is lost there the model does not see either.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.frame import Pixels
from inspector.core.package import LAYOUT_HEIGHT, LAYOUT_WIDTH, KnownImages, Measure

_LONG_SIDE_PX = 320
_Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a picture looks like as a whole."""

    measures: Mapping[Measure, float]
    """Each but ``likeness``, which takes something to be like."""
    layout: tuple[float, ...]
    """Mean grey (0..255) of each field of a grid over the picture, row by row, as ``KnownImages.layout``."""


def look(pixels: Pixels) -> Appearance:
    """Measure (height, width, 3) uint8 BGR pixels, as ``package.Measure`` describes."""
    height, width = pixels.shape[:2]
    small = _shrink(pixels)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    blue, green, red, _ = cv2.mean(small)
    brightness, contrast = _mean_and_deviation(grey)
    sharpness, flatness = _detail(grey, contrast)
    measures: dict[Measure, float] = {
        "aspect": width / height,
        "megapixels": width * height / 1e6,
        "brightness": brightness,
        "contrast": contrast,
        "blue": blue - green,
        "red": red - green,
        "sharpness": sharpness,
        "flatness": flatness,
    }
    fields = cv2.resize(grey, (LAYOUT_WIDTH, LAYOUT_HEIGHT), interpolation=cv2.INTER_AREA)
    return Appearance(measures, tuple(map(float, fields.ravel())))


def unusual(seen: Appearance, known: KnownImages) -> tuple[str, ...]:
    """Each measure that is out of its bounds, in words; empty where the picture is like those that are known."""
    measures = {**seen.measures, "likeness": likeness(seen.layout, known.layout)}
    return tuple(
        f"{measure} {measures[measure]:.3g}, known {low:.3g} to {high:.3g}"
        for measure, (low, high) in known.bounds.items()
        if not low <= measures[measure] <= high
    )


def likeness(layout: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's correlation of two layouts, -1..1: neither brightness nor contrast matters; 0 where one is even."""
    one, two = (np.asarray(each) - np.mean(each) for each in (layout, other))
    norm = np.sqrt((one @ one) * (two @ two))
    return float(one @ two / norm) if norm > 0 else 0.0


def checksum(pixels: Pixels) -> tuple[int, ...]:
    """The same for two pictures that are the same pixel by pixel, and almost never for others: size, CRC-32."""
    return (*pixels.shape, zlib.crc32(np.ascontiguousarray(pixels).data))


def _shrink(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    scale = _LONG_SIDE_PX / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _mean_and_deviation(plane: NDArray[np.uint8] | NDArray[np.int16]) -> tuple[float, float]:
    mean, deviation = cv2.meanStdDev(plane)
    return float(mean[0, 0]), float(deviation[0, 0])


def _detail(grey: _Plane, contrast: float) -> tuple[float, float]:
    """Sharpness and flatness. Along x and y apart, since motion blurs along one of them only."""
    along_x = cv2.Sobel(grey, cv2.CV_16S, 2, 0, ksize=1)  # with ksize=1 it is 1, -2, 1
    along_y = cv2.Sobel(grey, cv2.CV_16S, 0, 2, ksize=1)
    least = min(_mean_and_deviation(along_x)[1], _mean_and_deviation(along_y)[1])
    even = cv2.countNonZero(cv2.inRange(cv2.add(along_x, along_y), -1, 1))
    return least / (contrast + 1), even / grey.size
