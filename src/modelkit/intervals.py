"""How far a figure can be trusted: intervals that hold the true value 95 times in 100."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
"""Least and greatest value."""

RESAMPLES = 1000
_NORMAL_95 = 1.959963984540054
_PERCENTILES_95 = (2.5, 97.5)


def wilson(count: int, of: int) -> Interval | None:
    """Wilson's score interval of a share (Wilson 1927): right also for shares near 0 and 1; None of nothing.

    It takes pictures for independent, which those of one part are not quite.
    """
    if of == 0:
        return None
    share, z2 = count / of, _NORMAL_95**2
    centre = share + z2 / (2 * of)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    low, high = ((centre + side) / (1 + z2 / of) for side in (-half, half))
    return (0.0 if count == 0 else low, 1.0 if count == of else high)


def resample(parts: Sequence[str], count: int = RESAMPLES) -> list[NDArray[np.intp]]:
    """Draw as many parts as there are, with replacement, ``count`` times: each time the indices of their pictures.

    ``parts`` names each picture's part. Pictures of one part are alike, so that drawing single pictures would make
    intervals too narrow (the cluster bootstrap: Davison and Hinkley 1997, section 3.8). The same draws each time;
    none of a single part, which tells nothing of others.
    """
    pictures_of = defaultdict(list)
    for picture, part in enumerate(parts):
        pictures_of[part].append(picture)
    if len(pictures_of) == 1:
        return []
    groups = [np.array(pictures, np.intp) for pictures in pictures_of.values()]
    random = np.random.default_rng(0)
    draws = random.integers(0, len(groups), (count, len(groups)))
    return [np.concatenate([groups[group] for group in draw]) for draw in draws]


def percentile(values: NDArray[np.float64]) -> Interval | None:
    """What 95 of 100 resampled values (N,) lie in; NaN ones are left out; None of nothing."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, _PERCENTILES_95)
    return float(low), float(high)
