"""Fits what each further field of a slide counts, on rendered slides that a bundle classified; it renders nothing.

    hemowire simulate --slides 8 --fields 3 --seed 777 --out FIELDS
    hemowire classify --um-per-px 0.2 --json FIELDS/*/*.jpg > classified.json
    python -m benchmarks.field_weight FIELDS classified.json

Synthetic slides: the figure says how dependent a renderer's fields are. `hemowire records fit-weight`
does the same with the cases that people signed.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from dashboard.cases.weight import KnownCase, case_ece, fit_weight


def main() -> None:
    """Prints the fit and some weights beside it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("fields", type=Path, help="what `hemowire simulate` wrote")
    parser.add_argument("classified", type=Path, help="what `hemowire classify --json` printed")
    args = parser.parse_args()
    with (args.fields / "manifest.csv").open(newline="", encoding="utf-8") as file:
        listed = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    slides: dict[str, list[dict[str, float]]] = {}
    truth: dict[str, str] = {}
    bundle, left_out = "", 0
    for said in json.loads(args.classified.read_text(encoding="utf-8")):
        row, bundle = listed[Path(said["source"]).name], said["bundle"]
        told = {key: p for key, p in said["probabilities"].items() if p is not None}
        if len(told) < len(said["probabilities"]):
            left_out += 1
            continue
        slides.setdefault(row["group"], []).append(told)
        truth[row["group"]] = row["label"].lower()
    cases = [KnownCase(tuple(fields), truth[group]) for group, fields in slides.items()]
    keys = list(cases[0].fields[0])
    prior = {key: 1 / len(keys) for key in keys}
    fitted = fit_weight(cases, prior)
    print(f"{bundle}: {fitted.cases} synthetic slides; {left_out} fields without probabilities")
    print(f"field_weight {fitted.field_weight:g}: negative log-likelihood {fitted.nll:.4f}")
    print(f"1 (independent): {fitted.nll_independent:.4f}; plain mean: {fitted.nll_mean:.4f}")
    for weight in (fitted.field_weight, 1.0):
        print(f"calibration error of slides with {weight:g}: {case_ece(cases, prior, weight):.4f}")


if __name__ == "__main__":
    main()
