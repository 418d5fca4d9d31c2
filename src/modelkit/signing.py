"""A manifest and a private key -> a signature that the device verifies. The only importer of cryptography.

The private key is a PEM file, or one that never leaves AWS KMS (``modelkit.kms``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from inspector.core.public_key import parse_public_key
from inspector.shell.package import is_signature

BITS = (3072, 4096)
PRIVATE, PUBLIC = "private.pem", "public.pem"
KMS = "kms:"


class SigningError(Exception):
    """A key cannot be made, read or used; says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """A private key that can be used, wherever it is."""

    public_pem: str
    """As the setting PublicKey takes it."""
    use: Callable[[bytes], bytes]
    """Document -> RSASSA-PSS with SHA-256 and a salt of 32 bytes."""


def open_key(name: str) -> Key:
    """The key in a PEM file, or ``kms:`` and the key's alias, id or ARN. Raises SigningError, and OSError."""
    if name.startswith(KMS):
        from modelkit import kms

        return kms.open_key(name.removeprefix(KMS))
    return _read(Path(name))


def sign(document: bytes, key: Key) -> bytes:
    """The signature of a document, with which the device's own verifier agrees. Raises SigningError."""
    signature = key.use(document)
    try:
        if is_signature(signature, document, key.public_pem):
            return signature
        reason = "its public key does not verify what it signed"
    except (ValueError, RuntimeError) as error:
        reason = str(error)
    raise SigningError(f"the device would refuse a signature by this key: {reason}; take another")


def make_keys(directory: Path, bits: int) -> None:
    """Write a new ``private.pem``, for its owner alone, and ``public.pem``. Raises SigningError where one is."""
    for name in (PRIVATE, PUBLIC):
        if (directory / name).exists():
            raise SigningError(f"{directory / name} is there already; a new key goes into another directory")
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    directory.mkdir(parents=True, exist_ok=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(directory / PRIVATE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    write_public_key(directory, public_pem(key.public_key()))


def write_public_key(directory: Path, pem: str) -> None:
    """Write ``public.pem``. Raises SigningError where another one is there."""
    path = directory / PUBLIC
    if path.exists() and path.read_bytes() != pem.encode("ascii"):
        raise SigningError(f"{path} is there already, and another key; give another directory")
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(pem, encoding="ascii")


def read_public_key(path: Path) -> str:
    """PEM text that the device would take for PublicKey. Raises SigningError, and OSError."""
    try:
        pem = path.read_text(encoding="ascii")
        parse_public_key(pem)
    except ValueError as error:
        raise SigningError(
            f"{path} is no public key: {error}; modelkit keygen makes one, {PUBLIC}"
        ) from error
    return pem


def public_pem(key: rsa.RSAPublicKey) -> str:
    """``BEGIN PUBLIC KEY`` …"""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode("ascii")


def _read(path: Path) -> Key:
    fix = "give the private key of modelkit keygen"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except TypeError as error:
        raise SigningError(f"{path} is encrypted; decrypt it, or keep the key in AWS KMS") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path} is no private key in PEM form; {fix}") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SigningError(f"{path} is no RSA key; {fix}")
    return Key(public_pem(key.public_key()), lambda document: _sign(key, document))


def _sign(key: rsa.RSAPrivateKey, document: bytes) -> bytes:
    salted = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    return key.sign(document, salted, SHA256())
