"""Owns a certificate authority for one test cluster; its keys are worth nothing and live in a test's folder."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_VALID_FOR = timedelta(days=1)
_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
"""Python 3.13 demands it, as it does the identifiers of keys: it checks certificates by the letter of RFC 5280."""


def write_certificates(directory: Path, users: list[str]) -> None:
    """Write `ca.pem`, `broker.pem` (key and certificate), and `NAME.key` and `NAME.pem` for each of `users`."""
    directory.mkdir()
    authority_key = generate_private_key(SECP256R1())
    authority = _certificate("test authority", authority_key, "test authority", authority_key, is_authority=True)
    (directory / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    for name in ("broker", *users):
        key = generate_private_key(SECP256R1())
        certificate = _certificate(name, key, "test authority", authority_key, is_authority=False)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        certificate_pem = certificate.public_bytes(Encoding.PEM)
        if name == "broker":
            (directory / "broker.pem").write_bytes(key_pem + certificate_pem)
        else:
            (directory / f"{name}.key").write_bytes(key_pem)
            (directory / f"{name}.pem").write_bytes(certificate_pem)


def _certificate(
    subject: str,
    key: EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    names = [x509.DNSName(name) for name in ("localhost", "x.invalid")]
    addresses = [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    hosts = x509.SubjectAlternativeName([*names, *addresses])
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(hosts, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if is_authority:
        builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
