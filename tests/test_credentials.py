"""Content credentials: signed with a chain of the tests' own, read by C2PA's own reader."""

import asyncio
import base64
import datetime
import io
import sys
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from sdxs.errors import InputError
from sdxs.metadata.credentials import Credentials
from sdxs.metadata.marker import Label, Marker
from sdxs.metadata.reading import read
from sdxs.metadata.xmp import AI_MADE
from sdxs.page.answers import Answers
from sdxs.picture import MIME

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PICTURE = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
LABEL = Label("a red house", "storybook", {"Seed": 7})


def certificate(own: Any, issuer: Any, ca: bool) -> bytes:
    """As C2PA wants one: version 3, key usage, and that of a signer an extended one."""

    def name(title: str) -> x509.Name:
        of = (NameOID.COMMON_NAME, title), (NameOID.ORGANIZATION_NAME, "Tests")
        return x509.Name([x509.NameAttribute(*pair) for pair in of])

    day, now = datetime.timedelta(1), datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    usage |= {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(name("root" if ca else "signer"))
        .issuer_name(name("root"))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.KeyUsage(**usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False)
        .add_extension(by, False)
    )
    if not ca:
        for_mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(for_mail, False)
    return made.sign(issuer, hashes.SHA256()).public_bytes(PEM)


def pem(key: Any, password: bytes = b"") -> bytes:
    locked: Any = serialization.NoEncryption()
    if password:
        locked = serialization.BestAvailableEncryption(password)
    return key.private_bytes(PEM, PKCS8, locked)  # type: ignore[no-any-return]


KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain and a key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    root = KEYS["es256"]()
    for name, make in KEYS.items():
        own = make()
        chain = certificate(own, root, False) + certificate(root, root, True)
        (folder / f"{name}.chain").write_bytes(chain)
        (folder / f"{name}.key").write_bytes(pem(own))
    (folder / "locked.key").write_bytes(pem(root, b"secret"))
    (folder / "text").write_text("no key\n")
    (folder / "cut.key").write_bytes(pem(root)[:99])
    return folder


def signing(folder: Path, name: str = "es256") -> Credentials:
    return Credentials.read(folder / f"{name}.chain", folder / f"{name}.key")


@pytest.mark.parametrize("name", KEYS)
def test_every_kind_of_key_signs(folder: Path, name: str) -> None:
    own = signing(folder, name)
    assert own.algorithm == name and "PRIVATE" not in repr(own)


@pytest.mark.parametrize("format", MIME)
def test_who_made_it_and_how(folder: Path, format: str) -> None:
    marker = Marker(credentials=signing(folder))
    file = marker(PICTURE, format, LABEL, keep=True)
    reader = c2pa.Reader(MIME[format], io.BytesIO(file))
    manifest = reader.get_active_manifest()
    assert reader.get_validation_state() == "Valid"  # whole; trusted is whom a reader trusts
    assert manifest["claim_generator_info"][0]["name"] == "sdxs"
    assert manifest["signature_info"]["common_name"] == "signer"
    made = {"action": "c2pa.created", "digitalSourceType": AI_MADE}
    [actions] = (one for one in manifest["assertions"] if "actions" in one["label"])
    assert actions["data"]["actions"] == [made] and "thumbnail" not in manifest
    said = read(file, "it")
    assert said and said.parameters.prompt == LABEL.prompt
    assert Image.open(io.BytesIO(file)).size == PICTURE.size
    frame = marker(PICTURE, format, LABEL)
    assert frame == Marker()(PICTURE, format, LABEL) and len(file) - len(frame) < 20_000


def test_a_page_signs_what_is_downloaded(folder: Path) -> None:
    own = Answers.local(lambda prompt, **_: PICTURE, marker=Marker(credentials=signing(folder)))
    request = {"prompt": "a", "seed": 1}
    file, frame = asyncio.run(own.download(request))["file"], asyncio.run(own.make(request)).file
    png = io.BytesIO(base64.b64decode(file.partition(",")[2]))
    assert c2pa.Reader("image/png", png).get_validation_state() == "Valid"
    assert c2pa.Reader.try_create("image/jpeg", io.BytesIO(frame)) is None


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        ("none", "es256.key", "none cannot be read: No such file"),
        ("es256.chain", "none", "private key .*none cannot be read: No such file"),
        ("text", "es256.key", "text is no PEM file"),
        ("es256.chain", "text", "text is no PEM file"),
        ("es256.chain", "es256.chain", "private key .* cannot be read"),
        ("es256.chain", "cut.key", "private key .* cannot be read"),
        ("es256.chain", "locked.key", "has a password: give one without"),
        ("es256.chain", "ps256.key", "do not sign"),
        ("es256.chain", "es384.key", "do not sign"),
        ("es256.key", "es256.key", "do not sign"),
    ],
)
def test_what_does_not_sign_is_one_line(folder: Path, chain: str, key: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Credentials.read(folder / chain, folder / key)
    assert "\n" not in str(caught.value) and "PRIVATE" not in str(caught.value)


def test_without_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(InputError, match="pip install c2pa-python"):
        signing(folder)
