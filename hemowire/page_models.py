"""The page's window on model bundles: their cards, and maps made when somebody asks; it classifies nothing anew.

A map is made by the very bundle that the diagnosis names, by its digest: another one would explain
another answer. Bundles and one engine are kept between questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.classify import Classifier, Picture
from cloud_worker.engines.engine import EngineUnavailableError, open_engine
from cloud_worker.models.bundle import Bundle, BundleRefusedError, NoSuchBundleError, load_bundle
from cloud_worker.tiling import TilePlan
from dashboard.page.models import FigureView, ModelView, NoMapError
from wire_protocol.words import figure_word

#: Longer side of a map in pixels: it is smooth, the browser enlarges it.
MAP_PX: Final = 480
#: Orange on violet nuclei, blue (BGR); as opaque as the score is high.
_COLOUR: Final = (0, 120, 255)
_MOST_OPAQUE: Final = 0.85


class BundleModels:
    """The bundles on this machine's search path, and those in `folders`; safe from several threads."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = tuple(folders)
        self._bundles: dict[str, Bundle | None] = {}
        self._classifier: Classifier | None = None
        self._lock = Lock()

    def card(self, model: str) -> ModelView:
        """The card of the bundle that a diagnosis names; the name alone where it is not here."""
        bundle = self._bundle(model)
        if bundle is None:
            return ModelView(name=model)
        card = bundle.card
        return ModelView(
            name=model,
            is_known=True,
            architecture=card.architecture,
            training_data=f"{card.training_data.kind}: {card.training_data.name}",
            limits_of_use=card.limits_of_use,
            figures=tuple(
                FigureView(
                    name=figure_word(figure.name).replace("_", " "),
                    words=_figure(figure.value, figure.low, figure.high)
                    + f", {figure.images} images, {figure.split}",
                )
                for figure in card.metrics
            ),
            classes={one.key: one.display for one in card.classes},
            has_map=bundle.has_exact_map,
        )

    def map_png(self, model: str, picture: bytes, um_per_px: float | None, key: str) -> bytes:
        """Where the class's score comes from, over the whole picture; raises NoMapError."""
        bundle = self._bundle(model)
        if bundle is None:
            raise NoMapError(f"the bundle {model.rpartition('/')[0] or model} is not here")
        keys = [one.key for one in bundle.card.classes]
        if not bundle.has_exact_map or key not in keys:
            raise NoMapError("this network has no exact map")
        with self._lock:
            classifier = self._open(bundle)
            rgb = _decode(picture)
            prepared = classifier.prepare(rgb, um_per_px)
            [finding] = classifier.classify([Picture(picture, um_per_px)])
        plan = getattr(prepared, "plan", None)
        if finding.class_map is None or plan is None:
            raise NoMapError("no map: the network did not run on this field")
        return _png(finding.class_map[keys.index(key)], plan, rgb.shape[1] / rgb.shape[0])

    def _bundle(self, model: str) -> Bundle | None:
        name = model.rpartition("/")[0] or model
        with self._lock:
            if name not in self._bundles:
                self._bundles[name] = self._find(name)
            return self._bundles[name]

    def _find(self, name: str) -> Bundle | None:
        if not name or "/" in name or "\\" in name:
            return None
        for place in (*map(str, self._folders), name):
            try:
                bundle = load_bundle(place)
            except (NoSuchBundleError, BundleRefusedError):
                continue
            if bundle.name == name:
                return bundle
        return None

    def _open(self, bundle: Bundle) -> Classifier:
        if self._classifier is None or self._classifier.bundle.name != bundle.name:
            try:
                self._classifier = Classifier(bundle, open_engine(bundle, "openvino", threads=1))
            except (EngineUnavailableError, ModuleNotFoundError) as error:
                raise NoMapError(
                    "maps are made by OpenVINO, which is not installed here"
                ) from error
        return self._classifier


def _decode(data: bytes) -> NDArray[np.uint8]:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise NoMapError("the picture cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _png(values: NDArray[np.float32], plan: TilePlan, aspect: float) -> bytes:
    """What speaks for the class, as opacity; the padding that the network saw is cut off."""
    height = plan.tops[-1] + plan.tile_height_px
    width = plan.lefts[-1] + plan.tile_width_px
    whole = cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)
    field = whole[plan.pad_top_px :, plan.pad_left_px :]
    size = (MAP_PX, round(MAP_PX / aspect)) if aspect >= 1 else (round(MAP_PX * aspect), MAP_PX)
    small = cv2.resize(field, size, interpolation=cv2.INTER_AREA)
    highest = float(small.max())
    share = np.clip(small / highest, 0, 1) if highest > 0 else np.zeros_like(small)
    painted = np.empty((*share.shape, 4), np.uint8)
    painted[..., :3] = _COLOUR
    painted[..., 3] = np.round(255 * _MOST_OPAQUE * share**1.5)
    done, data = cv2.imencode(".png", painted)
    if not done:
        raise NoMapError("the map cannot be encoded")
    return data.tobytes()


def _figure(value: float, low: float | None, high: float | None) -> str:
    interval = "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"
    return f"{value:.3g}{interval}"
