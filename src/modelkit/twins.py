"""Fine structures of pictures -> pairs of different parts that look like one and the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modelkit.fingerprint import HEIGHT, WIDTH, Structure

LEAST_CORRELATION = 0.3
SHIFT = 14
"""How far two pictures of a part may be apart, in pixels of the structure: a sixteenth of the picture's width."""
_CANDIDATES = 32
_LIMIT = 5
"""In grey levels. What stands out more counts no more than that, or two parts with one bright scratch were twins."""
_COARSE = (28, 20)
Progress = Callable[[Sequence[int], str], Iterable[int]]
"""Hands the numbers on, and shows how far that got under a few words."""


@dataclass(frozen=True, slots=True)
class Twins:
    """Two pictures, by their numbers, of different parts that look like one."""

    first: int
    second: int
    correlation: float
    """Of their fine structures where they match best, 0 … 1."""


def twins(
    structures: Sequence[Structure],
    parts: Sequence[str],
    least: float = LEAST_CORRELATION,
    progress: Progress = lambda numbers, words: numbers,
) -> list[Twins]:
    """Every pair of different ``parts`` whose structures correlate by ``least`` or more when shifted up to ``SHIFT``.

    Each picture is compared with the 32 others that are most alike in coarse layout: the time grows with the number
    of pictures, not with its square. A part that was turned, or photographed at another scale, is not found.
    """
    found = []
    candidates = _candidates(structures, parts)
    for first in progress(list(candidates), "comparing pictures"):
        others = candidates[first]
        alike = correlations(structures[first], np.stack([structures[each] for each in others]))
        for second, correlation in zip(others, alike.tolist(), strict=True):
            if correlation >= least:
                found.append(Twins(first, second, correlation))
    return found


def _candidates(structures: Sequence[Structure], parts: Sequence[str]) -> dict[int, list[int]]:
    """Pictures of other parts to compare each picture with, every pair once."""
    layouts = np.stack([_layout(each) for each in structures]) if structures else np.zeros((0, 1), np.float32)
    names = np.array(parts)
    pairs = set()
    for number, layout in enumerate(layouts):
        likeness = np.where(names == names[number], -np.inf, layouts @ layout)
        nearest = np.argsort(-likeness, kind="stable")[:_CANDIDATES]
        pairs |= {
            (min(number, each), max(number, each)) for each in nearest[likeness[nearest] > -np.inf].tolist()
        }
    candidates = defaultdict(list)
    for first, second in sorted(pairs):
        candidates[first].append(second)
    return dict(candidates)


def _layout(structure: Structure) -> NDArray[np.float32]:
    """Where something bright is, blurred so that a small shift changes little; of mean 0 and norm 1."""
    bright = np.maximum(structure * _WINDOW, 0)
    cells = cv2.resize(cv2.GaussianBlur(bright, (0, 0), 6), _COARSE, interpolation=cv2.INTER_AREA).ravel()
    return _unit(np.asarray(cells, np.float32))


def correlations(one: Structure, others: NDArray[np.int8]) -> NDArray[np.float32]:
    """The highest normalized correlation of one structure with each of others (N, HEIGHT, WIDTH), over all shifts."""
    shape = (HEIGHT + SHIFT, WIDTH + SHIFT)
    spectra = [np.fft.rfft2(_unit(np.clip(each, -_LIMIT, _LIMIT) * _WINDOW), shape) for each in (one, others)]
    products = np.fft.irfft2(spectra[0].conj() * spectra[1], shape)
    near = np.arange(-SHIFT, SHIFT + 1)
    highest: NDArray[np.float32] = products[:, near[:, None], near].max(axis=(1, 2)).astype(np.float32)
    return highest


def _unit(structures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of mean 0 and norm 1 over the last axes; one without structure stays 0."""
    axes = tuple(range(structures.ndim))[-2:]
    centred = structures - structures.mean(axis=axes, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=axes, keepdims=True))
    unit: NDArray[np.float32] = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-6)
    return unit


_WINDOW = np.sqrt(np.outer(np.hanning(HEIGHT), np.hanning(WIDTH))).astype(np.float32)
"""Fades the borders out, where the fixture is that all parts have in common."""
