"""Finding bundles by name, path or architecture; the public door of bundle reading and writing.

A bundle is named `<task>-<architecture>@<8 hex of its digest>` and searched in this order: as a
path, in the folders of HEMOWIRE_BUNDLES, in the user's folder, among the packaged ones. Refuses to
guess: a name that fits nothing is an error that lists what there is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cloud_worker.models.bundle_folder import CARD_FILE, Bundle, BundleRefusedError, load_folder
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.models.registry import architecture

__all__ = [
    "Bundle",
    "BundleRefusedError",
    "NoSuchBundleError",
    "default_bundle",
    "find_bundle",
    "list_bundles",
    "load_bundle",
    "refused_bundles",
    "write_bundle",
]

BUNDLES_VARIABLE = "HEMOWIRE_BUNDLES"
"""Folders that hold bundles, separated as in PATH; a bundle's own folder may be named too."""
USER_FOLDER = Path("~/.local/share/hemowire/bundles")
PACKAGED = Path(__file__).resolve().parent.parent / "bundles"
DEFAULT = "synthetic5-densenet121"
"""Of several packaged bundles the one that is meant where none is named."""


class NoSuchBundleError(LookupError):
    """No bundle of that name or architecture was found."""


def load_bundle(name_or_path: str | os.PathLike[str]) -> Bundle:
    """The bundle at a path, or of a name (`task-arch`, or `task-arch@digest` to pin it)."""
    text = os.fspath(name_or_path)
    if (Path(text).expanduser() / CARD_FILE).is_file():
        return load_folder(Path(text).expanduser())
    if os.sep in text or Path(text).is_dir():
        raise NoSuchBundleError(f"no bundle at {text}: no {CARD_FILE} there")
    short, _, pinned = text.partition("@")
    refused: BundleRefusedError | None = None
    for folder in _bundle_folders():
        try:
            bundle = load_folder(folder)
        except BundleRefusedError as problem:
            if folder.name.partition("@")[0] == short:
                refused = refused or problem
            continue
        if bundle.name.partition("@")[0] == short and bundle.digest.startswith(pinned):
            return bundle
    if refused is not None:
        raise refused
    raise NoSuchBundleError(f"no bundle named {text!r}; there are: {_names() or 'none'}")


def find_bundle(architecture_name: str) -> Bundle:
    """The first bundle of that architecture in search order, or NoSuchBundleError."""
    row = architecture(architecture_name)
    for bundle in list_bundles():
        if bundle.card.architecture == row.name:
            return bundle
    raise NoSuchBundleError(
        f"no bundle of architecture {row.name} was found. Train one: "
        f"hemowire train --recipe synthetic5 --arch {row.name} --data simulated --out BUNDLE"
    )


def default_bundle() -> Bundle:
    """The bundle that comes with hemowire, or NoSuchBundleError where the install has none."""
    for folder in _bundles_in(PACKAGED):
        return load_folder(folder)
    raise NoSuchBundleError(f"no bundle is packaged in {PACKAGED}; name one with --bundle")


def list_bundles() -> list[Bundle]:
    """All readable bundles in search order: HEMOWIRE_BUNDLES, the user's, the packaged."""
    found: list[Bundle] = []
    for folder in _bundle_folders():
        try:
            found.append(load_folder(folder))
        except BundleRefusedError:
            continue
    return found


def refused_bundles() -> list[BundleRefusedError]:
    """Why each unreadable bundle on the search path was refused."""
    refused: list[BundleRefusedError] = []
    for folder in _bundle_folders():
        try:
            load_folder(folder)
        except BundleRefusedError as problem:
            refused.append(problem)
    return refused


def _bundle_folders() -> Iterator[Path]:
    named = [Path(p) for p in os.environ.get(BUNDLES_VARIABLE, "").split(os.pathsep) if p]
    for root in (*named, USER_FOLDER.expanduser(), PACKAGED):
        yield from _bundles_in(root)


def _bundles_in(root: Path) -> Iterator[Path]:
    if (root / CARD_FILE).is_file():
        yield root
    elif root.is_dir():
        found = (f for f in root.iterdir() if (f / CARD_FILE).is_file())
        yield from sorted(found, key=lambda folder: (folder.name != DEFAULT, folder.name))


def _names() -> str:
    return ", ".join(bundle.name for bundle in list_bundles())
