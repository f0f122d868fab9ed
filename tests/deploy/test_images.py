"""What the images are made of, and what they may do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.engine import MODEL, MODELS, ROOT, SAFE, SETTINGS, docker, layers, weights

NO_NETWORK = ("--network", "none")


def _megabytes(image: str) -> float:
    return sum(layers(image).values()) / 1e6


@pytest.mark.parametrize(("name", "bound"), [("image", 600), ("api_image", 200)])
def test_our_own_layers_stay_small(
    name: str, bound: int, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    image = request.getfixturevalue(name)
    with capsys.disabled():
        print(f"\n{image}: our own layers have {_megabytes(image):.0f} MB")
    assert 50 < _megabytes(image) < bound


def test_a_container_has_no_rights_and_writes_nowhere(image: str) -> None:
    script = (
        "id -u; touch /app/x /opt/venv/x 2>&1; touch /tmp/x && echo tmp; grep CapEff /proc/1/status"
    )
    said = docker("run", "--rm", *SAFE, image, "sh", "-c", f"{script} || true")
    assert said.splitlines()[0] == "10001"
    assert said.count("Read-only file system") == 2
    assert "tmp" in said.splitlines()
    assert said.endswith("0000000000000000")


def test_an_image_says_what_it_is(image: str) -> None:
    labels = docker("image", "inspect", image, "--format", "{{json .Config.Labels}}")
    version = docker("run", "--rm", *SAFE, image, "meet-transcriber", "--version").split()[-1]
    assert '"org.opencontainers.image.licenses":"MIT"' in labels
    assert f'"org.opencontainers.image.version":"{version}"' in labels


def test_the_api_image_has_no_engine_and_its_application_loads(api_image: str) -> None:
    program = (
        "import importlib.util as u; from meet_transcriber.api.main import app; "
        "print([n for n in ('ctranslate2', 'tokenizers', 'numpy', 'onnxruntime', 'torch', 'pip') "
        "if u.find_spec(n)], app.title)"
    )
    said = docker("run", "--rm", *SAFE, api_image, "python", "-c", program)
    assert said == "[] Meet Transcriber"


def test_the_api_image_looks_at_a_recording(api_image: str) -> None:
    program = (
        "from meet_transcriber.audio.sandbox.client import ConfinedDecoder; "
        "print(ConfinedDecoder().probe(open('/meeting.ogg', 'rb')).codec)"
    )
    meeting = f"{ROOT}/tests/data/budget.ogg:/meeting.ogg:ro"
    said = docker("run", "--rm", *SAFE, "-v", meeting, api_image, "python", "-c", program)
    assert said == "opus"


def _heard(image: str, recording: Path, *options: str) -> str:
    """What a container without a network transcribes."""
    settings = [f"--env={name}={value}" for name, value in SETTINGS.items()]
    mounted = ["--volume", f"{recording}:/start.ogg:ro"]
    command = ("meet-transcriber", "transcribe", "/start.ogg")
    return docker("run", "--rm", *SAFE, *NO_NETWORK, *settings, *mounted, *options, image, *command)


def test_a_model_in_the_image_needs_no_network(baked_image: str, recording: Path) -> None:
    assert "budget" in _heard(baked_image, recording).lower()
    script = f"stat -c %Y.%u /models/{MODEL}/model.bin; ls /models"
    said = docker("run", "--rm", *SAFE, *NO_NETWORK, baked_image, "sh", "-c", script)
    assert said.split() == ["0.10001", *sorted(MODELS)]


def test_the_models_in_the_image_have_their_licences(baked_image: str) -> None:
    script = "cat /models/*/LICENSE"
    said = docker("run", "--rm", *SAFE, *NO_NETWORK, baked_image, "sh", "-c", script)
    for words in ("Copyright (c) 2022 OpenAI", "CNRS", "Apache License", "3D-Speaker"):
        assert words in said


def test_a_folder_that_was_copied_needs_no_network(
    image: str, recording: Path, tmp_path: Path
) -> None:
    """Mounted to be read alone, and younger than its record says."""
    models = tmp_path / "models"  # pytest's own folder is closed to the image's user
    for name in MODELS:
        shutil.copytree(weights(name), models / name, copy_function=shutil.copyfile)
    mounted = ("--volume", f"{models}:/models:ro")
    assert "budget" in _heard(image, recording, *mounted).lower()


def test_without_a_network_an_image_says_where_it_looked_and_what_helps(image: str) -> None:
    script = "meet-transcriber models pull base 2>&1 || echo $?"
    said = docker("run", "--rm", *SAFE, *NO_NETWORK, image, "sh", "-c", script)
    text = " ".join(said.split())
    assert text.endswith(" 4")
    for place in (
        "/models (it is not there)",
        "huggingface.co",
        "the package index",
        "Copy its folder",
    ):
        assert place in text


def test_the_gpu_image_finds_cublas_by_its_name(gpu_image: str) -> None:
    program = "import ctypes, ctranslate2; ctypes.CDLL('libcublas.so.12'); print('found')"
    assert docker("run", "--rm", *SAFE, gpu_image, "python", "-c", program) == "found"


def test_the_dockerfile_is_clean() -> None:
    hadolint = [str(ROOT / sys.prefix / "bin" / "hadolint"), str(ROOT / "Dockerfile")]
    done = subprocess.run(hadolint, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_nothing_of_a_checkout_but_what_is_needed_goes_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    wanted = {line[1:] for line in lines if line.startswith("!")}
    packed = {"LICENSE", "README.md", "pyproject.toml", "requirements", "src"}
    assert wanted == packed | {"deploy/weights"}
