"""Three sizes of images over five bad links, by hemowire and three other ways, against the links' physical limits.

    python -m benchmarks.bad_links --out benchmarks/results/bad_links.md
    python -m benchmarks.bad_links --profiles b --sizes 850000 --repeats 2

Times are from the sender's having the bytes to their lying in the archive, durably (temporary file,
fsync, rename, fsync of the folder), of real programs through a real Mosquitto. Slow links sleep, so
they are measured beside one another, each with a broker of its own; the LAN is measured alone.
It refuses a machine without network namespaces: a proxy cannot lose packets.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bad_links.cases import BESIDE, PROFILES, SIZES, WAYS, Case, Way
from benchmarks.bad_links.measuring import Carried, Tally, measure
from benchmarks.bad_links.table import (
    HEAD,
    OVER_LIMIT_LETTERS,
    STRUCK_HEAD,
    rows,
    size_text,
    struck_rows,
    verdicts,
)
from benchmarks.link_limit import Case as Ends
from benchmarks.link_limit import a_site
from benchmarks.links import find_profile
from benchmarks.links.kernel import why_not
from benchmarks.links.link import Implementation
from wire_protocol.words import RESEARCH_USE_ONLY

NOTES = """
Times are from the sender's having the bytes to their lying in the archive, fsyncs included. Delays
in the links' names are one-way, of each direction; rates are of whole IP packets, up and down.
Shaped is the device's end, between it and the broker; where it says "both ends", the worker's too.
`/ limit`: of wire bytes (TCP/IP headers included) / rate + one round trip where the image does not
ride in its offer (over 24 KB) + one delay + with both ends shaped one chunk and its delay on the
second hop. With loss the rate counts what is left of it, for every lost packet travels again: the
waits for that are not in the limit. The round trip is granted to every way, though only hemowire
asks first. `sent / image`: payloads handed to TCP; `on the wire`: IP bytes up the device's link,
headers, acknowledgements and TCP's own repeats included. `hemowire` begins with bbr on the
device's socket and goes over to cubic while nothing is lost; the other ways have bbr there, but
for the rows that say otherwise.

The ways: `single` is one QoS 1 message; `segments` is EMQX's file transfer (64 KB segments, fin
with the digest, all again after a failure); `http` posts to a service at the worker's, without a
broker in between. All receivers compute the digest once and store by the same code; `single` tells its
sender nothing, and neither `single` nor `http` could be told to go on with another worker.
"""
_KNOWN_WAYS = {way.label.replace(", ", "-"): way for way in [*WAYS, *BESIDE]}
STRUCK_NOTES = """
The link goes away for 30 s when a half, a quarter or three quarters of the image's time is over
(images of some tens of milliseconds: just before), and comes back; whoever waits does not know.
This stands for the 30 s in every 2 minutes, of which most images see nothing. Limit: the image's
own and 30 s.
"""


def main() -> None:
    """Measures the links asked for and writes the report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bad_links",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--profiles", default=",".join(PROFILES), help="letters: a,b,c,d,e")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="bytes, with commas")
    parser.add_argument("--repeats", type=int, help="connections of each way; else each link's own")
    parser.add_argument("--ways", nargs="+", choices=_KNOWN_WAYS)
    parser.add_argument("--both-ends", action="store_true", help="the worker behind one too")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    unknown = [letter for letter in args.profiles.split(",") if letter not in PROFILES]
    if unknown:
        parser.error(f"no link {', '.join(unknown)}; known are {', '.join(PROFILES)}")
    if why_not():
        parser.error(why_not())
    text = asyncio.run(report(args))
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)


async def report(args: argparse.Namespace) -> str:
    """Measures every link and says so as it goes; the text of the report."""
    letters = args.profiles.split(",")
    load_before = os.getloadavg()[0]
    tallies: dict[str, list[Tally]] = {}
    links: dict[str, str] = {}
    opening = asyncio.Lock()
    beside = [letter for letter in letters if letter != "e"]
    await asyncio.gather(*(_one_link(letter, args, tallies, links, opening) for letter in beside))
    if "e" in letters:
        await _one_link("e", args, tallies, links, opening)
    found = [tally for letter in letters for tally in tallies[letter]]
    struck = struck_rows(found)
    return "\n".join(
        [
            "# Images over bad links",
            "",
            f"{RESEARCH_USE_ONLY} `{command(args)}` on {platform.machine()}, {os.cpu_count()} "
            f"cores, Linux {platform.release()}; every way in turn, on new connections; load of "
            f"the machine {load_before:.1f} before and {os.getloadavg()[0]:.1f} after.",
            "",
            HEAD,
            *rows(found),
            NOTES,
            *(
                ["## Struck by an outage, link (d)", STRUCK_NOTES, STRUCK_HEAD, *struck, ""]
                if struck
                else []
            ),
            "## Goals",
            "",
            *verdicts(found),
            "",
            "The links, each with what it measured of itself when it was opened:",
            "",
            *(links[letter] for letter in letters),
            "",
        ]
    )


def command(args: argparse.Namespace) -> str:
    """As it was called."""
    parts = ["python -m benchmarks.bad_links"]
    if args.profiles != ",".join(PROFILES):
        parts.append(f"--profiles {args.profiles}")
    if args.sizes != ",".join(map(str, SIZES)):
        parts.append(f"--sizes {args.sizes}")
    if args.repeats:
        parts.append(f"--repeats {args.repeats}")
    if args.ways:
        parts.append(f"--ways {' '.join(args.ways)}")
    if args.both_ends:
        parts.append("--both-ends")
    return " ".join(parts)


async def _one_link(
    letter: str,
    args: argparse.Namespace,
    tallies: dict[str, list[Tally]],
    links: dict[str, str],
    opening: asyncio.Lock,
) -> None:
    name, repeats = PROFILES[letter]
    profile = find_profile(name)
    # Outages are begun by hand, in the middle of an image.
    opened = profile.model_copy(update={"outages": None})
    cases = [Case(letter, profile, int(size), args.both_ends) for size in args.sizes.split(",")]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hemowire-links-")))
        ends = Ends(opened, args.both_ends, cases[0].size_bytes)
        around = a_site(ends, folder, Implementation.NAMESPACES)
        # Opening measures the link, which blocks: away from the loop, and one after another.
        async with opening:
            site, reports = await asyncio.to_thread(around.__enter__)
        stack.push(around.__exit__)
        links[letter] = "\n".join(
            f"- ({letter}) {end}: {link.text()}"
            for end, link in zip(("device", "worker"), reports, strict=True)
        )
        tallies[letter] = await measure(
            site, cases, _ways(letter, args), args.repeats or repeats, _tell
        )


def _ways(letter: str, args: argparse.Namespace) -> list[Way]:
    if args.ways:
        return [_KNOWN_WAYS[name] for name in args.ways]
    return [*WAYS, *BESIDE] if letter in OVER_LIMIT_LETTERS else list(WAYS)


def _tell(tally: Tally, image: Carried) -> None:
    case = tally.case
    marks = "".join(
        [" first" * image.is_first, " struck" * image.is_struck, f" {image.failure}".rstrip()]
    )
    limit_s = case.limit_s + case.outage_s * image.is_struck
    print(
        f"({case.letter}) {size_text(case):>7} {tally.way.label:16} {image.took_s:8.3f} s "
        f"{image.took_s / limit_s:5.2f} of the limit, wire {image.wire_share:.2f}, "
        f"attempts {image.attempts}{marks}",
        flush=True,
    )


if __name__ == "__main__":
    main()
