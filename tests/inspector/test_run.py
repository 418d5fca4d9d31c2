"""How the process ends over a frame that hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector import run
from inspector.component import Component
from inspector.pipeline import HungError


class Ended(BaseException):
    """In place of the end of the process, or of its replacement."""


@pytest.mark.parametrize(("is_told_to_stop", "end"), [(True, "_exit"), (False, "execv")])
def test_who_is_told_to_stop_does_not_start_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_told_to_stop: bool, end: str
) -> None:
    """A frame may hang just then."""

    def hang(component: Component) -> int:
        if is_told_to_stop:
            component.stop()
        raise HungError("x", "judge", 30)

    def ended(name: str) -> None:
        raise Ended(name)

    monkeypatch.setattr(Component, "run", hang)
    monkeypatch.setattr(run, "is_started_by_greengrass", lambda: True)
    monkeypatch.setattr(run.logs, "set_up", lambda level: None)
    monkeypatch.setattr(run.faulthandler, "enable", lambda: None)
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    monkeypatch.setenv("AWS_IOT_THING_NAME", "line-3")
    for name in ("_exit", "execv"):
        monkeypatch.setattr(os, name, lambda *_, name=name: ended(name))
    with pytest.raises(Ended, match=end):
        run.run(tmp_path)
