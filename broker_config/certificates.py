"""A small certificate authority of one's own, and a server certificate by it; it asks nobody and keeps nothing secret
outside the folder that it is given.

For a demo or a lab without an authority. The authority's key is used once and thrown away: nobody can
make another certificate in its name, and a device that trusts it trusts one server for some days.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from service_runtime.private_files import write_private

#: Browsers refuse certificates that live much longer.
MOST_DAYS = 397
#: Clocks of phones and of a Pi without a battery are behind.
_BACKDATED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Files of a server: its certificate, its key, and the authority that others are to trust."""

    ca_file: Path
    cert_file: Path
    key_file: Path


def make_server_certificate(
    folder: Path, names: Sequence[str], *, days: int, at: datetime | None = None
) -> ServerCertificate:
    """Writes ca.pem, server.pem and server.key into `folder`; names are addresses or host names.

    Raises ValueError for no name or too many days.
    """
    if not names or not 1 <= days <= MOST_DAYS:
        raise ValueError(
            f"{len(names)} names, {days} days: a name and 1 to {MOST_DAYS} days needed"
        )
    now = at or datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(f"hemowire {names[0]} {now:%Y-%m-%d}, research use")
    until = now + timedelta(days=days)
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .add_extension(
            x509.NameConstraints([_general(name, as_limit=True) for name in names], None), True
        )
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        _builder(_name(names[0]), ca_name, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = ServerCertificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    files.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.cert_file.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(files.key_file, private.decode("ascii"))
    return files


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general(name: str, *, as_limit: bool = False) -> x509.GeneralName:
    """An address or a host name; a limit on an authority is a network of one address."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return x509.DNSName(name)
    return x509.IPAddress(ipaddress.ip_network(address) if as_limit else address)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
