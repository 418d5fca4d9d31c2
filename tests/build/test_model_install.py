"""The model component's installer: verified, whole, moved in one step, with the package before for a rollback."""

import errno
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_package import MODELS, make_package, run_install
from small_disk import small_disk


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


def test_what_was_signed_anew_lies_beside_what_is_in_use(tmp_path: Path, work: Path) -> None:
    """Until the link is moved ``current`` leads to a whole package."""
    package = make_package(tmp_path / "artifact")
    for signature in (b"by one key", b"by another key"):
        (package / "manifest.sig").write_bytes(signature)
        assert run_install(package, work).returncode == 0
    first, second = sorted(
        (work / name for name in entries(work) - {"current"}), key=lambda path: path.stat().st_mtime_ns
    )
    assert (first / "manifest.sig").read_bytes() == b"by one key"
    assert (work / "current").resolve() == second


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


def say_used(inspector: Path, **used: str) -> None:
    """What an inspector writes of the packages that it judges with."""
    inspector.mkdir(exist_ok=True)
    status = {"in_use": None, "before": None} | {name: {"path": path} for name, path in used.items()}
    (inspector / "model-status.json").write_text(json.dumps(status))


def test_what_the_inspector_judges_with_is_never_removed(tmp_path: Path, work: Path) -> None:
    """Versions that it refused may follow each other: the one in use stays, and the one it would go back to."""
    inspector = tmp_path / "inspector"
    for version in ("1.0.0", "2.0.0"):
        run_install(make_package(tmp_path / version, version), work, inspector)
    one, two = (path for path in sorted(work.iterdir()) if path.name != "current")
    say_used(inspector, in_use=str(two), before=str(one))
    for version in ("3.0.0", "4.0.0", "5.0.0"):
        done = run_install(make_package(tmp_path / version, version), work, inspector)
        assert done.returncode == 0, done.stderr
    versions = {name.split("-")[0] for name in entries(work)}
    assert versions == {"current", "1.0.0", "2.0.0", "4.0.0", "5.0.0"}
    say_used(inspector, in_use=str((work / "current").resolve()))
    run_install(make_package(tmp_path / "6.0.0", "6.0.0"), work, inspector)
    assert {name.split("-")[0] for name in entries(work)} == {"current", "5.0.0", "6.0.0"}


@pytest.mark.parametrize("content", ["", "[]", '{"in_use": 1}', '{"in_use": {}, "before": null}'])
def test_where_it_cannot_be_told_what_is_in_use_nothing_is_removed(
    tmp_path: Path, work: Path, content: str
) -> None:
    inspector = tmp_path / "inspector"
    inspector.mkdir()
    (inspector / "model-status.json").write_text(content)
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        done = run_install(make_package(tmp_path / version, version), work, inspector)
        assert done.returncode == 0 and "removing nothing" in done.stdout
    assert len(entries(work)) == 4


def test_a_full_disk_is_said_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """With how much is needed; the package in use goes on, and once there is room the next try succeeds."""
    small, large = (
        make_package(tmp_path / "small"),
        make_package(tmp_path / "large", "2.0.0", b"x" * 3_000_000),
    )
    installer = runpy.run_path(str(MODELS / "install.py"))
    with small_disk(tmp_path / "disk", megabytes=5) as disk:
        work = disk.path / "work"
        work.mkdir()
        in_use = installer["install"](small, work)
        before = entries(work)
        disk.fill(free_bytes=2_000_000)
        with pytest.raises(OSError, match=r"No space left on device: 3\.0 MB are needed"):
            installer["install"](large, work)
        assert ((work / "current").resolve(), entries(work)) == (in_use.resolve(), before)
        disk.clear()
        assert installer["install"](large, work).name.startswith("2.0.0")


def test_a_disk_that_fills_while_it_is_written_to_is_said_too(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others write there as well. What to do stands in the message; nothing of the copy stays."""
    installer = runpy.run_path(str(MODELS / "install.py"))
    run_install(make_package(tmp_path / "small"), work)
    before, larger = entries(work), make_package(tmp_path / "larger", "2.0.0")

    def fill(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:3])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", fill)
    monkeypatch.setitem(installer["main"].__globals__, "__file__", str(larger / "install.py"))
    assert installer["main"](["--work", str(work)]) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said and "make room and redeploy com.edgeinspector.Model" in said
    assert "The model in use goes on" in said
    assert entries(work) == before
