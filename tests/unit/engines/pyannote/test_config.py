"""Sources of pyannote's weights, and errors if they are unavailable."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import errors

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.pyannote.config import (
    DEFAULT_MODELS,
    GateClosed,
    HubFiles,
    PipelineConfig,
    find_first_pipeline,
    find_pipeline,
    usable_token,
)

THREE_ONE = "pyannote/speaker-diarization-3.1"
COMMUNITY = "pyannote/speaker-diarization-community-1"


@dataclass
class FakeFiles:
    """A hub's files in a folder; records requests."""

    folder: Path
    closed: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)

    def get(self, repository: str, name: str, revision: str | None) -> Path:
        self.asked.append(f"{repository}:{name}" + (f"@{revision}" if revision else ""))
        if repository in self.closed:
            raise GateClosed(repository)
        return self.folder / repository.rpartition("/")[2] / name


def write_config(folder: Path, **params: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    name = "pyannote.audio.pipelines.SpeakerDiarization"
    config = {"pipeline": {"name": name, "params": params}, "params": {"segmentation": {}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> FakeFiles:
    """A hub with the two official pipelines."""
    write_config(
        tmp_path / "speaker-diarization-3.1",
        clustering="AgglomerativeClustering",
        segmentation="pyannote/segmentation-3.0",
        embedding="pyannote/wespeaker-voxceleb-resnet34-LM@main",
    )
    write_config(
        tmp_path / "speaker-diarization-community-1",
        clustering="VBxClustering",
        segmentation="$model/segmentation",
        embedding="$model/embedding",
        plda="$model/plda",
    )
    return FakeFiles(tmp_path)


# -- tokens and weights ----------------------------------------------------------------------


@pytest.mark.parametrize("token", ["hf_your_token_here", "hf_your_token", " hf_your_token_here\n"])
def test_the_guides_placeholder_is_no_token(token: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert usable_token(token) is None
    assert "placeholder" in caplog.text


@pytest.mark.parametrize(
    ("token", "used"), [(None, None), ("", None), (" hf_real\n", "hf_real"), ("hf_real", "hf_real")]
)
def test_a_token_is_used_as_it_is_and_never_logged(
    token: str | None, used: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert usable_token(token) == used
    assert caplog.text == ""
    assert "hf_real" not in repr(HubFiles(token))


def test_version_3_1_fetches_no_plda(hub: FakeFiles) -> None:
    config = find_pipeline(THREE_ONE, hub.get, has_token=False)
    assert hub.asked == [
        f"{THREE_ONE}:config.yaml",
        "pyannote/segmentation-3.0:pytorch_model.bin",
        "pyannote/wespeaker-voxceleb-resnet34-LM:pytorch_model.bin@main",
    ]
    assert config.plda == ()


def test_community_1_takes_everything_from_one_repository(hub: FakeFiles) -> None:
    config = find_pipeline(f"{COMMUNITY}@v2", hub.get, has_token=False)
    assert {asked.partition(":")[0] for asked in hub.asked} == {COMMUNITY}
    assert all(asked.endswith("@v2") for asked in hub.asked)
    assert [path.name for path in config.plda] == ["xvec_transform.npz", "plda.npz"]


def test_models_are_found_beside_the_config_by_relative_and_absolute_paths(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "wespeaker.bin"
    for path in (elsewhere, tmp_path / "p" / "models" / "pytorch_model.bin"):
        path.parent.mkdir(parents=True)
        path.touch()
    folder = write_config(tmp_path / "p", segmentation="models", embedding=str(elsewhere))
    nothing = FakeFiles(tmp_path)
    for model in (folder, folder / "config.yaml"):
        config = find_pipeline(str(model), nothing.get, has_token=False)
        assert config == PipelineConfig(
            folder / "models/pytorch_model.bin", elsewhere, parameters={"segmentation": {}}
        )
    assert nothing.asked == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"segmentation": "models/seg.bin", "embedding": "a/b"}, "'models/seg.bin' does not exist"),
        ({"embedding": "a/b"}, "names no segmentation model"),
        ({"segmentation": "$model/gone", "embedding": "a/b"}, "lacks gone/pytorch_model.bin"),
    ],
)
def test_a_missing_file_of_a_folder_is_named(
    tmp_path: Path, params: dict[str, str], words: str
) -> None:
    folder = write_config(tmp_path / "p", **params)
    with pytest.raises(EngineUnavailable, match=words):
        find_pipeline(str(folder), FakeFiles(tmp_path).get, has_token=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("- a list", "describes no pyannote pipeline"),
        ("pipeline: {name: a.VoiceActivityDetection}", "VoiceActivityDetection"),
        ("pipeline: {name: a.SpeakerDiarization}", "has no params"),
    ],
)
def test_an_invalid_config_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(EngineUnavailable, match=words):
        find_pipeline(str(tmp_path), FakeFiles(tmp_path).get, has_token=False)


@pytest.mark.parametrize("model", ["/no/such/folder", "no-such-model", "a/b/c"])
def test_a_model_that_is_neither_folder_nor_hub_id_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(EngineUnavailable, match="no folder"):
        find_pipeline(model, FakeFiles(tmp_path).get, has_token=False)


def test_a_closed_gate_names_every_page_whose_terms_count(hub: FakeFiles) -> None:
    hub.closed = [THREE_ONE]
    with pytest.raises(EngineUnavailable) as caught:
        find_pipeline(THREE_ONE, hub.get, has_token=False)
    words = str(caught.value)
    assert "https://huggingface.co/pyannote/speaker-diarization-3.1" in words
    assert "https://huggingface.co/pyannote/segmentation-3.0" in words
    assert "HUGGINGFACE_ACCESS_TOKEN" in words
    assert words.endswith(f"meet-transcriber models pull {THREE_ONE}")


def test_a_gate_behind_an_open_one_is_named_without_asking_for_a_token(hub: FakeFiles) -> None:
    hub.closed = ["pyannote/segmentation-3.0"]
    with pytest.raises(EngineUnavailable, match=r"refuses pyannote/segmentation-3\.0") as caught:
        find_pipeline(THREE_ONE, hub.get, has_token=True)
    assert "HUGGINGFACE_ACCESS_TOKEN" not in str(caught.value)


# -- no pipeline is named --------------------------------------------------------------------


def test_community_1_is_chosen_if_the_token_can_read_it(hub: FakeFiles) -> None:
    name, config = find_first_pipeline(DEFAULT_MODELS, hub.get, has_token=True)
    assert (name, config.arguments["clustering"]) == (COMMUNITY, "VBxClustering")
    assert {asked.partition(":")[0] for asked in hub.asked} == {COMMUNITY}


def test_with_the_terms_of_3_1_alone_3_1_is_chosen_and_logged(
    hub: FakeFiles, caplog: pytest.LogCaptureFixture
) -> None:
    hub.closed = [COMMUNITY]
    with caplog.at_level(logging.WARNING):
        name, config = find_first_pipeline(DEFAULT_MODELS, hub.get, has_token=True)
    assert (name, config.plda) == (THREE_ONE, ())
    passed = next(record for record in caplog.records if record.msg == "pipeline_unavailable")
    assert f"https://huggingface.co/{COMMUNITY}" in str(vars(passed))


def test_if_neither_is_available_the_error_is_about_the_first(hub: FakeFiles) -> None:
    hub.closed = [COMMUNITY, THREE_ONE]
    with pytest.raises(EngineUnavailable) as caught:
        find_first_pipeline(DEFAULT_MODELS, hub.get, has_token=False)
    assert str(caught.value).endswith(f"meet-transcriber models pull {COMMUNITY}")


def test_a_named_pipeline_is_never_replaced(hub: FakeFiles) -> None:
    hub.closed = [COMMUNITY]
    with pytest.raises(EngineUnavailable, match="community-1"):
        find_first_pipeline([COMMUNITY], hub.get, has_token=True)
    assert not any(THREE_ONE in asked for asked in hub.asked)


# -- the hub ---------------------------------------------------------------------------------


@dataclass
class FakeHub:
    """`hf_hub_download` with a cache that may be empty and a hub that may refuse."""

    cached: bool = False
    answer: Exception | None = None
    calls: list[tuple[bool, str | None]] = field(default_factory=list)

    def __call__(
        self,
        repo_id: str,
        filename: str,
        *,
        revision: str | None,
        cache_dir: str | None,
        token: str | None,
        local_files_only: bool,
    ) -> str:
        self.calls.append((local_files_only, token))
        if local_files_only and not self.cached:
            raise errors.LocalEntryNotFoundError(f"{filename} {revision} {cache_dir}")
        if self.answer and not local_files_only:
            raise self.answer
        return f"cache/{repo_id}/{filename}"


def hub_files(hub: FakeHub, *, local: bool = False, problem: str | None = None) -> HubFiles:
    return HubFiles("hf_real", None, local, download=hub, problem=lambda: problem)


@dataclass
class Response:
    """The parts of an HTTP response that the hub's errors use, in all versions."""

    status_code: int
    headers: dict[str, str] = field(default_factory=dict)
    request: None = None


def response(status: int) -> Any:
    return Response(status)


def test_cached_files_are_not_fetched() -> None:
    hub = FakeHub(cached=True)
    assert hub_files(hub).get("a/b", "c", None) == Path("cache/a/b/c")
    assert hub.calls == [(True, None)]


def test_the_token_goes_along_only_to_fetch() -> None:
    hub = FakeHub()
    assert hub_files(hub).get("a/b", "c", None) == Path("cache/a/b/c")
    assert hub.calls == [(True, None), (False, "hf_real")]


def test_the_network_is_not_used_unless_allowed() -> None:
    hub = FakeHub()
    with pytest.raises(EngineUnavailable, match="c of a/b is not on this machine"):
        hub_files(hub, local=True).get("a/b", "c", None)
    assert [local for local, _ in hub.calls] == [True]


def test_an_unreachable_hub_is_reported_with_the_reason() -> None:
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        hub_files(FakeHub(), problem="HF_HUB_OFFLINE is set").get("a/b", "c", None)


@pytest.mark.parametrize(
    "answer",
    [
        errors.GatedRepoError("gated", response=response(403)),
        errors.RepositoryNotFoundError("hidden", response=response(401)),
        errors.HfHubHTTPError("forbidden", response=response(403)),
    ],
    ids=["gated", "hidden", "forbidden"],
)
def test_every_kind_of_refusal_is_a_closed_gate(answer: Exception) -> None:
    with pytest.raises(GateClosed):
        hub_files(FakeHub(answer=answer)).get("a/b", "c", None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (errors.HfHubHTTPError("busy", response=response(503)), "Cannot fetch a/b: busy"),
        (errors.RemoteEntryNotFoundError("x", response=response(404)), "has no c"),
        (OSError("disk full"), "disk full"),
        (errors.HFValidationError("odd"), "neither a folder nor a hub id"),
    ],
    ids=["busy", "no-such-file", "disk", "name"],
)
def test_other_errors_of_the_hub_are_reported(answer: Exception, words: str) -> None:
    with pytest.raises(EngineUnavailable, match=words):
        hub_files(FakeHub(answer=answer)).get("a/b", "c", None)
