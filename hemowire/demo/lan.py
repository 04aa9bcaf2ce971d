"""Where a demo shows itself to the network: an address of this machine, free ports, a certificate of its own."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker_config.certificates import ServerCertificate, make_server_certificate
from broker_config.template import Listener
from hemowire.demo.options import OptionsError

#: The usual ports of MQTT over TLS and of a page, where they are free.
BROKER_PORT: Final = 8883
PAGE_PORT: Final = 8443
DAYS: Final = 2
#: Nothing is sent there: the kernel is asked which of our addresses it would send from.
_FAR_AWAY: Final = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Lan:
    """An address, two ports and a certificate."""

    address: str
    broker_port: int
    page_port: int
    certificate: ServerCertificate

    @property
    def listener(self) -> Listener:
        """The broker's second listener."""
        files = self.certificate
        return Listener(self.broker_port, self.address, files.cert_file, files.key_file)


def open_lan(wanted: str, folder: Path) -> Lan:
    """Finds the address, makes the certificate; raises OptionsError where there is no such address."""
    address = _own_address() if wanted == "auto" else wanted
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise OptionsError(f"--lan {wanted}: an IP address of this machine is needed") from error
    broker_port, page_port = _port(address, BROKER_PORT), _port(address, PAGE_PORT)
    return Lan(
        address, broker_port, page_port, make_server_certificate(folder, [address], days=DAYS)
    )


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_FAR_AWAY)
        except OSError as error:
            raise OptionsError(
                "--lan: this machine has no way to a network; name its address: --lan 192.168.1.5"
            ) from error
        return str(probe.getsockname()[0])


def _port(address: str, usual: int) -> int:
    """The usual port, or any free one; raises OptionsError for an address that is not ours."""
    for port in (usual, 0):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                if port == 0:
                    raise OptionsError(f"--lan {address}: {error.strerror}") from error
                continue
            return int(probe.getsockname()[1])
    raise AssertionError(address)
