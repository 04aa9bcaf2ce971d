"""Makes a write-only and a read-only token of an InfluxDB 2 bucket, once; it writes and reads no points.

    python -m dashboard.series_access --url http://influxdb:8086 --org hemowire --bucket hemowire \\
        --admin-token-file admin --write-folder FOLDER --read-folder FOLDER

For a deployment whose one preset token may do everything: the metrics program gets the first of
these, Grafana the second, each in a folder of its own that only it is given. A second run keeps
tokens that are still good and replaces others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

_TIMEOUT_S = 20.0
_NOT_FOUND = 404


class SeriesAccessError(Exception):
    """The tokens could not be made; the message names what the server lacks or said."""


@dataclass(frozen=True, slots=True)
class SeriesServer:
    """An InfluxDB 2 with its organization and bucket, as somebody who may do everything."""

    url: str
    org: str
    bucket: str
    admin_token: str = field(repr=False)

    def grant(self, folders: dict[str, Path]) -> list[str]:
        """Puts `token` and `id` into the folders of "write" and "read"; returns what was new.

        Raises SeriesAccessError.
        """
        new = []
        for action, folder in folders.items():
            if not self._is_good(folder):
                self._replace(action, folder)
                new.append(action)
        return new

    def _is_good(self, folder: Path) -> bool:
        """Whether the server still knows the token of an earlier run as active."""
        try:
            known = (folder / "id").read_text(encoding="utf-8").strip()
            token = (folder / "token").read_text(encoding="utf-8").strip()
        except OSError:
            return False
        if not (known and token):
            return False
        found = self._call("GET", f"authorizations/{known}", missing_is_none=True)
        return found is not None and found.get("status") == "active"

    def _replace(self, action: str, folder: Path) -> None:
        """Deletes our earlier tokens of this kind and makes a new one; the id is written last."""
        org_id = self._only("orgs", org=self.org)
        bucket_id = self._only("buckets", orgID=org_id, name=self.bucket)
        description = f"hemowire {action} {self.bucket}"
        listed = self._call("GET", "authorizations?" + urlencode({"orgID": org_id})) or {}
        for old in listed.get("authorizations", []):
            if old.get("description") == description:
                self._call("DELETE", f"authorizations/{old['id']}", missing_is_none=True)
        resource = {"type": "buckets", "id": bucket_id, "orgID": org_id}
        wanted = {
            "orgID": org_id,
            "description": description,
            "permissions": [{"action": action, "resource": resource}],
        }
        made = self._call("POST", "authorizations", wanted) or {}
        _write(folder / "token", made["token"])
        _write(folder / "id", made["id"])

    def _only(self, kind: str, **names: str) -> str:
        """The id of the one organization or bucket of this name."""
        found = self._call("GET", f"{kind}?{urlencode(names)}", missing_is_none=True) or {}
        items = found.get(kind, [])
        if len(items) != 1:
            raise SeriesAccessError(f"{self.url}: {len(items)} {kind} for {names}, 1 needed")
        return str(items[0]["id"])

    def _call(
        self, method: str, path: str, body: object = None, *, missing_is_none: bool = False
    ) -> dict[str, Any] | None:
        request = Request(
            f"{self.url}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Token {self.admin_token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as reply:
                text = reply.read()
        except HTTPError as error:
            with error:
                if error.code == _NOT_FOUND and missing_is_none:
                    return None
                said = error.read(200).decode(errors="replace")
            raise SeriesAccessError(f"{method} {path}: {error.code} {said}") from error
        except (URLError, TimeoutError) as error:
            raise SeriesAccessError(f"{self.url}: {error}") from error
        return dict(json.loads(text)) if text else None


def _write(path: Path, text: str) -> None:
    """For another user than ours, in a folder that nobody else is given: anyone may read it."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.write_text(text + "\n", encoding="utf-8")
    part.chmod(0o444)
    part.replace(path)


def main(arguments: Sequence[str]) -> int:
    """0 when both tokens are there; 1 with the reason where the server did not give them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("url", "org", "bucket"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("admin-token-file", "write-folder", "read-folder"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args(arguments)
    try:
        admin_token = args.admin_token_file.read_text(encoding="utf-8").strip()
        server = SeriesServer(args.url.rstrip("/"), args.org, args.bucket, admin_token)
        new = server.grant({"write": args.write_folder, "read": args.read_folder})
    except (SeriesAccessError, OSError) as error:
        sys.stderr.write(f"series access: {error}\n")
        return 1
    sys.stdout.write(f"new tokens: {', '.join(new)}\n" if new else "the tokens are still good\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
