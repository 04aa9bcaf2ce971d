"""Debian's Orthanc, a real DICOM archive, on free ports over a folder of the test; nothing of the system is used."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.dashboard.exchange.outside_tools import find_tool


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running archive."""

    dicom_port: int
    http_port: int

    def ask(self, path: str) -> Any:
        """What its REST interface says."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """Bytes of its REST interface."""
        with urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=20) as said:
            data: bytes = said.read()
        return data


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Runs until the end of the block; skips, visibly, where it is not installed."""
    tool = find_tool("Orthanc")
    if tool is None:
        pytest.skip("needs Orthanc: python -m tests.dashboard.exchange.outside_tools, or apt-get")
    for _ in range(3):  # a port may be taken between being found free and being used
        archive = Orthanc(_free_port(), _free_port())
        config = folder / "orthanc.json"
        config.write_text(json.dumps(_config(folder, archive)))
        with (folder / "orthanc.log").open("w") as log:
            process = subprocess.Popen(
                [tool.program, str(config)], stdout=log, stderr=log, env=tool.whole_environ
            )
        try:
            if _answers(archive, process):
                yield archive
                return
        finally:
            process.terminate()
            process.wait(20)
    raise AssertionError((folder / "orthanc.log").read_text()[-2000:])


def _config(folder: Path, archive: Orthanc) -> dict[str, Any]:
    return {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "DicomAet": "ORTHANC",
        "DicomPort": archive.dicom_port,
        "HttpPort": archive.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
    }


def _answers(archive: Orthanc, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return "Version" in archive.ask("/system")
        except (URLError, ConnectionError):
            time.sleep(0.1)
    return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
