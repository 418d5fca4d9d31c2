"""A camera at a steady rate, and what became of each of its pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edge import SAMPLES, Edge

PERIOD_S = 0.05
PICTURES = sorted(SAMPLES.glob("*.jpg"))


@contextmanager
def images_flowing(edge: Edge) -> Iterator[dict[str, float]]:
    """A camera that takes 20 pictures a second until the end of the block: the name of each, and when it was taken
    (monotonic, seconds)."""
    taken: dict[str, float] = {}
    over = threading.Event()

    def take() -> None:
        next_s = time.monotonic()
        while not over.wait(max(0.0, next_s - time.monotonic())):
            picture, name = PICTURES[len(taken) % len(PICTURES)], f"{len(taken):04}.jpg"
            taken[name] = time.monotonic()
            edge.drop(picture, name)
            next_s += PERIOD_S

    camera = threading.Thread(target=take)
    camera.start()
    try:
        yield taken
    finally:
        over.set()
        camera.join()


def is_accounted_for(edge: Edge, taken: dict[str, float]) -> None:
    """Assert that every picture has exactly one verdict, and that they are numbered without a gap."""
    identities = {(each["image"]["name"], each["id"], each["seq"]) for each in edge.results}
    assert sorted(name for name, _, _ in identities) == sorted(taken)
    assert len({identity for _, identity, _ in identities}) == len(taken)
    assert sorted(seq for _, _, seq in identities) == list(range(1, len(taken) + 1))


def delays_s(edge: Edge, taken: dict[str, float]) -> dict[str, float]:
    """From each picture's taking until its message was published, in seconds."""
    return {name: edge.published_s[name] - taken_s for name, taken_s in taken.items()}
