"""The latest wall time that is known to have passed, kept over a reboot: a Pi without a clock battery wakes up in 1970.

It sets no clock. It only tells TLS how late it is at least, so that certificates are neither
refused as "not yet valid" nor taken although they ran out long ago.
"""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path
from typing import Any

#: Moved forward at most this often: each move writes to the card.
_MOVE_EVERY_S = 600.0
#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python's ssl does not name.
_NO_CHECK_TIME = 0x200000


class KnownTime:
    """Remembered as the modification time of the empty file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at_s = max(_modified_s(path), _modified_s(Path(__file__)))

    @property
    def at_s(self) -> float:
        """Seconds since 1970 that have passed for certain: this file's, or the installation's."""
        return self._at_s

    def remember(self, now_s: float) -> None:
        """A synchronised clock says `now_s`; raises OSError where the disk refuses."""
        if now_s - self._at_s < _MOVE_EVERY_S:
            return
        self._path.touch()
        os.utime(self._path, (now_s, now_s))
        self._at_s = now_s


def check_against(context: ssl.SSLContext, known_s: float) -> None:
    """Where the clock stands before `known_s`, certificates are checked at `known_s` instead.

    OpenSSL still checks the chain, its signatures and the host name; the dates of the broker's
    certificate and of our authorities are checked here, after the handshake.
    """
    if time.time() >= known_s:
        return
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    plain: type[ssl.SSLSocket] = context.sslsocket_class

    class DatedSocket(plain):  # type: ignore[valid-type, misc]  # the class is the context's own
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            broker = self.getpeercert() or {}
            authorities = context.get_ca_certs()
            issuers = [one for one in authorities if one["subject"] == broker.get("issuer")]
            try:
                for certificate in (broker, *issuers):
                    _check_dates(certificate, known_s)
            except ssl.SSLError:
                self.close()
                raise

    context.sslsocket_class = DatedSocket


def _check_dates(certificate: dict[str, Any], at_s: float) -> None:
    first, last = certificate["notBefore"], certificate["notAfter"]
    if ssl.cert_time_to_seconds(first) <= at_s <= ssl.cert_time_to_seconds(last):
        return
    known = time.strftime("%Y-%m-%d", time.gmtime(at_s))
    raise ssl.SSLCertVerificationError(
        f"a certificate is valid from {first} to {last}; the clock is not set, and the last time"
        f" that this device knew was {known}"
    )


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
