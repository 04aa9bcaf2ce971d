"""OpenCV's own V4L2 code against a driver as drivers are: stale buffers, automatics, unplugging, hanging."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("video_device.c")
ROOT = Path(__file__).parents[3]
BUFFER_BYTES = 16 * 640 * 480 * 2

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to build the driver with"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's"),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "video_device.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True)
    return library


@pytest.fixture
def run(driver: Path, tmp_path: Path) -> Callable[[str], Any]:
    with (tmp_path / "device").open("wb") as file:
        file.truncate(BUFFER_BYTES)

    def scenario(name: str) -> Any:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.edge_device.cameras.with_video_device", name],
            cwd=ROOT,
            env=os.environ | {"LD_PRELOAD": str(driver), "HEMOWIRE_TEST_VIDEO": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return scenario


def test_the_size_asked_for_is_given_or_refused(run: Callable[[str], Any]) -> None:
    shape, refusal = run("size")
    assert shape == [240, 320, 3]
    assert refusal.startswith("camera.width: /dev/video77 gives 640 px, not 1920")


def test_a_picture_is_of_now_and_not_of_what_waited_in_the_buffers(
    run: Callable[[str], Any],
) -> None:
    """A driver fills its four buffers after the last question: those frames are 0.7 s old here."""
    assert all(age < 0.4 for age in run("now"))


def test_exposure_and_white_balance_are_found_once_and_held_for_good(
    run: Callable[[str], Any],
) -> None:
    first, again = run("locked")
    assert (first["exposure_auto"], first["white_auto"]) == (1, 0)
    assert first["exposure"] != 157  # not what it wakes up with
    assert again == first


def test_values_of_the_settings_are_set_and_read_back(run: Callable[[str], Any]) -> None:
    found = run("given")
    assert found == {
        "exposure_auto": 1,
        "exposure": 220,
        "white_auto": 0,
        "white": 5200,
        "gain": 30,
    }


def test_a_driver_that_keeps_its_automatics_is_refused_where_values_were_given(
    run: Callable[[str], Any],
) -> None:
    assert run("stubborn").startswith("camera.exposure: /dev/video77 does not take 220")


def test_an_unplugged_camera_is_noticed_unasked_and_opened_again(run: Callable[[str], Any]) -> None:
    trouble, age, trouble_after = run("unplugged")
    assert "no such device: /dev/video77" in trouble or "unplugged" in trouble
    assert age < 0.4 and trouble_after == ""


def test_a_read_that_hangs_costs_its_limit_and_leaves_few_threads_behind(
    run: Callable[[str], Any],
) -> None:
    cost, trouble, threads, age, trouble_after = run("hanging")
    assert cost < 3 and "did not answer" in trouble
    assert threads <= 4 and age < 0.4 and trouble_after == ""
