"""What reads simulated fields for the acceptance table: colours alone, and a network's features.

Everything here is learned from slides that the tested slides share nothing with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cloud_worker.engines.engine import Engine, open_engine
from cloud_worker.explain import class_maps, field_map
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.preprocess import Prepared, prepare
from edge_device.simulator import DiagnosisClass, draw_slide, render_field, slide_seed
from edge_device.simulator.confounding import Sources, made_by_source
from edge_device.simulator.truth import Field
from training.metrics import Interval, balanced_accuracy_interval

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
_STREAM = 600


@dataclass(frozen=True, slots=True)
class Fields:
    """Rendered fields with the number of their class and of their slide."""

    fields: list[Field]
    labels: Numbers
    slides: Numbers


def render_fields(
    slides: int,
    seed: int,
    *,
    background_only: bool = False,
    sources: Sources = Sources.INDEPENDENT,
    um_per_px: float = 0.2,
    done: Callable[[], None] = lambda: None,
) -> Fields:
    """One field of each of so many slides of each class; every seed has slides of its own.

    A field is 128 x 96 um whatever its um_per_px.
    """
    found, labels = [], []
    for number, kind in enumerate(DiagnosisClass):
        for index in range(slides):
            slide = draw_slide(slide_seed(seed, _STREAM + number, index))
            slide = made_by_source(slide, kind, sources)
            field = render_field(
                slide,
                kind,
                0,
                width_px=round(128 / um_per_px),
                height_px=round(96 / um_per_px),
                um_per_px=um_per_px,
                background_only=background_only,
            )
            found.append(field)
            labels.append(number)
            done()
    return Fields(found, np.array(labels), np.arange(len(found)))


def colour_statistics(image: Image) -> Values:
    """Mean, deviation and five percentiles of each channel of the whole field."""
    flat = image.reshape(-1, 3).astype(np.float64)
    marks = np.percentile(flat, (2, 10, 50, 90, 98), axis=0)
    return np.concatenate([flat.mean(axis=0), flat.std(axis=0), marks.ravel()])


class Network:
    """A bundle's network: logits, pooled features and class maps of whole fields."""

    def __init__(self, bundle: Bundle) -> None:
        self._engine: Engine = open_engine(bundle, "openvino")
        self._preprocessing = bundle.card.preprocessing
        self._weight = head_weight(bundle)

    def read(self, image: Image, um_per_px: float) -> tuple[Values, Values, Values]:
        """Logits K, features C, and maps K,h,w over the field."""
        prepared = prepare(image, um_per_px, self._preprocessing)
        if not isinstance(prepared, Prepared):
            raise ValueError(prepared.text)
        outputs = self._engine.infer(prepared.tiles())
        weights = prepared.weights[:, None]
        maps = field_map(class_maps(outputs.maps, self._weight), prepared.plan)
        return (
            np.asarray((outputs.logits * weights).sum(axis=0), np.float64),
            np.asarray((outputs.features * weights).sum(axis=0), np.float64),
            np.asarray(maps, np.float64),
        )


def head_weight(bundle: Bundle) -> npt.NDArray[np.float32]:
    """The last linear layer's weight K,C."""
    from safetensors.numpy import load_file

    from cloud_worker.models.registry import architecture

    tensors = load_file(bundle.folder / "weights.safetensors")
    head = architecture(bundle.card.architecture).head
    names = [n for n in tensors if n.startswith(f"{head}.") and tensors[n].ndim == 2]
    return np.asarray(tensors[names[-1]], np.float32)


def taught_by_colour(train: Values, labels: Numbers, test: Values) -> Numbers:
    """Classes of the test fields by a support vector machine."""
    machine = make_pipeline(StandardScaler(), SVC(C=10.0, class_weight="balanced"))
    return np.asarray(machine.fit(train, labels).predict(test), np.int64)


def taught_by_features(train: Values, labels: Numbers, test: Values) -> Numbers:
    """Classes of the test fields by a linear classifier on a network's features."""
    machine = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return np.asarray(machine.fit(train, labels).predict(test), np.int64)


def scored(labels: Numbers, answers: Numbers, slides: Numbers) -> Interval:
    """Balanced accuracy with its interval over slides."""
    return balanced_accuracy_interval(labels, answers, slides, len(DiagnosisClass))


def separation(first: Sequence[float], second: Sequence[float]) -> float:
    """Area under the curve of one number telling two kinds apart, at least one half."""
    a, b = np.asarray(first)[:, None], np.asarray(second)[None]
    larger = float((a > b).mean() + 0.5 * (a == b).mean())
    return max(larger, 1 - larger)
