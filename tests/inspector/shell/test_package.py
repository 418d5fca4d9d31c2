"""A package is verified before ONNX Runtime sees a byte of it, and what was verified is what is loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from inspector.core.settings import Settings
from inspector.shell import package as module
from inspector.shell.detector import load
from inspector.shell.greengrass import Greengrass
from inspector.shell.package import PackageError, Trust
from inspector.works import Works
from inspector_fakes import eventually
from onnx_bytes import PLACES, WEIGHTS, tensor
from signing import KeyPair

MODELS = Path(__file__).parents[3] / "models"
Session = onnxruntime.InferenceSession


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return KeyPair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return KeyPair(tmp_path_factory.mktemp("other-keys"))


@pytest.fixture
def signed(tmp_path: Path, keys: KeyPair) -> Path:
    """A signed copy of the shipped package, which a test may spoil."""
    shutil.copytree(MODELS, tmp_path / "package")
    keys.sign(tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Whatever is handed to ONNX Runtime."""
    contents: list[bytes] = []

    def record(content: bytes, *arguments: Any, **options: Any) -> Session:
        contents.append(content)
        return Session(content, *arguments, **options)

    monkeypatch.setattr("onnxruntime.InferenceSession", record)
    return contents


def change(package: Path, **changes: object) -> None:
    """Change what the manifest says of the model file."""
    document = json.loads((package / "manifest.json").read_bytes())
    document["files"][0] |= changes
    (package / "manifest.json").write_text(json.dumps(document))


def required(keys: KeyPair) -> Trust:
    return Trust(keys.public, is_required=True)


def test_a_signed_package_is_loaded(signed: Path, keys: KeyPair, seen: list[bytes]) -> None:
    """Signed with openssl as the documentation says; also through the symlink that a deployment moves."""
    (signed.parent / "current").symlink_to(signed.name)
    assert load(signed.parent / "current", trust=required(keys)).info.version
    assert seen == [(signed / "fp32.onnx").read_bytes()]


def other_key(package: Path, other: KeyPair) -> None:
    other.sign(package)


def missing(package: Path, _: KeyPair) -> None:
    (package / "manifest.sig").unlink()


def empty(package: Path, _: KeyPair) -> None:
    (package / "manifest.sig").write_bytes(b"")


def garbage(package: Path, _: KeyPair) -> None:
    (package / "manifest.sig").write_bytes(b"\xff" * 256)


def huge(package: Path, _: KeyPair) -> None:
    os.truncate(package / "manifest.sig", 10_000_000_000)


def changed_manifest(package: Path, _: KeyPair) -> None:
    change(package, made_by="somebody else")


def changed_model(package: Path, _: KeyPair) -> None:
    content = bytearray((package / "fp32.onnx").read_bytes())
    content[-1] ^= 1
    (package / "fp32.onnx").write_bytes(content)


def changed_model_and_manifest(package: Path, _: KeyPair) -> None:
    changed_model(package, _)
    change(package, sha256=sha256((package / "fp32.onnx").read_bytes()).hexdigest())


NOT_VERIFIED = "manifest.sig is no signature of manifest.json that PublicKey verifies; sign manifest.json"


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (missing, "RequireSignature is set, and it has no manifest.sig; sign manifest.json"),
        (empty, "manifest.sig has 0 bytes"),
        (garbage, NOT_VERIFIED),
        (huge, "manifest.sig has 10000000000 bytes, not 1 to 4096"),
        (other_key, NOT_VERIFIED),
        (changed_manifest, NOT_VERIFIED),
        (changed_model_and_manifest, NOT_VERIFIED),
        (changed_model, "fp32.onnx has SHA-256"),
    ],
)
def test_nothing_unverified_is_loaded(
    signed: Path,
    keys: KeyPair,
    other_keys: KeyPair,
    seen: list[bytes],
    spoil: Callable[[Path, KeyPair], None],
    cause: str,
) -> None:
    """With RequireSignature, whoever has not the private key can change nothing unseen."""
    spoil(signed, other_keys)
    with pytest.raises(PackageError, match=cause):
        load(signed, trust=required(keys))
    assert seen == []


@pytest.mark.parametrize("salt", ["max", "20", "0"])
def test_a_salt_of_another_length_is_refused(
    signed: Path, keys: KeyPair, seen: list[bytes], salt: str
) -> None:
    """OpenSSL's default, the longest salt, is none that is verified: the documentation says which."""
    keys.sign(signed, salt=salt)
    with pytest.raises(PackageError, match=NOT_VERIFIED):
        load(signed, trust=required(keys))
    assert seen == []


def test_a_wrong_signature_is_refused_also_where_none_is_required(
    signed: Path, other_keys: KeyPair, seen: list[bytes]
) -> None:
    """Who has set a key wants to know of a signature that is not its; without a key nobody can tell."""
    with pytest.raises(PackageError, match=NOT_VERIFIED):
        load(signed, trust=Trust(other_keys.public))
    assert seen == []
    load(signed)
    missing(signed, other_keys)
    load(signed, trust=Trust(other_keys.public))


def test_a_key_that_is_none_is_told_apart_from_a_bad_package(signed: Path, seen: list[bytes]) -> None:
    """Settings refuse it before; whoever loads a package without them is told what to mend."""
    with pytest.raises(
        PackageError, match=r"PublicKey cannot verify it: it is no PEM text.*; mend PublicKey"
    ):
        load(signed, trust=Trust("garbage", is_required=True))
    assert seen == []


def test_a_single_file_is_refused_where_a_signature_is_required(keys: KeyPair, seen: list[bytes]) -> None:
    with pytest.raises(
        PackageError, match=r"fp32\.onnx refused: .* a single file has no signature; make a package"
    ):
        load(MODELS / "fp32.onnx", trust=required(keys))
    assert seen == []


def test_each_file_is_read_once(signed: Path, keys: KeyPair, seen: list[bytes], monkeypatch: Any) -> None:
    """What is exchanged after it was read is not loaded: the bytes that were verified are the bytes in use."""
    read, original = module.open_regular, (signed / "fp32.onnx").read_bytes()
    opened: list[str] = []

    def exchange(path: Path) -> int:
        descriptor = read(path)
        opened.append(path.name)
        path.rename(path.with_name("moved"))
        path.write_bytes(b"another")
        return descriptor

    monkeypatch.setattr(module, "open_regular", exchange)
    load(signed, trust=required(keys))
    assert opened == ["manifest.json", "manifest.sig", "fp32.onnx"]
    assert seen == [original]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "fp32.onnx"])
def test_a_file_that_is_a_symlink_is_refused(
    signed: Path, keys: KeyPair, seen: list[bytes], name: str
) -> None:
    """Whatever it leads to, be it the same content."""
    (signed / name).rename(signed.parent / name)
    (signed / name).symlink_to(signed.parent / name)
    with pytest.raises(PackageError, match=rf"{name}.*(symbolic links|symlink)"):
        load(signed, trust=required(keys))
    assert seen == []


def test_a_directory_in_the_package_that_is_a_symlink_is_refused(signed: Path, seen: list[bytes]) -> None:
    (signed.parent / "elsewhere").mkdir()
    (signed / "fp32.onnx").rename(signed.parent / "elsewhere" / "fp32.onnx")
    (signed / "weights").symlink_to(signed.parent / "elsewhere")
    change(signed, name="weights/fp32.onnx")
    with pytest.raises(PackageError, match="weights: it lies behind a symlink"):
        load(signed)
    assert seen == []


def test_a_fifo_is_not_waited_for(signed: Path, seen: list[bytes]) -> None:
    (signed / "fp32.onnx").unlink()
    os.mkfifo(signed / "fp32.onnx")
    with pytest.raises(PackageError, match="not a regular file"):
        load(signed)
    assert seen == []


@pytest.mark.parametrize(
    ("name", "limit"), [("manifest.json", module.MAX_MANIFEST_BYTES), ("fp32.onnx", module.MAX_MODEL_BYTES)]
)
def test_what_is_too_large_is_not_read(
    signed: Path, seen: list[bytes], monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    """A sparse file of a terabyte costs no memory: its size is looked at first."""
    os.truncate(signed / name, 1_000_000_000_000)
    with pytest.raises(PackageError, match=rf"{name} has 1000000000000 bytes, not 1 to {limit}"):
        load(signed)
    assert seen == []


def test_the_size_in_the_manifest_counts(signed: Path, seen: list[bytes]) -> None:
    change(signed, bytes=1)
    with pytest.raises(PackageError, match=r"fp32\.onnx has \d+ bytes, manifest.json says 1"):
        load(signed)
    assert seen == []


def package_of(directory: Path, content: bytes) -> Path:
    """A package whose manifest agrees with the content of its model file."""
    shutil.copytree(MODELS, directory)
    (directory / "fp32.onnx").write_bytes(content)
    change(directory, bytes=len(content), sha256=sha256(content).hexdigest())
    return directory


def infer(content: bytes) -> list[float]:
    """What ONNX Runtime makes of a model of ours, as the detector would load it: from its bytes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = Session(content, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": np.zeros(4, np.float32)})[0])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["w.bin", "images/w.bin", "../w.bin", "/w.bin"])
def test_data_in_another_file_is_refused(
    tmp_path: Path,
    seen: list[bytes],
    place: Callable[[bytes], bytes],
    location: str,
) -> None:
    """In whatever part of the model it hides, within the package or without."""
    content = place(tensor(location=location))
    (tmp_path / "single.onnx").write_bytes(content)
    for path in (package_of(tmp_path / "package", content), tmp_path / "single.onnx"):
        with pytest.raises(PackageError, match=r"refers to data in other files .*; export it as one file"):
            load(path)
    assert seen == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_without_that_check_onnx_runtime_would_read_where_images_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[bytes], bytes], length: int
) -> None:
    """Why it is needed: ONNX Runtime starts from the working directory; and it bears longer forms of a number."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "w.bin").write_bytes(WEIGHTS)
    monkeypatch.chdir(tmp_path)
    content = place(tensor(location="images/w.bin", length=length))
    assert infer(content) == [1, 2, 3, 4] == infer(place(tensor()))
    with pytest.raises(PackageError, match="other files"):
        module._refuse_external_data(tmp_path, content)


@pytest.mark.parametrize("place", PLACES)
def test_by_no_other_key_does_onnx_runtime_find_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[bytes], bytes]
) -> None:
    """What the check rests on: only the string ``location``, of eight bytes, tells where data is."""
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    monkeypatch.chdir(tmp_path)
    for key in ("Location", "location\0", "locatio", "path", ""):
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            infer(place(tensor(location="w.bin", key=key)))


def test_no_other_length_stands_for_eight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits beyond the thirty-second are no way round it."""
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    monkeypatch.chdir(tmp_path)
    content = PLACES[0](tensor(location="w.bin", length=5))
    eight = b"\x88\x80\x80\x80\x00location"
    assert content.count(eight) == 1
    for last in range(1, 256):
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            infer(content.replace(eight, b"\x88\x80\x80\x80" + bytes([last]) + b"location"))


def test_a_word_that_merely_contains_it_is_none_of_that(tmp_path: Path) -> None:
    """A class may be called dislocation, or a metal's location."""
    module._refuse_external_data(tmp_path, b"names{0: 'dislocation', 1: 'location', 2: 'a location'}")


HOSTILE = {
    "empty field": b"\x3a\x00",
    "huge length": b"\x3a\xff\xff\xff\xff\x07",
    "negative length": b"\x3a" + b"\xff" * 9 + b"\x01",
    "endless varint": b"\x80" * 100_000,
    "groups": b"\x0b" * 100_000,
    "nested": b"",
    "another format": b"\x18\x00\x00\x00ORTM" + b"\x00" * 1_000,
    "truncated": PLACES[2](tensor())[:-7],
}
for _ in range(2_000):
    HOSTILE["nested"] = b"\x3a" + bytes([len(HOSTILE["nested"]) & 0x7F]) + HOSTILE["nested"]


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever its manifest says of it."""
    with pytest.raises(PackageError, match="ONNX Runtime cannot load it"):
        load(package_of(tmp_path / "package", content))


def test_another_format_of_onnx_runtime_is_refused(tmp_path: Path) -> None:
    """Its own, a flatbuffer, in which nobody looked for external data; it would be told by some bytes."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    Session(PLACES[0](tensor()), options, providers=["CPUExecutionProvider"])
    assert infer((tmp_path / "model.ort").read_bytes()) == [1, 2, 3, 4]
    with pytest.raises(PackageError, match="ONNX Runtime cannot load it"):
        load(tmp_path / "model.ort")


def test_a_hostile_manifest_is_refused(signed: Path) -> None:
    """Nested as deeply as its size allows."""
    (signed / "manifest.json").write_bytes(b"[" * 1_000_000)
    (signed / "manifest.sig").unlink()
    with pytest.raises(PackageError, match=r"manifest\.json: "):
        load(signed)


def test_a_change_of_the_settings_verifies_the_running_package_again(
    signed: Path, keys: KeyPair, other_keys: KeyPair, tmp_path: Path
) -> None:
    """RequireSignature and PublicKey take effect at once, not with the next model."""
    works = Works(tmp_path, "line-3", Greengrass(lambda _: None), lambda _: None, lambda _: None)

    def apply(**settings: Any) -> None:
        """As the component does, where settings change; return once there is a model, or none will be."""
        works.close()

        def is_settled() -> bool:
            works.complete(Settings(model_directory="package", **settings))
            return works.models is not None and not works.models.is_preparing

        eventually(is_settled)

    try:
        apply(public_key=keys.public)
        apply(public_key=keys.public, require_signature=True)
        assert works.models and works.models.in_use
        with pytest.raises(PackageError, match="is no signature of"):
            apply(public_key=other_keys.public, require_signature=True)
        assert works.models.in_use is None
    finally:
        works.end()
