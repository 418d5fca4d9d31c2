"""A running host, and where its events go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploying import Deploying
from edgehost.profile import CLASSIC, Profile
from edgehost.thread import run_in_thread
from ipc_bench import DEADLINE_S, Bench, Inbox


@pytest.fixture
def profile() -> Profile:
    """The nucleus that ``bench`` plays: classic, unless a test is parametrized by ``profile``."""
    return CLASSIC


@pytest.fixture
def bench(tmp_path: Path, profile: Profile) -> Iterator[Bench]:
    """A host with the embedded broker, online."""
    with run_in_thread(tmp_path / "root", profile=profile, steady_s=0.5) as threaded:
        threaded.call(threaded.host.iot_core.online.wait(), DEADLINE_S)
        with ExitStack() as exit_stack:
            yield Bench(threaded, exit_stack)


@pytest.fixture
def deploy(bench: Bench, tmp_path: Path) -> Deploying:
    """Deployments to ``bench``."""
    return Deploying(bench, tmp_path)


@pytest.fixture
def inbox() -> Inbox:
    """Where a subscription's events go."""
    return Inbox()
