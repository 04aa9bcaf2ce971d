"""The run folder of the demo: broker, accounts and one settings file per program, as a lab would write them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from broker_config.local import METRICS, OPERATOR, RECORDS, WORKER, LocalBroker, edge_username
from broker_config.locate import require_mosquitto
from broker_config.serve import free_port
from cloud_worker.models.bundle import Bundle, default_bundle, find_bundle, load_bundle
from dashboard.accounts.settings import AccountSettings
from hemowire.demo.lan import Lan, open_lan
from hemowire.demo.options import DemoOptions
from hemowire.demo.sources import Share
from hemowire.demo.toml_text import Value, toml_text
from service_runtime.broker_settings import BrokerSettings
from wire_protocol.topics import Topics

SITE = "lab"
#: Few, so that every class comes by soon.
FIELDS_PER_SLIDE = 3
#: A simulated field has 5 to 10 white cells, so a slide of three can be judged.
SIMULATED_CELLS_NEEDED = 15


@dataclass(frozen=True, slots=True)
class House:
    """Where everything of one run lies."""

    folder: Path
    broker: LocalBroker
    bundle: Bundle
    options: DemoOptions
    page_port: int = 0
    lan: Lan | None = None

    @property
    def topics(self) -> Topics:
        """The topics of this run's root."""
        return Topics(self.broker.root)

    @property
    def archive(self) -> Path:
        """The archive's folder."""
        return self.folder / "archive"

    @property
    def records_url(self) -> str:
        """The records store's database."""
        return f"sqlite:///{self.folder / 'records.sqlite'}"

    @property
    def points(self) -> Path:
        """The folder with the points of traces and counters."""
        return self.folder / "metrics"

    def outbox(self, device: str) -> Path:
        """A device's outbox folder."""
        return self.folder / device / "outbox"

    def settings_of(self, username: str) -> BrokerSettings:
        """How an account of this run connects."""
        return self.broker.settings(username)

    def broker_command(self) -> tuple[list[str], Mapping[str, str]]:
        """Mosquitto's command and environment."""
        mosquitto = require_mosquitto()
        config = self.broker.process.rendered.config_file
        return [str(mosquitto.program), "-c", str(config)], mosquitto.environment()

    def records(self) -> Path:
        """Writes records.toml."""
        return self._write(
            "records.toml",
            {
                "database_url": self.records_url,
                "archive_url": str(self.archive),
                "cases": self._cases(),
                "broker": self._broker_table(RECORDS),
            },
        )

    def worker(self) -> Path:
        """Writes worker.toml."""
        return self._write(
            "worker.toml",
            {
                "archive_url": str(self.archive),
                "broker": self._broker_table(WORKER),
                "model": {"bundle": str(self.bundle.folder), "engine": self.options.engine},
            },
        )

    @property
    def accounts(self) -> AccountSettings:
        """Of the page: a link lets in within an hour, a session lasts the demo's day."""
        return AccountSettings(
            link_s=3600.0,
            session_s=86_400.0,
            idle_s=86_400.0,
            audit_key_file=self.folder / "audit.key",
        )

    def dashboard(self) -> Path:
        """Writes dashboard.toml."""
        accounts = self.accounts
        page: dict[str, Value] = {"port": self.page_port}
        if self.lan is not None:
            page |= {
                "host": self.lan.address,
                "cert_file": self.lan.certificate.cert_file,
                "key_file": self.lan.certificate.key_file,
                "ca_file": self.lan.certificate.ca_file,
            }
        return self._write(
            "dashboard.toml",
            {
                "database_url": self.records_url,
                "archive_url": str(self.archive),
                "bundles": [str(self.bundle.folder)],
                "page": page,
                "cases": self._cases(),
                "accounts": {
                    "link_s": accounts.link_s,
                    "session_s": accounts.session_s,
                    "idle_s": accounts.idle_s,
                    "audit_key_file": accounts.audit_key_file,
                },
                "broker": self._broker_table(OPERATOR),
            },
        )

    def metrics(self) -> Path:
        """Writes metrics.toml: into files, and to a server where one is named."""
        server: dict[str, Value] = {}
        if self.options.influx is not None:
            server = {"influx": {"url": self.options.influx}}
        return self._write(
            "metrics.toml",
            {
                "spool_folder": self.points,
                "await_shown": False,  # the demo's own screen publishes no trace
                "counters_every_s": 5,
                "time_step": "ms",  # fine enough here, and VictoriaMetrics keeps no more
                "broker": self._broker_table(METRICS),
                **server,
            },
        )

    def edge(self, share: Share, rate_per_s: float | None) -> Path:
        """Writes a microscope's settings."""
        cases: dict[str, Value] = {}
        camera: dict[str, Value] = {"rate_per_s": rate_per_s, "count": share.count}
        if share.folder is not None:
            camera |= {"kind": "folder", "folder": share.folder, "settle_s": 0}
        else:
            camera |= {
                "kind": "simulated",
                "seed": self._seed(share.device),
                "fields_per_slide": FIELDS_PER_SLIDE,
            }
            cases["from_folder"] = True  # each simulated slide is a case
        return self._write(
            f"{share.device}.toml",
            {
                "site": SITE,
                "device": share.device,
                "data_dir": self.folder / share.device,
                "um_per_px": self.options.um_per_px if share.folder is not None else None,
                "camera": camera,
                "cases": cases,
                "broker": self._broker_table(edge_username(share.device)),
            },
        )

    def _cases(self) -> dict[str, Value]:
        is_simulated = self.options.images is None
        return {"white_cells_needed": SIMULATED_CELLS_NEEDED} if is_simulated else {}

    def _seed(self, device: str) -> int:
        """Each microscope has slides of its own."""
        return self.options.seed * 1000 + int(device.rpartition("-")[2])

    def _broker_table(self, username: str) -> dict[str, Value]:
        return {
            "host": "127.0.0.1",
            "port": self.broker.port,
            "username": username,
            "password_file": self.broker.password_file(username),
            "root": self.broker.root,
        }

    def _write(self, name: str, values: dict[str, Value]) -> Path:
        path = self.folder / name
        path.write_text(toml_text(values), encoding="utf-8")
        return path


def prepare_house(options: DemoOptions, devices: list[str]) -> House:
    """Finds the bundle and Mosquitto and lays the run folder; raises their own errors."""
    bundle = choose_bundle(options)
    require_mosquitto()
    folder = options.folder.resolve() if options.folder is not None else _new_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lan = None if options.lan is None else open_lan(options.lan, folder / "certificates")
    also = () if lan is None else (lan.listener,)
    broker = LocalBroker(folder / "broker", site=SITE, devices=devices, also=also)
    page_port = free_port() if lan is None else lan.page_port
    return House(folder, broker, bundle, options, page_port, lan)


def choose_bundle(options: DemoOptions) -> Bundle:
    """The bundle by name, or the first of the architecture, or the one that comes with hemowire."""
    if options.bundle is not None:
        return load_bundle(options.bundle)
    return default_bundle() if options.arch is None else find_bundle(options.arch)


def _new_folder() -> Path:
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return base / "hemowire" / "demo" / f"{stamp}-{os.getpid()}"
