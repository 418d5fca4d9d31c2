"""Brokers for the station's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosquitto_broker import PROGRAM, Mosquitto


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes brokers, not yet started; stops them."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    made: list[Mosquitto] = []

    def make(config: str = "allow_anonymous true") -> Mosquitto:
        made.append(Mosquitto(tmp_path, config))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()
