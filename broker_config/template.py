"""The one Mosquitto configuration, for 2.0.11 and 2.1; it never allows anonymous access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from string import Template

#: Larger than any message of the protocol (chunks are at most 96 KiB), and 2.1's own default.
MAX_PACKET_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the broker listens; anything but loopback needs TLS, or `plain_network` said aloud."""

    port: int
    bind: str = "127.0.0.1"
    cert_file: Path | None = None
    key_file: Path | None = None
    #: With it clients must show a certificate of this authority (beside their password).
    client_ca_file: Path | None = None
    plain_network: bool = False

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("client_ca_file needs cert_file and key_file")
        if not (self.is_loopback or self.cert_file is not None or self.plain_network):
            raise ValueError(
                f"bind {self.bind}: passwords and images would cross the network in the clear; "
                "give cert_file and key_file, or set plain_network = true"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ip_address(self.bind).is_loopback
        except ValueError:
            return self.bind == "localhost"


_TEXT = Template("""\
# Rendered by hemowire for Mosquitto 2.0.11 and 2.1: change broker.toml, not this file.
# To see what a client may do, read $acl_file; to follow the broker, read its log.

# Without NODELAY at both ends a QoS 1 request and its answer take 42-88 ms instead of 0.8 ms.
set_tcp_nodelay true

# Nobody is anonymous; access.acl comes from wire_protocol.access. 2.1 calls these two options
# deprecated in favour of the same code as plugins, which 2.0 does not have.
allow_anonymous false
password_file $password_file
acl_file $acl_file

# Nothing relies on the broker's memory, but a restart should forget little: the retained statuses
# and what the records store has not fetched yet. autosave_on_changes was 88 times slower.
persistence true
persistence_location $data_folder/
autosave_interval $autosave_s
autosave_on_changes false

# A queue over its limit drops silently while the publisher still gets a good PUBACK: no limit by
# count, one by bytes per client, which the workers' memory pools never let it reach.
max_queued_messages 0
max_queued_bytes $max_queued_bytes
max_inflight_messages 20

# message_size_limit is never used: it makes clients resend for ever. A packet over this limit ends
# the connection, and clients read the limit from CONNACK.
max_packet_size $max_packet_bytes

# Only used when started as root.
user $user

log_dest stderr
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type error
log_type warning
log_type notice
connection_messages true

$listeners""")


def render_config(
    listener: Listener,
    *,
    password_file: Path,
    acl_file: Path,
    data_folder: Path,
    user: str,
    autosave_s: int = 15,
    max_queued_bytes: int = 256 * 1024 * 1024,
    also: Sequence[Listener] = (),
) -> str:
    """The text of mosquitto.conf; paths must be absolute and without line breaks."""
    return _TEXT.substitute(
        listeners="\n".join(_listener_lines(one) for one in (listener, *also)),
        password_file=password_file,
        acl_file=acl_file,
        data_folder=data_folder,
        autosave_s=autosave_s,
        max_queued_bytes=max_queued_bytes,
        max_packet_bytes=MAX_PACKET_BYTES,
        user=user,
    )


def _listener_lines(listener: Listener) -> str:
    lines = [f"listener {listener.port} {listener.bind}"]
    if listener.cert_file is not None:
        lines += [f"certfile {listener.cert_file}", f"keyfile {listener.key_file}"]
        lines.append("tls_version tlsv1.2")
    if listener.client_ca_file is not None:
        lines += [f"cafile {listener.client_ca_file}", "require_certificate true"]
    return "".join(line + "\n" for line in lines)
