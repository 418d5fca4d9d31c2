"""The last valid configuration, kept on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from inspector.core.settings import parse
from inspector.shell import last_valid
from inspector.shell.last_valid import NAME, keep, recall

CONFIGURATION: dict[str, Any] = {
    "ConfidenceThreshold": "0.7",
    "ClassThresholds": {"scratch": {"ConfidenceThreshold": 0.6}},
    "ignorepattern": "größe|\ud800",  # JSON may spell half a character, which is no UTF-8
    "accessControl": {"aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}}},
}


def test_what_was_kept_is_recalled(tmp_path: Path) -> None:
    """The settings are those of the configuration that was kept last; nothing else is left in the directory."""
    keep(tmp_path, {"MaxDetections": 5})
    keep(tmp_path, CONFIGURATION)
    assert recall(tmp_path) == parse(CONFIGURATION)[0]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).stat().st_mode & 0o777 & ~0o640 == 0


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    """A start with the same configuration costs no write, in whatever order its keys come."""
    keep(tmp_path, CONFIGURATION)
    before = (tmp_path / NAME).stat()
    keep(tmp_path, dict(reversed(CONFIGURATION.items())))
    assert (tmp_path / NAME).stat() == before


def test_where_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A new device has none, and nothing is wrong with that."""
    assert recall(tmp_path) is None
    assert caplog.records == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"MaxDetections": "many"}',
        b"[" * 100_000,
        b'{"MaxDetections": ' + b"9" * 5_000,
    ],
    ids=["empty", "cut", "list", "binary", "invalid", "deep", "long"],
)
def test_one_that_cannot_be_used_is_said_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Damaged, or written by a version that allowed other settings: the log names file, cause and meaning."""
    (tmp_path / NAME).write_bytes(content)
    assert recall(tmp_path) is None
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "last valid configuration ignored")
    assert record.path == tmp_path / NAME  # type: ignore[attr-defined]
    assert record.cause and record.fix  # type: ignore[attr-defined]


def test_one_that_cannot_be_written_is_said_and_leaves_no_older_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the component goes on; what would be recalled later would not be the last valid one."""

    def fail(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    keep(tmp_path, {"MaxDetections": 5})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        keep(tmp_path, CONFIGURATION)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "last valid configuration not kept")
    assert "No space left" in record.cause  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
    assert last_valid.recall(tmp_path) is None
