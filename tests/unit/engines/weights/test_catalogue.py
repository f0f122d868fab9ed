"""The catalogue of this package."""

import re

import pytest

from meet_transcriber.engines.weights.catalogue import Model, catalogue

MODELS = list(catalogue().models.values())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_model_has_an_attribution_and_a_home(model: Model) -> None:
    assert model.licence
    assert model.attribution
    if model.repository:
        assert model.home == f"https://huggingface.co/{model.repository}"
    else:  # then a package has to carry it
        assert model.home.startswith("https://")
        assert all(file.members for file in model.files)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_model_has_the_files_of_its_kind(model: Model) -> None:
    paths = [file.path for file in model.files]
    assert len(set(paths)) == len(paths)
    if model.kind == "recognition":
        assert {"model.bin", "config.json", "tokenizer.json", "vocabulary.txt"} <= set(paths)
    else:
        assert len(paths) == 1  # a checkpoint


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_file_has_a_digest_and_is_in_its_folder(model: Model) -> None:
    for file in model.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert re.fullmatch(r"\w[\w.]*", file.path)
        assert all(part.package in catalogue().packages for part in file.members)


def test_each_package_has_a_digest_and_is_a_wheel_of_its_version() -> None:
    for package in catalogue().packages.values():
        assert re.fullmatch("[0-9a-f]{64}", package.sha256)
        stem = f"{package.name.replace('-', '_')}-{package.version}-"
        assert package.wheel.startswith(stem)
        assert package.wheel.endswith(".whl")


@pytest.mark.parametrize("name", catalogue().recognition_names)
def test_every_name_has_a_repository_on_the_hub(name: str) -> None:
    repository = catalogue().repository_of(name)
    assert repository is not None
    assert catalogue().repository_of(repository) == repository
