"""Brokers for the station's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mosquitto_broker import PROGRAM, Mosquitto


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes brokers, not yet started; stops them."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    with ExitStack() as stops:

        def make(config: str = "allow_anonymous true") -> Mosquitto:
            broker = Mosquitto(tmp_path, config)
            stops.callback(broker.stop)
            return broker

        yield make
