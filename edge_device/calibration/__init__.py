"""What is learned once per device: limits of the gate and um per pixel; it looks at no patient's case."""

from edge_device.calibration.stored import (
    Calibration,
    CalibrationError,
    LearnedLimit,
    MeasuredScale,
    effective_gate,
    effective_scale,
    load_calibration,
    save_calibration,
    undo_calibration,
)

__all__ = [
    "Calibration",
    "CalibrationError",
    "LearnedLimit",
    "MeasuredScale",
    "effective_gate",
    "effective_scale",
    "load_calibration",
    "save_calibration",
    "undo_calibration",
]
