"""From a microscope to a signed report: real agent, broker, worker, records and page, and a person at a browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from broker_config.local import HEMATOLOGIST
from tests.chromium import Browser, chromium
from tests.system.demo_run import DemoRun, demo
from tests.system.page_reader import (
    come_in,
    digest_on_screen,
    link_of,
    open_first_case,
    press,
    recorded,
)

pytestmark = pytest.mark.timeout(300)

PHONE, DESK = (360, 740), (1440, 900)
SIGNED = "SELECT site, case_id, finding, signed_by FROM smear_case WHERE signed_at != ''"


def test_an_image_becomes_a_signed_report_on_a_phone_and_at_a_desk(tmp_path: Path) -> None:
    with (
        demo(tmp_path, "--count", "6", "--rate", "max") as run,
        chromium(tmp_path / "profile") as browser,
    ):
        come_in(browser, link_of(run), PHONE)
        run.wait_until(lambda: run.recorded() == 6, 150, "six records")
        key = open_first_case(browser)
        shown, on_screen = digest_on_screen(browser)
        images = recorded(run.folder, "SELECT image_id, sha256, case_id FROM image")
        of_case = {row["sha256"] for row in images if key.endswith(row["case_id"])}
        assert shown == on_screen
        assert on_screen in of_case
        browser.run("document.querySelector('.case').scrollTo(0, 0)")
        _sign(browser, run, 1)
        browser.picture(tmp_path / "phone-signed.png")
        browser.look_like(*DESK)
        browser.go(str(browser.run("location.origin")) + "/")
        other = open_first_case(browser)
        assert other != key
        _sign(browser, run, 2)
        browser.picture(tmp_path / "desk-signed.png")
        assert browser.complaints == []
        signed = recorded(run.folder, SIGNED)
        assert {f"{row['site']}.{row['case_id']}" for row in signed} == {key, other}
        assert {row["signed_by"] for row in signed} == {"reader"}
        run.process.send_signal(signal.SIGINT)
        assert run.finish(60) == 0, run.output()
    book = subprocess.run(
        [sys.executable, "-m", "hemowire", "audit", "verify", "--config",
         str(run.folder / "dashboard.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert book.returncode == 0, book.stdout + book.stderr


def _sign(browser: Browser, run: DemoRun, count: int) -> None:
    """Confirms where the AI gave an answer, else says so oneself; waits until it is signed."""
    browser.until(
        "[...document.querySelectorAll('.crops-page:first-child img')].every((one) =>"
        " one.dataset.seen)",
        40,
    )
    if browser.run("document.querySelector('.confirm').disabled"):
        press(browser, "Correct")
        browser.run("document.querySelector('#dialog input[value=not_assessable]').click()")
    else:
        press(browser, "Confirm")
    press(browser, "Sign:")
    run.wait_until(lambda: len(recorded(run.folder, SIGNED)) == count, 60, f"{count} signatures")


@contextmanager
def network(name: str) -> Iterator[tuple[str, list[str]]]:
    """Another network: its gateway's address on this machine, and the prefix to run there."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    near, far, prefix = f"{name}0", f"{name}1", ["ip", "netns", "exec", name]
    commands = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name],
        ["ip", "addr", "add", "10.213.77.1/30", "dev", near],
        ["ip", "link", "set", near, "up"],
        [*prefix, "ip", "addr", "add", "10.213.77.2/30", "dev", far],
        [*prefix, "ip", "link", "set", far, "up"],
    ]
    with ExitStack() as undo:
        undo.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        yield "10.213.77.1", prefix


#: Runs in the other network: signs in, reads a case and its picture, hears the feed; all over TLS.
PHONE_PROGRAM = """
import hashlib, json, ssl, sys
import httpx
link, ca = sys.argv[1:]
url, _, token = link.partition("/enter#")
origin = url
with httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=ca), timeout=20) as http:
    http.post("/enter", json={"link": token}, headers={"origin": origin}).raise_for_status()
    cookies = {cookie.name: cookie.secure for cookie in http.cookies.jar}
    line = http.get("/api/worklist").json()["lines"][0]
    case = http.get(f"/api/cases/{line['key']}").json()
    field = case["fields"][0]
    picture = http.get(f"/api/fields/{field['image_id']}/picture").content
    with http.stream("GET", "/api/events") as events:
        chunks = events.iter_raw()
        heard = next(chunks).decode()
    print(json.dumps({"cookies": cookies, "sha256": hashlib.sha256(picture).hexdigest(),
                      "said": field["sha256"], "heard": heard,
                      "hsts": http.get("/").headers["strict-transport-security"]}))
"""


@pytest.mark.slow
def test_a_phone_on_another_network_reads_over_https_and_an_mqtt_app_over_tls(
    tmp_path: Path,
) -> None:
    with (
        network("hemopage") as (address, there),
        demo(tmp_path, "--count", "3", "--rate", "1", "--lan", address) as run,
    ):
        link, ca = link_of(run), str(run.folder / "certificates" / "ca.pem")
        assert link.startswith(f"https://{address}:")
        assert "█" in run.log.read_text(), "a code to scan"
        password = (run.folder / "broker" / "secrets" / HEMATOLOGIST).read_text().strip()
        told = next(x for x in run.log.read_text().splitlines() if x.startswith("MQTT app"))
        port = told.split("port ")[1].split(" ")[0]
        apps = {
            topic: subprocess.Popen(
                [*there, "mosquitto_sub", "-h", address, "-p", port, "--cafile", ca, "-V", "5",
                 "-u", HEMATOLOGIST, "-P", password, "-C", "1", "-W", "120", "-N",
                 "-t", f"hemowire/v1/{topic}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for topic in ("diagnosis/lab/+", "case/lab/+", "thumbnail/lab/+/+")
        }  # fmt: skip
        run.wait_until(lambda: run.recorded() >= 1, 120, "a record")
        phone = subprocess.run(
            [*there, sys.executable, "-c", PHONE_PROGRAM, link, ca],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert phone.returncode == 0, phone.stderr
        found = json.loads(phone.stdout)
        assert found["cookies"] == {"__Host-hemowire": True}
        assert found["sha256"] == found["said"]
        assert found["heard"].startswith("retry:")
        said = {}
        for topic, app in apps.items():
            said[topic], problem = app.communicate(timeout=130)
            assert app.returncode == 0, problem
        for topic, level in (("diagnosis/lab/+", "field"), ("case/lab/+", "slide")):
            told = json.loads(said[topic])
            assert (told["schema"], told["level"]) == ("hemowire.diagnosis", level)
            assert not [value for value in told.values() if isinstance(value, dict)], "flat"
            assert "Research use only" in told["text"]
        thumbnail = cv2.imdecode(
            np.frombuffer(said["thumbnail/lab/+/+"], np.uint8), cv2.IMREAD_COLOR
        )
        assert thumbnail is not None and min(thumbnail.shape[:2]) > 60, "a JPEG as raw bytes"
