"""The model component's installer: verified, whole, moved in one step, with the package before for a rollback."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).parents[2] / "models"


def make_package(directory: Path, version: str = "1.0.0", model: bytes = b"model") -> Path:
    """A package as it lies unpacked on the device, small; returns its directory."""
    (directory / "golden").mkdir(parents=True)
    shutil.copyfile(MODELS / "install.py", directory / "install.py")
    (directory / "fp32.onnx").write_bytes(model)
    (directory / "golden" / "one.jpg").write_bytes(b"picture")
    picture = {"image": "golden/one.jpg", "sha256": hashlib.sha256(b"picture").hexdigest(), "detections": []}
    file = {"name": "fp32.onnx", "sha256": hashlib.sha256(model).hexdigest(), "golden": [picture]}
    (directory / "manifest.json").write_text(json.dumps({"version": version, "files": [file]}))
    return directory


def run_install(package: Path, work: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(package / "install.py"), "--work", str(work)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rewrite(package: Path, **changes: Any) -> None:
    """Change the manifest's only file entry."""
    manifest = json.loads((package / "manifest.json").read_text())
    manifest["files"][0].update(changes)
    (package / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work dir"
    directory.mkdir()
    return directory


def entries(work: Path) -> set[str]:
    return {path.name for path in work.iterdir()}


def test_current_leads_to_a_whole_copy(tmp_path: Path, work: Path) -> None:
    done = run_install(make_package(tmp_path / "artifact"), work)
    assert done.returncode == 0, done.stderr
    current = work / "current"
    assert current.is_symlink()
    assert current.resolve().name.startswith("1.0.0-")
    found = {path.relative_to(current).as_posix() for path in current.rglob("*") if path.is_file()}
    assert found == {"manifest.json", "fp32.onnx", "golden/one.jpg"}


def test_a_signature_goes_along(tmp_path: Path, work: Path) -> None:
    """With the package, and anew where the same package was signed anew or is no longer signed."""
    package = make_package(tmp_path / "artifact")
    for signature in (b"by one key", b"by another key", None):
        (package / "manifest.sig").unlink(missing_ok=True)
        if signature:
            (package / "manifest.sig").write_bytes(signature)
        assert run_install(package, work).returncode == 0
        copied = work / "current" / "manifest.sig"
        assert (copied.read_bytes() if copied.exists() else None) == signature


def test_the_shipped_package_installs(work: Path, tmp_path: Path) -> None:
    package = shutil.copytree(MODELS, tmp_path / "artifact")
    assert run_install(package, work).returncode == 0
    assert (work / "current" / "fp32.onnx").read_bytes() == (MODELS / "fp32.onnx").read_bytes()


def test_installing_again_changes_nothing(tmp_path: Path, work: Path) -> None:
    package = make_package(tmp_path / "artifact")
    run_install(package, work)
    before = (work / "current" / "fp32.onnx").stat()
    assert run_install(package, work).returncode == 0
    after = (work / "current" / "fp32.onnx").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(entries(work)) == 2


def test_only_the_package_used_before_stays(tmp_path: Path, work: Path) -> None:
    packages = {each: make_package(tmp_path / each, each) for each in ("1.0.0", "2.0.0", "3.0.0")}
    for version in ("1.0.0", "2.0.0", "1.0.0", "3.0.0"):  # the third is a rollback
        assert run_install(packages[version], work).returncode == 0
        assert (work / "current").resolve().name.startswith(version)
    assert {name.split("-")[0] for name in entries(work)} == {"current", "1.0.0", "3.0.0"}


def test_a_changed_byte_is_refused_and_the_model_in_use_stays(tmp_path: Path, work: Path) -> None:
    run_install(make_package(tmp_path / "good"), work)
    in_use = (work / "current").resolve()
    tampered = make_package(tmp_path / "tampered", "2.0.0")
    (tampered / "fp32.onnx").write_bytes(b"modem")
    failed = run_install(tampered, work)
    assert failed.returncode == 1
    assert "fp32.onnx has SHA-256" in failed.stderr
    assert "redeploy com.edgeinspector.Model" in failed.stderr
    assert (work / "current").resolve() == in_use
    assert len(entries(work)) == 2


@pytest.mark.parametrize("name", ["fp32.onnx", "golden/one.jpg"])
def test_a_missing_file_is_named(tmp_path: Path, work: Path, name: str) -> None:
    package = make_package(tmp_path / "artifact")
    (package / name).unlink()
    failed = run_install(package, work)
    assert failed.returncode == 1
    assert f"{name} is missing" in failed.stderr
    assert entries(work) == set()


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "golden/../../outside"])
def test_a_file_outside_the_package_is_refused(tmp_path: Path, work: Path, name: str) -> None:
    package = make_package(tmp_path / "artifact")
    (tmp_path / "outside").write_bytes(b"model")
    rewrite(package, name=name)
    failed = run_install(package, work)
    assert failed.returncode == 1
    assert "lies outside the package" in failed.stderr


def test_a_link_out_of_the_package_is_refused(tmp_path: Path, work: Path) -> None:
    package = make_package(tmp_path / "artifact")
    (tmp_path / "outside").write_bytes(b"model")
    (package / "fp32.onnx").unlink()
    (package / "fp32.onnx").symlink_to(tmp_path / "outside")
    assert run_install(package, work).returncode == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": "1.0.0"}', '{"version": "1", "files": [{}]}']
)
def test_a_broken_manifest_is_said(tmp_path: Path, work: Path, content: str) -> None:
    package = make_package(tmp_path / "artifact")
    (package / "manifest.json").write_text(content)
    failed = run_install(package, work)
    assert failed.returncode == 1
    assert "manifest.json cannot be read" in failed.stderr


def test_a_damaged_copy_is_replaced(tmp_path: Path, work: Path) -> None:
    package = make_package(tmp_path / "artifact")
    run_install(package, work)
    (work / "current" / "fp32.onnx").write_bytes(b"rot")
    assert run_install(package, work).returncode == 0
    assert (work / "current" / "fp32.onnx").read_bytes() == b"model"


def test_what_a_power_cut_left_is_cleared(tmp_path: Path, work: Path) -> None:
    (work / ".0.9.0-abc.partial").mkdir()
    (work / ".current.new").symlink_to("0.9.0-abc")
    assert run_install(make_package(tmp_path / "artifact"), work).returncode == 0
    assert {name.split("-")[0] for name in entries(work)} == {"current", "1.0.0"}


def test_something_in_the_way_of_the_link_is_named(tmp_path: Path, work: Path) -> None:
    (work / "current").mkdir()
    failed = run_install(make_package(tmp_path / "artifact"), work)
    assert failed.returncode == 1
    assert "is in the way" in failed.stderr


def test_other_things_in_the_work_directory_are_left_alone(tmp_path: Path, work: Path) -> None:
    (work / "notes").mkdir()
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        run_install(make_package(tmp_path / version, version), work)
    assert (work / "notes").is_dir()
