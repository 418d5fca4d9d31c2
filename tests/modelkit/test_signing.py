"""What is signed here, the device's own verifier takes; every key that it would not take is refused by name."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from inspector.shell.package import PackageError, Trust, read_package
from modelkit.__main__ import main
from modelkit.signing import SigningError, make_keys, open_key, read_public_key, sign
from signing import KeyPair, kms, make_kms_key

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_keys(directory, 3072)
    return directory


@pytest.fixture
def client() -> Any:
    with kms() as client:
        yield client


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(MODELS, tmp_path / "package")
    return tmp_path / "package"


def is_taken(package: Path, public_key: str) -> bool:
    """Whether the device reads the package where it requires a signature by this key."""
    try:
        return bool(read_package(package, "fp32", Trust(public_key, is_required=True)))
    except PackageError as error:
        assert "PublicKey verifies" in str(error)
        return False


def test_a_package_signed_by_a_new_key_is_taken_by_the_device_that_has_its_public_half(
    package: Path, keys: Path, tmp_path: Path
) -> None:
    make_keys(tmp_path / "other", 3072)
    assert main(["sign", str(package), "--key", str(keys / "private.pem")]) == 0
    assert is_taken(package, (keys / "public.pem").read_text())
    assert not is_taken(package, (tmp_path / "other" / "public.pem").read_text())


def test_a_key_of_openssl_signs_too(package: Path, tmp_path: Path) -> None:
    pair = KeyPair(tmp_path / "openssl")
    assert main(["sign", str(package), "--key", str(pair.private)]) == 0
    assert is_taken(package, pair.public)


def test_the_private_key_is_its_owners_alone(keys: Path) -> None:
    assert stat.S_IMODE((keys / "private.pem").stat().st_mode) == 0o600
    key = serialization.load_pem_private_key((keys / "private.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 3072


def test_keygen_takes_the_number_of_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--output", str(tmp_path / "new"), "--bits", "4096"]) == 0
    assert "set PublicKey" in capsys.readouterr().out
    key = serialization.load_pem_public_key((tmp_path / "new" / "public.pem").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 4096


@pytest.mark.parametrize("name", ["private.pem", "public.pem"])
def test_no_key_is_overwritten(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["keygen", "--output", str(tmp_path)]) == 1
    assert f"{name} is there already" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def private_pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"no key", "is no private key in PEM form"),
        (lambda: private_pem(ec.generate_private_key(ec.SECP256R1())), "is no RSA key"),
        (lambda: private_pem(rsa.generate_private_key(65537, 2048), b"secret"), "is encrypted; decrypt it"),
    ],
)
def test_a_wrong_key_is_refused(tmp_path: Path, make: Callable[[], bytes], reason: str) -> None:
    (tmp_path / "key.pem").write_bytes(make())
    with pytest.raises(SigningError, match=rf"key\.pem {reason}"):
        open_key(str(tmp_path / "key.pem"))


def test_a_key_that_the_device_finds_too_short_is_refused(tmp_path: Path) -> None:
    pair = KeyPair(tmp_path / "short", bits=1024)
    with pytest.raises(SigningError, match=r"the device would refuse .*1024 bits is too short"):
        sign(b"document", open_key(str(pair.private)))


def test_the_private_key_in_place_of_the_public_one_is_refused(keys: Path) -> None:
    with pytest.raises(SigningError, match=r"private\.pem is no public key"):
        read_public_key(keys / "private.pem")


def test_a_missing_key_is_named(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", str(package), "--key", str(package / "none.pem")]) == 1
    assert "none.pem" in capsys.readouterr().err
    assert not (package / "manifest.sig").exists()


def test_a_damaged_package_is_not_signed(
    package: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "fp32.onnx").write_bytes(b"changed")
    assert main(["sign", str(package), "--key", str(keys / "private.pem")]) == 1
    assert "not signed:\n" in (said := capsys.readouterr().err)
    assert "fp32.onnx" in said
    assert not (package / "manifest.sig").exists()


def test_a_package_signed_in_kms_is_taken_by_the_device_that_has_its_public_half(
    package: Path, client: Any, tmp_path: Path
) -> None:
    make_kms_key(client, "alias/line", "RSA_3072")
    assert main(["keygen", "--from", "kms:alias/line", "--output", str(tmp_path / "keys")]) == 0
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["public.pem"]
    assert main(["sign", str(package), "--key", "kms:alias/line"]) == 0
    assert is_taken(package, read_public_key(tmp_path / "keys" / "public.pem"))


def test_a_key_fetched_from_kms_overwrites_no_other(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for alias in ("alias/first", "alias/second"):
        make_kms_key(client, alias)
    fetch = ["keygen", "--output", str(tmp_path), "--from"]
    assert [main([*fetch, f"kms:alias/{name}"]) for name in ("first", "first", "second")] == [0, 0, 1]
    assert "public.pem is there already, and another key" in capsys.readouterr().err
    assert read_public_key(tmp_path / "public.pem") == open_key("kms:alias/first").public_pem


def test_a_key_in_kms_may_be_named_by_its_id_or_arn(client: Any) -> None:
    key_id = make_kms_key(client, "alias/line")
    arn = client.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    assert open_key(f"kms:{key_id}").public_pem == open_key(f"kms:{arn}").public_pem
    assert sign(b"document", open_key(f"kms:{arn}"))


@pytest.mark.parametrize(
    ("spec", "usage", "reason"),
    [
        ("ECC_NIST_P256", "SIGN_VERIFY", "signs by ECDSA_SHA_256, not by RSASSA_PSS_SHA_256"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "signs by nothing, not by RSASSA_PSS_SHA_256"),
    ],
)
def test_a_key_in_kms_of_the_wrong_kind_is_refused(client: Any, spec: str, usage: str, reason: str) -> None:
    make_kms_key(client, "alias/wrong", spec, usage)
    with pytest.raises(
        SigningError, match=f"alias/wrong in KMS {reason}; make an asymmetric key of RSA_3072"
    ):
        open_key("kms:alias/wrong")


def test_an_alias_that_is_not_there_is_named(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--from", "kms:alias/none", "--output", "unused"]) == 1
    assert "alias/none" in (said := capsys.readouterr().err)
    assert "aws kms list-aliases" in said


def test_a_key_that_is_neither_a_file_nor_in_kms_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--from", "alias/none", "--output", "unused"]) == 1
    assert "kms:alias/NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("AccessDeniedException", "allow kms:Sign and kms:GetPublicKey"),
        ("UnsupportedOperationException", "make an asymmetric key"),
        ("DisabledException", "enable it"),
    ],
)
def test_what_kms_refuses_is_told_with_what_to_do(
    client: Any, monkeypatch: pytest.MonkeyPatch, code: str, fix: str
) -> None:
    """By the names that AWS gives these errors; moto knows none of them."""
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    def refuse(*_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "No."}}, "GetPublicKey")

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    with pytest.raises(SigningError, match=rf"{code}.* No; {fix}"):
        open_key("kms:alias/line")


def test_no_credentials_and_no_region_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SigningError, match="set AWS_DEFAULT_REGION"):
        open_key("kms:alias/line")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(SigningError, match="Unable to locate credentials; run aws configure"):
        open_key("kms:alias/line")


def test_without_boto3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SigningError, match="pip install boto3"):
        open_key("kms:alias/line")
