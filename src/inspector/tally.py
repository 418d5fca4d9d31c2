"""Recent inspections in figures, for the status message."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from inspector.examiner import Judged

WINDOW = 1_000
"""So many recent inspections are looked at."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the recent inspections; null before there are any."""

    images_per_minute: float
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    confidence_mean: float | None
    confidence_std: float | None


class Tally:
    """Remembers recent inspections. May be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.last_s = 0.0
        """When the last inspection was counted (monotonic)."""
        self._times_s: deque[float] = deque(maxlen=WINDOW)
        self._latencies_ms: deque[float] = deque(maxlen=WINDOW)
        self._confidences: deque[float] = deque(maxlen=WINDOW)

    def add(self, judged: Judged, now_s: float) -> None:
        """Count one inspection, at ``now_s`` (monotonic)."""
        stages = msgspec.structs.astuple(judged.latency)
        with self._lock:
            self.last_s = now_s
            self._times_s.append(now_s)
            if judged.latency.inference is not None:  # what failed before says nothing of the speed
                self._latencies_ms.append(sum(each for each in stages if each is not None))
            self._confidences.extend(judged.verdict.detections.confidences.tolist())

    def figures(self, now_s: float) -> Figures:
        """As of ``now_s`` (monotonic)."""
        with self._lock:
            rate = self._images_per_minute(now_s)
            latencies, confidences = sorted(self._latencies_ms), list(self._confidences)
        return Figures(
            images_per_minute=rate,
            latency_ms_p50=percentile(latencies, 50),
            latency_ms_p99=percentile(latencies, 99),
            confidence_mean=round(statistics.fmean(confidences), 4) if confidences else None,
            confidence_std=round(statistics.pstdev(confidences), 4) if confidences else None,
        )

    def _images_per_minute(self, now_s: float) -> float:
        """Those of the last minute; where the window is shorter than that, at the window's rate."""
        last_minute = [each for each in self._times_s if each > now_s - 60]
        if len(last_minute) < WINDOW:
            return float(len(last_minute))
        return round(WINDOW * 60 / (now_s - last_minute[0]), 1)


def percentile(ordered: Sequence[float], share: int) -> float | None:
    """The nearest-rank percentile of rising values; None of none."""
    if not ordered:
        return None
    rank = -(-len(ordered) * share // 100)
    return round(ordered[max(rank, 1) - 1], 3)
