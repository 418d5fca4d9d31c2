"""A private key in AWS KMS, which it never leaves. The only importer of boto3."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from modelkit.signing import Key, SigningError, public_pem

ALGORITHM = "RSASSA_PSS_SHA_256"
"""SHA-256 for the digest and the mask, a salt of 32 bytes: as the device verifies."""

_MAKE = "; make an asymmetric key of RSA_3072 for SIGN_VERIFY"


def open_key(key_id: str) -> Key:
    """An alias (``alias/NAME``), id or ARN of an asymmetric RSA key for signing, by boto3's usual credentials.

    Asks KMS for the public key. Raises SigningError.
    """
    pem = public_key(key_id)
    return Key(pem, lambda document: _sign(key_id, document))


def public_key(key_id: str) -> str:
    """The public half, as the setting PublicKey takes it. Raises SigningError."""
    answer = _ask("get_public_key", KeyId=key_id)
    offered = answer.get("SigningAlgorithms", ())
    if ALGORITHM not in offered:
        raise SigningError(
            f"{key_id} in KMS signs by {', '.join(offered) or 'nothing'}, not by {ALGORITHM}{_MAKE}"
        )
    key = serialization.load_der_public_key(answer["PublicKey"])
    assert isinstance(key, rsa.RSAPublicKey)  # or it could not sign so
    return public_pem(key)


def _sign(key_id: str, document: bytes) -> bytes:
    digest = hashlib.sha256(document).digest()  # KMS takes 4096 bytes at most, or a digest
    answer = _ask("sign", KeyId=key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm=ALGORITHM)
    return bytes(answer["Signature"])


def _ask(operation: str, **parameters: Any) -> dict[str, Any]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise SigningError("a key in AWS KMS needs boto3: pip install boto3") from error
    try:
        answer: dict[str, Any] = getattr(boto3.client("kms"), operation)(**parameters)
    except (BotoCoreError, ClientError) as error:
        raise SigningError(
            f"{parameters['KeyId']} in KMS cannot be used: {str(error).rstrip('.')}{_fix(error)}"
        ) from error
    return answer


def _fix(error: Any) -> str:
    kind = type(error).__name__
    code = getattr(error, "response", {}).get("Error", {}).get("Code", kind)
    return {
        "NoCredentialsError": "; run aws configure, or set AWS_PROFILE",
        "NoRegionError": "; set AWS_DEFAULT_REGION",
        "NotFoundException": "; aws kms list-aliases tells which there are in this region",
        "AccessDeniedException": "; allow kms:Sign and kms:GetPublicKey on this key",
        "UnsupportedOperationException": _MAKE,
        "DisabledException": "; enable it, or take another",
    }.get(code, "")
