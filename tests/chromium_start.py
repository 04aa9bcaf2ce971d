"""Becomes Chromium with its debugging pipe in place, and deaf to changes of the machine's network interfaces.

    chromium_start.py READING WRITING PROGRAM [FLAGS...]

Chromium reads commands from 3 and writes to 4. It aborts every request, on loopback too, when an interface
comes or goes (net::ERR_NETWORK_CHANGED), and other tests make and remove interfaces all the time: so the
kernel refuses it the socket on which it would hear of that, and it takes the network for unchanging.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
import sys
from typing import Final

#: Number of the system call `socket`, and how the kernel names the machine.
_SOCKET: Final = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}
_AF_NETLINK: Final = 16
_EACCES: Final = 13
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def refuse_netlink() -> None:
    """From now on this process and what it becomes open no netlink socket; elsewhere than on the two
    machines above, and where the kernel does not filter, nothing changes."""
    known = _SOCKET.get(platform.machine())
    if known is None or not sys.platform.startswith("linux"):
        return
    number, machine = known
    steps = (
        (_LOAD, 0, 0, 4),  # the machine that the call is of
        (_EQUAL, 0, 4, machine),
        (_LOAD, 0, 0, 0),  # which call
        (_EQUAL, 0, 2, number),
        (_LOAD, 0, 0, 16),  # its first argument
        (_EQUAL, 1, 0, _AF_NETLINK),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _EACCES),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_SECCOMP, _FILTER, ctypes.create_string_buffer(program), 0, 0)


def main() -> None:
    """Puts the pipes in place and runs the program."""
    reading, writing = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 9) for fd in sys.argv[1:3])
    os.dup2(reading, 3)
    os.dup2(writing, 4)
    refuse_netlink()
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
