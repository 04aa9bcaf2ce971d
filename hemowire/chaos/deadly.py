"""An image that kills every decoder: pictures on a list, and workers whose decoder dies of those.

A fault of a real decoder cannot be had on demand. So the workers of a run are started with a
`sitecustomize` that lets `cv2.imdecode` end its process with SIGSEGV over bytes whose sha256 is on
the list, in the worker and in the child process that a suspect image is given.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hemowire.chaos.checker import DEADLY
from hemowire.chaos.pictures import Look, Picture

#: How such a death looks to whoever started the program.
DEADLY_EXIT: Final = -signal.SIGSEGV
_LIST: Final = "deadly"
_PATCH: Final = f'''"""Made by hemowire chaos: pictures on the list end the process that decodes them."""
import hashlib, os, runpy, signal, sys
from pathlib import Path

if "worker" in sys.orig_argv or "cloud_worker.suspect" in sys.orig_argv:
    import cv2

    decode = cv2.imdecode
    deadly = Path(__file__).with_name("{_LIST}")

    def imdecode(data, *flags):
        if hashlib.sha256(data).hexdigest() in deadly.read_text().split():
            os.kill(os.getpid(), signal.SIGSEGV)
        return decode(data, *flags)

    cv2.imdecode = imdecode

# One that stood behind this one still counts.
here = Path(__file__).resolve()
for place in sys.path:
    other = Path(place or ".") / "sitecustomize.py"
    if other.is_file() and other.resolve() != here:
        runpy.run_path(str(other))
        break
'''


def make_deadly(picture: Picture, folder: Path) -> Picture:
    """Puts it on the list of the run in `folder`."""
    with _place(folder).joinpath(_LIST).open("a", encoding="ascii") as deadly:
        deadly.write(hashlib.sha256(picture.content).hexdigest() + "\n")
    return Picture(f"{DEADLY}{picture.name}", Look.DEADLY, picture.content)


def write_decoder(folder: Path) -> dict[str, str]:
    """The patch in a folder of its own, and the environment that has a program load it."""
    place = _place(folder)
    place.mkdir(exist_ok=True)
    (place / _LIST).touch()
    (place / "sitecustomize.py").write_text(_PATCH, encoding="utf-8")
    return python_path(place, os.environ)


def python_path(place: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH with this folder first."""
    after = environment.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(place), *([after] if after else [])])}


def _place(folder: Path) -> Path:
    return folder / "decoder"
