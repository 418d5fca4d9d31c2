"""A model package on disk -> what is verified of it, in memory. The only importer of awscrt.crypto.

1. The signature is checked over the manifest, then the hash of the file that the manifest names; only what passes
   is returned, so that ONNX Runtime, and the decoder of golden pictures, see no byte of anything else.
2. Each file is read once, and what was read is what was verified: nothing is opened again by its name.
3. The package may be reached by a symlink; its files are regular ones, of a limited size, which is looked at before
   they are read.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from awscrt.crypto import RSA, RSASignatureAlgorithm

from inspector.core.package import SIGNATURE, Golden, Manifest, ModelFile, Precision, parse_manifest
from inspector.core.public_key import parse_public_key
from inspector.ports import Blocked
from inspector.shell.files import open_regular

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4_000_000
MAX_SIGNATURE_BYTES = 4_096
MAX_MODEL_BYTES = 500_000_000
MAX_GOLDEN_BYTES = 50_000_000
_REDEPLOY = "redeploy com.edgeinspector.Model"
_SIGN = "sign manifest.json with the private key that belongs to PublicKey, and deploy the package again"

# By such a key, and no other, a tensor tells where the file with its data lies (ExternalDataInfo::Create of ONNX
# Runtime). In a protobuf a string is preceded by its length, 8, of which a longer form ends in a zero.
_EXTERNAL = (b"\x08location", b"\x00location")


class PackageError(Blocked):
    """The model package cannot be used; says which, why and what to do."""

    def __init__(self, path: Path, cause: str, fix: str, *, is_passing: bool = False) -> None:
        super().__init__(f"model package {path} refused", cause, fix)
        self.cause = cause.encode("utf-8", "backslashreplace").decode()
        self.fix = fix
        self.is_passing = is_passing
        """Whether the cause may pass by itself: it lies in the machine, not in the package."""

    @classmethod
    def unreadable(cls, path: Path, error: OSError) -> PackageError:
        """A file of it cannot be read."""
        cause = f"{error.filename or 'a file'}: {error.strerror or error}"
        is_passing = error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        return cls(
            path, cause, "deploy com.edgeinspector.Model or mend ModelDirectory", is_passing=is_passing
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """What makes a package one of ours. ``public_key`` is PEM; a signature that is there must be its, in any case."""

    public_key: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """A verified manifest, one of the files it names, and that file's verified content."""

    manifest: Manifest
    file: ModelFile
    content: bytes


def read_manifest(directory: Path, trust: Trust) -> Manifest:
    """Read and verify the manifest alone. Raises PackageError, and OSError."""
    document = _read(directory / MANIFEST, directory, MAX_MANIFEST_BYTES)
    _verify_signature(directory, document, trust)
    return _parse(directory, document)


def read_package(directory: Path, precision: Precision, trust: Trust) -> Package:
    """Read and verify the manifest and the file of a precision. Raises PackageError, and OSError."""
    manifest = read_manifest(directory, trust)
    file = _choose(directory, manifest, precision)
    content = _read(directory / file.name, directory, MAX_MODEL_BYTES)
    if len(content) != file.bytes:
        cause = f"{file.name} has {len(content)} bytes, {MANIFEST} says {file.bytes}"
        raise PackageError(directory, cause, _REDEPLOY)
    _verify_hash(directory, file.name, content, file.sha256)
    _refuse_external_data(directory / file.name, content)
    return Package(manifest, file, content)


def read_golden(directory: Path, golden: Golden) -> bytes:
    """Read and verify a golden picture, not decoded. Raises PackageError, and OSError."""
    content = _read(directory / golden.image, directory, MAX_GOLDEN_BYTES)
    _verify_hash(directory, golden.image, content, golden.sha256)
    return content


def _verify_hash(directory: Path, name: str, content: bytes, sha256: str) -> None:
    if (actual := hashlib.sha256(content).hexdigest()) != sha256:
        cause = f"{name} has SHA-256 {actual[:12]}…, {MANIFEST} says {sha256[:12]}…"
        raise PackageError(directory, cause, _REDEPLOY)


def read_file(path: Path, trust: Trust) -> bytes:
    """Read a single ONNX file, which nothing vouches for. Raises PackageError, and OSError."""
    if trust.is_required:
        cause = "RequireSignature is set, and a single file has no signature"
        raise PackageError(path, cause, "make a package of it (modelkit package) and sign that")
    content = _read(path, path, MAX_MODEL_BYTES)
    _refuse_external_data(path, content)
    return content


def _read(path: Path, package: Path, max_bytes: int) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        content = file.read(size_bytes + 1) if size_bytes <= max_bytes else b""
    if not 1 <= len(content) == size_bytes:
        cause = f"{path.name} has {max(size_bytes, len(content))} bytes, not 1 to {max_bytes}"
        raise PackageError(package, cause, _REDEPLOY)
    return content


def _verify_signature(directory: Path, document: bytes, trust: Trust) -> None:
    try:
        signature = _read(directory / SIGNATURE, directory, MAX_SIGNATURE_BYTES)
    except FileNotFoundError as error:
        if trust.is_required:
            cause = f"RequireSignature is set, and it has no {SIGNATURE}"
            raise PackageError(directory, cause, _SIGN) from error
        return
    if (trust.public_key or trust.is_required) and not _is_signed(directory, document, signature, trust):
        cause = f"{SIGNATURE} is no signature of {MANIFEST} that PublicKey verifies"
        raise PackageError(directory, cause, _SIGN)


def _is_signed(directory: Path, document: bytes, signature: bytes, trust: Trust) -> bool:
    try:
        return is_signature(signature, document, trust.public_key)
    except (ValueError, RuntimeError) as error:
        raise PackageError(directory, f"PublicKey cannot verify it: {error}", "mend PublicKey") from error


def is_signature(signature: bytes, document: bytes, public_key: str) -> bool:
    """Whether it is one by this key (PEM): RSASSA-PSS, SHA-256, a salt of 32 bytes (RFC 8017, section 8.1).

    Raises ValueError and RuntimeError for a key that cannot verify anything.
    """
    key = RSA.new_public_key_from_der_data(parse_public_key(public_key))
    return bool(key.verify(RSASignatureAlgorithm.PSS_SHA256, hashlib.sha256(document).digest(), signature))


def _parse(directory: Path, document: bytes) -> Manifest:
    try:
        return parse_manifest(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageError(directory, f"{MANIFEST}: {error}", _REDEPLOY) from error


def _choose(directory: Path, manifest: Manifest, precision: Precision) -> ModelFile:
    for file in manifest.files:
        if file.precision == precision:
            return file
    offered = ", ".join(file.precision for file in manifest.files)
    raise PackageError(
        directory, f"it holds no {precision} file, only {offered}", f"set Precision to {offered}"
    )


def _refuse_external_data(path: Path, content: bytes) -> None:
    """A tensor must lie in the file itself: ONNX Runtime would look for its data below the working directory, where
    images arrive, and no hash covers it, within the package no more than without."""
    if any(key in content for key in _EXTERNAL):
        cause = "it refers to data in other files (the string `location`), which nothing verifies"
        raise PackageError(path, cause, "export it as one file")
