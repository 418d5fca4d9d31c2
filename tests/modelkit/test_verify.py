"""Whatever is changed in a signed package is told by its name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.core.package import Thresholds
from modelkit.__main__ import main
from modelkit.package import draft
from modelkit.signing import make_keys, open_key
from modelkit.verify import verify
from tiny_detector import write_detector, write_picture

REDS = {"good": 0.0, "bad": 0.9}
FILES = [
    "manifest.json",
    "manifest.sig",
    "fp32.onnx",
    "int8.onnx",
    "golden/good.png",
    "golden/bad.png",
    "golden/blue-light.png",
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_keys(directory, 3072)
    return directory


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """A signed package, to copy."""
    directory = tmp_path_factory.mktemp("package")
    made = draft(
        name="tags",
        version="1.2.3",
        models={
            "fp32": write_detector(directory / "a.onnx"),
            "int8": write_detector(directory / "b.onnx", quantized=True),
        },
        candidates=[
            write_picture(directory / f"{name}.png", red, noise=number)
            for number, (name, red) in enumerate(REDS.items())
        ],
        thresholds=Thresholds(confidence=0.6, low_confidence=0.2),
    )
    made.write(directory / "package", open_key(str(keys / "private.pem")))
    return directory / "package"


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "package"))


@pytest.fixture(scope="module")
def public(keys: Path) -> str:
    return (keys / "public.pem").read_text()


def test_these_are_all_its_files(original: Path, public: str) -> None:
    assert sorted(p.relative_to(original).as_posix() for p in original.rglob("*") if p.is_file()) == sorted(
        FILES
    )
    assert verify(original, public) == []


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_byte_changed_anywhere_is_told_by_the_name_of_its_file(
    original: Path, public: str, name: str, place: float, change: int
) -> None:
    content = (original / name).read_bytes()
    changed = bytearray(content)
    changed[int(place * len(content))] ^= change
    (original / name).write_bytes(changed)
    try:
        faults = verify(original, public)
    finally:
        (original / name).write_bytes(content)
    assert any(name in fault for fault in faults)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("empty", [True, False])
def test_a_file_that_is_gone_or_empty_is_told_by_its_name(
    package: Path, public: str, name: str, empty: bool
) -> None:
    (package / name).unlink()
    if empty:
        (package / name).touch()
    assert any(name in fault for fault in verify(package, public))


def test_a_golden_picture_that_changed_is_told_once(package: Path) -> None:
    shutil.copyfile(package / "golden" / "good.png", package / "golden" / "bad.png")
    (fault,) = verify(package)
    assert fault.startswith("golden/bad.png has SHA-256 ")


def put_in(package: Path, name: str, content: bytes) -> None:
    """Replace a golden picture, its SHA-256 in the manifest too."""
    digest = hashlib.sha256((package / name).read_bytes()).hexdigest()
    manifest = (package / "manifest.json").read_text()
    (package / name).write_bytes(content)
    (package / "manifest.json").write_text(manifest.replace(digest, hashlib.sha256(content).hexdigest()))


def test_a_picture_that_is_judged_otherwise_is_told_of_each_file(package: Path) -> None:
    put_in(package, "golden/bad.png", (package / "golden" / "good.png").read_bytes())
    assert verify(package) == [
        "fp32.onnx on golden/bad.png: 0 detections, expected 1",
        "int8.onnx on golden/bad.png: 0 detections, expected 1",
    ]


def test_swapped_channels_fail_the_golden_pictures(package: Path) -> None:
    lit = package / "golden" / "blue-light.png"
    swapped = np.ascontiguousarray(cv2.imread(str(lit))[..., ::-1])
    put_in(package, "golden/blue-light.png", cv2.imencode(".png", swapped)[1].tobytes())
    assert [fault.partition(":")[0] for fault in verify(package)] == [
        "fp32.onnx on golden/blue-light.png",
        "int8.onnx on golden/blue-light.png",
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema": "other/1"}', b"\xff", b"[" * 100_000])
def test_a_broken_manifest_is_told(package: Path, content: bytes) -> None:
    (package / "manifest.json").write_bytes(content)
    (fault,) = verify(package)
    assert fault.startswith("manifest.json")


def test_what_the_device_would_refuse_is_told(package: Path) -> None:
    """A picture that is a link: it may lead anywhere."""
    picture = package / "golden" / "good.png"
    picture.rename(package / "elsewhere.png")
    picture.symlink_to("../elsewhere.png")
    (fault,) = verify(package)
    assert fault.startswith("golden/good.png: ")


def test_the_command_says_that_a_signature_was_refused(package: Path, keys: Path, capsys) -> None:
    (package / "manifest.sig").unlink()
    assert main(["verify", str(package), "--public-key", str(keys / "public.pem"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["signature"] == "refused"


def test_a_directory_that_is_none_is_told(tmp_path: Path) -> None:
    (fault,) = verify(tmp_path / "nowhere")
    assert "manifest.json" in fault


def test_another_key_is_told_once(package: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "other", 3072)
    (fault,) = verify(package, (tmp_path / "other" / "public.pem").read_text())
    assert "manifest.sig is no signature of manifest.json that PublicKey verifies" in fault


def test_the_command_tells_what_was_checked(
    package: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = ["verify", str(package), "--public-key", str(keys / "public.pem")]
    assert main(["verify", str(package)]) == 0
    assert "signature not checked, for want of --public-key" in capsys.readouterr().out
    assert main(signed) == 0
    assert "signature checked" in capsys.readouterr().out
    (package / "manifest.sig").unlink()
    assert main(["verify", str(package)]) == 0
    assert "signature none" in capsys.readouterr().out
    assert main(signed) == 1
    assert "it has no manifest.sig" in capsys.readouterr().err


def test_for_machines_it_prints_one_object(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(package), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
    (package / "int8.onnx").write_bytes(b"other")
    assert main(["verify", str(package), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["package"] == str(package)
    assert said["signature"] == "not checked, for want of --public-key"
    assert "int8.onnx has 5 bytes" in said["faults"][0]


def test_a_key_that_is_none_is_told(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(package), "--public-key", str(package / "manifest.sig")]) == 1
    assert "manifest.sig is no public key" in capsys.readouterr().err
