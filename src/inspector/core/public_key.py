"""An RSA public key as people have it, PEM -> as a verifier takes it, PKCS #1 DER (RFC 8017, appendix A.1.1)."""

from __future__ import annotations

import base64
import re

MIN_BITS = 2_048
_PEM = re.compile(
    r"\s*-----BEGIN (RSA )?PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END (RSA )?PUBLIC KEY-----\s*"
)
_RSA = bytes.fromhex("06092a864886f70d0101010500")
"""The algorithm rsaEncryption, without parameters (RFC 8017, appendix A.1)."""
_SEQUENCE, _INTEGER, _BITS = 0x30, 0x02, 0x03


def parse_public_key(pem: str) -> bytes:
    """The key of ``BEGIN PUBLIC KEY`` or ``BEGIN RSA PUBLIC KEY``; line breaks may have become spaces.

    Raises ValueError where it is no RSA key of 2048 bits or more.
    """
    found = _PEM.fullmatch(pem)
    if found is None:
        raise ValueError("it is no PEM text that begins with -----BEGIN PUBLIC KEY-----")
    der = base64.b64decode("".join(found[2].split()), validate=True)
    key = der if found[1] else _unwrap(der)
    modulus, _ = _take(_take(key, _SEQUENCE)[0], _INTEGER)
    if (bits := int.from_bytes(modulus, "big").bit_length()) < MIN_BITS:
        raise ValueError(f"an RSA key of {bits} bits is too short, it must have {MIN_BITS} or more")
    return key


def _unwrap(der: bytes) -> bytes:
    """What stands within a SubjectPublicKeyInfo (RFC 5280, section 4.1)."""
    algorithm, rest = _take(_take(der, _SEQUENCE)[0], _SEQUENCE)
    if algorithm != _RSA:
        raise ValueError("it is no RSA key")
    return _take(rest, _BITS)[0][1:]  # after the number of unused bits


def _take(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first value, which must have this tag, and what follows it."""
    if len(der) < 2 or der[0] != tag:
        raise ValueError("it is no RSA key, or damaged")
    extra = der[1] & 0x7F if der[1] & 0x80 else 0
    start = 2 + extra
    length = int.from_bytes(der[2:start], "big") if extra else der[1]
    if len(der) < start + length:
        raise ValueError("it is cut short")
    return der[start : start + length], der[start + length :]
