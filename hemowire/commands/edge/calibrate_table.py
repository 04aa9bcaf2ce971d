"""What `hemowire edge calibrate` shows: limits and scale, and where each comes from; it changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_device.calibration import Calibration, MeasuredScale
    from edge_device.calibration.making import Check, Material
    from edge_device.settings import EdgeSettings


def show(settings: EdgeSettings, before: Calibration | None, after: Calibration | None) -> None:
    """What holds now, what held before where that differs, and where each value comes from."""
    from edge_device.calibration import effective_gate

    if after is None:
        print("No calibration: edge.toml's limits hold where it has any, else the defaults.")
    else:
        when = f", made {after.made_at.replace('T', ' ')[:16]} UTC" if after.made_at else ""
        print(f"Calibration {after.version}{when} by {after.operator or 'nobody named'}")
        if after.outdated_min_focus is not None:
            print(
                f"Its focus limit {after.outdated_min_focus:.4g} was learned with an older measure"
                " of focus and does not hold: calibrate again with good and bad frames."
            )
    old, new = effective_gate(settings.gate, before), effective_gate(settings.gate, after)
    changes = old != new
    names = [name for name in new.model_dump() if name.startswith(("min_", "max_"))]
    wide = max(len(name) for name in names)
    print(f"  {'':{wide}}  {'was':>7}  {'now':>7}" if changes else "")
    for name in names:
        was = f"{getattr(old, name):7.4g}  " if changes else ""
        print(f"  {name:{wide}}  {was}{getattr(new, name):7.4g}  {_origin(name, settings, after)}")
    print()
    if after is not None and after.limits:
        print(f"Learned from {after.good_frames} good and {after.bad_frames} bad frames.")
    print(_scale_words(settings, before, after))


def _origin(name: str, settings: EdgeSettings, calibration: Calibration | None) -> str:
    """Where a limit comes from; of a learned one, what it lies between."""
    found = None if calibration is None else calibration.limits.get(name)
    if name in settings.gate.model_fields_set:
        return "edge.toml" + ("" if found is None else f", wins over {found.limit:.4g} learned")
    if found is None:
        return "default"
    if found.best_bad is None:
        return f"learned: worst good {found.worst_good:.4g}"
    return f"learned: worst good {found.worst_good:.4g}, least bad {found.best_bad:.4g}"


def _scale_words(
    settings: EdgeSettings, before: Calibration | None, after: Calibration | None
) -> str:
    """The scale that holds, from what, and what it was."""
    scale = None if after is None else after.scale
    measured = "" if scale is None else f"{scale.um_per_px:.4f} um per pixel, {_source(scale)}"
    if settings.um_per_px == "estimate":
        return "Scale: each picture's own red cells, as edge.toml says" + (
            f". Not used: {measured}." if measured else "."
        )
    if settings.um_per_px is not None:
        return f"Scale: {settings.um_per_px:.4f} um per pixel, as edge.toml says" + (
            f". Not used: {measured}." if measured else "."
        )
    was = None if before is None else before.scale
    changed = "" if was is None or was == scale else f" It was {was.um_per_px:.4f}."
    if not measured:
        return f"Scale: unknown; --micrometer or --red-cells measures it.{changed}"
    return f"Scale: {measured}.{changed}"


def _source(scale: MeasuredScale) -> str:
    fields = "1 field" if scale.pictures == 1 else f"{scale.pictures} fields"
    what = (
        f"{scale.count} divisions of a micrometer"
        if scale.source == "micrometer"
        else f"{scale.count} red cells of {fields}"
    )
    return f"from {what} that spread by {scale.spread:.1%}"


def print_check(material: Material, found: Check) -> None:
    """How the limits judge the frames that they were learned from."""
    passed = len(material.good) - len(found.good_refused)
    caught = len(material.bad) - len(found.bad_passed)
    print(
        f"These limits pass {passed} of the {len(material.good)} good frames"
        f" and refuse {caught} of the {len(material.bad)} bad ones."
    )
    for words, names in (
        ("good, but refused", found.good_refused),
        ("bad, but passed", found.bad_passed),
    ):
        if names:
            print(f"  {words}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
