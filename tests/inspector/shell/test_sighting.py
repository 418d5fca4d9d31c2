"""What is there, told without loading it, and whether it is still the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.shell.package import PackageError
from inspector.shell.sighting import link_of, look


@pytest.fixture
def package(tmp_path: Path) -> Path:
    directory = tmp_path / "1.0.0-abc"
    (directory / "golden").mkdir(parents=True)
    (directory / "golden" / "a.png").write_bytes(b"picture")
    (directory / "fp32.onnx").write_bytes(b"model")
    file = {"name": "fp32.onnx", "golden": [{"image": "golden/a.png"}]}
    manifest = {"name": "tag", "version": "1.0.0", "files": [file]}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def test_what_is_seen(package: Path) -> None:
    """Through the link that a deployment moves; the same as long as nothing changes."""
    (package.parent / "current").symlink_to(package.name)
    seen = look(package.parent / "current")
    assert (seen.path, seen.name, seen.version) == (package, "tag", "1.0.0")
    assert seen == look(package)


def rewritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        (lambda package: rewritten(package / "fp32.onnx"), False),
        (lambda package: rewritten(package / "golden" / "a.png"), False),
        (lambda package: (package / "fp32.onnx").unlink(), False),
        (lambda package: (package / "manifest.sig").write_bytes(b"signed"), True),
        (lambda package: (package / "manifest.json").write_text("{}"), True),
    ],
    ids=["model", "picture", "model gone", "signature", "manifest"],
)
def test_what_changes(package: Path, change: Callable[[Path], object], is_another: bool) -> None:
    """A file, and the package may be mended; manifest or signature, and it is another package."""
    before = look(package)
    change(package)
    after = look(package)
    assert after.files != before.files
    assert (after.identity != before.identity) == is_another


def test_a_new_installation_of_the_same_changes_nothing(package: Path) -> None:
    """But the link: whoever moved it can tell."""
    link = package.parent / "current"
    link.symlink_to(package.name)
    before, link_before = look(link), link_of(link)
    os.utime(package)
    (package.parent / "fresh").symlink_to(package.name)
    (package.parent / "fresh").replace(link)
    assert look(link) == before
    assert link_of(link) != link_before


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"name": 1, "version": [], "files": {}}',
        b'{"files": [1, {"name": 2, "golden": 3}, {"name": "a\\u0000b", "golden": [4, {"image": 5}]}]}',
        b'{"files": [{"name": "' + b"x" * 5_000 + b'"}]}',
        b'{"name": "' + b"x" * 5_000 + b'", "version": "' + b"1" * 5_000 + b'"}',
    ],
)
def test_a_manifest_that_makes_no_sense_is_seen_all_the_same(package: Path, manifest: bytes) -> None:
    """What is wrong with it is for the trial to say."""
    (package / "manifest.json").write_bytes(manifest)
    seen = look(package)
    assert (seen.name, seen.version) == (None, None)
    assert seen == look(package)


def test_a_single_file(package: Path) -> None:
    """Told by what the file system says: it may be hundreds of megabytes."""
    file = package / "fp32.onnx"
    before = look(file)
    assert (before.manifest_sha256, before.name) == (None, None)
    rewritten(file)
    assert look(file).identity != before.identity


def test_nothing_there(tmp_path: Path) -> None:
    """Missing, without a manifest, links in a circle: each says what to do."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("missing", "empty", "a"):
        with pytest.raises(PackageError, match=r"deploy com\.edgeinspector\.Model or mend ModelDirectory"):
            look(tmp_path / name)
    assert link_of(tmp_path / "missing") == ""
