"""Content credentials (C2PA): a signed manifest in the file that says who made the picture, how.

Certificate and key are whoever's who runs the program. Knows nothing of requests or pages; needs
the package c2pa-python, and says so.
"""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from sdxs.config import VERSION
from sdxs.errors import InputError, one_line
from sdxs.metadata.xmp import AI_MADE
from sdxs.picture import TYPES, encode

NEEDS = "content credentials need a package: pip install c2pa-python"
CURVES = {256: "es256", 384: "es384", 521: "es512"}  # bits of a key -> how it signs

PLAIN = {"builder": {"thumbnail": {"enabled": False}}}  # it may be larger than the picture
MANIFEST = json.dumps({
    "claim_generator_info": [{"name": "sdxs", "version": VERSION}],
    "assertions": [{
        "label": "c2pa.actions.v2",
        "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": AI_MADE}]},
    }],
})  # fmt: skip


@dataclass(frozen=True)
class Credentials:
    """What signs files: a chain of certificates and its key, PEM both, known to fit each other."""

    certificate: bytes
    key: bytes = field(repr=False)
    algorithm: str

    @classmethod
    def read(cls, certificate: Path, key: Path) -> "Credentials":
        """Of two files. Raises InputError, of a chain that C2PA does not accept, too."""
        chain, private = _pem(certificate, "certificate"), _pem(key, "private key")
        own = cls(chain, private, _algorithm(private, key))
        try:
            own.signed(encode(Image.new("RGB", (8, 8)), "png"), "png")
        except InputError as error:
            raise InputError(
                f"{certificate} and {key} do not sign: {error}; a chain of certificates for C2PA "
                "is needed, the signer's own first, and the key of that one"
            ) from None
        return own

    def signed(self, file: bytes, format: str) -> bytes:
        """The file with its manifest. Raises InputError."""
        c2pa, out = _c2pa(), io.BytesIO()
        try:
            info = c2pa.C2paSignerInfo(self.algorithm, self.certificate, self.key, None)
            with (
                c2pa.Context.from_dict(PLAIN) as context,
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(MANIFEST, context) as builder,
            ):
                builder.sign(signer, TYPES[format], io.BytesIO(file), out)
        except c2pa.C2paError as error:
            raise InputError(one_line(error)) from None
        return out.getvalue()


def _c2pa() -> Any:
    try:
        import c2pa
    except (ImportError, OSError):  # the package, or the library in it
        raise InputError(NEEDS) from None
    return c2pa


def _pem(file: Path, what: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"the {what} {file} cannot be read: {error.strerror}") from None
    if b"-----BEGIN" not in data:
        raise InputError(f"the {what} {file} is no PEM file: it has no line -----BEGIN …-----")
    return data


def _algorithm(key: bytes, file: Path) -> str:
    """How a key signs."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise InputError(NEEDS) from None
    try:
        match load_pem_private_key(key, None):
            case ec.EllipticCurvePrivateKey(key_size=bits) if bits in CURVES:
                return CURVES[bits]
            case rsa.RSAPrivateKey():
                return "ps256"
            case ed25519.Ed25519PrivateKey():
                return "ed25519"
    except TypeError:
        raise InputError(f"the private key {file} has a password: give one without") from None
    except ValueError as error:
        raise InputError(f"the private key {file} cannot be read ({one_line(error)})") from None
    raise InputError(f"the private key {file} is of a kind that C2PA has not: take ECDSA or RSA")
