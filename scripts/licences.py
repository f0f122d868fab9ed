"""The licences of locked packages, from installed metadata: `python -m scripts.licences [LOCK]`."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).parents[1] / "requirements"

ALLOWED = re.compile(
    r"\b(0BSD|Apache|BSD|CNRI|CC0|ISC|LGPL|Lesser General Public|MIT|MPL|Mozilla Public License"
    r"|PSF|Python Software Foundation|Unlicense|Zlib)\b",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"AGPL|Affero|non-?commercial|\bNC\b|SSPL|Server Side Public|BUSL|Business Source"
    r"|proprietary|(?<!L)GPL(?!\w)|(?<!Lesser )General Public License",
    re.IGNORECASE,
)
# Their metadata names none; their LICENSE file does.
KNOWN = dict.fromkeys(
    ("axe-playwright-python", "pyannote-core", "pyannote-database", "pyannote-metrics"), "MIT"
)


def locked_here(lock: str) -> list[str]:
    """The packages of requirements/LOCK.txt that are for this platform and Python."""
    text = (REQUIREMENTS / f"{lock}.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([\w.-]+(?:\[[\w,-]+\])?==[^\\\n]+)", text, re.MULTILINE)
    wanted = [Requirement(line.strip()) for line in lines]
    return [each.name for each in wanted if each.marker is None or each.marker.evaluate()]


def declared(package: str) -> str:
    """The licence in the metadata of an installed package; empty if it names none."""
    found = metadata(package).json
    if expression := found.get("license_expression"):
        return str(expression)
    kinds = [kind for kind in found.get("classifier", []) if kind.startswith("License ::")]
    named = "; ".join(kind.rpartition(" :: ")[2] for kind in kinds)
    return named or str(found.get("license", "")).partition("\n")[0] or KNOWN.get(package, "")


def is_allowed(licence: str) -> bool:
    """Whether a company may ship it: permissive or weak copyleft, and nothing that forbids use."""
    return bool(ALLOWED.search(licence)) and not REFUSED.search(licence)


def refused(lock: str) -> Iterator[str]:
    """The packages of a lock whose licence is refused or unknown, with that licence."""
    for package in locked_here(lock):
        if not is_allowed(licence := declared(package)):
            yield f"{package}: {licence or 'no licence named'}"


def main(lock: str = "runtime") -> None:
    """Print a table."""
    for package in locked_here(lock):
        print(f"{package:28} {declared(package)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
