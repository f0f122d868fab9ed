"""Each cloud's secret manager returns the guide's secret, and its refusals are errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.system import secret_servers as servers
from tests.system.media_servers import moto_server
from tests.unit.settings.child import Loaded, load


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a machine at AWS, as moto plays it."""
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        yield {
            "SECRETS_FROM": "aws",
            "AWS_ENDPOINT_URL": address,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIAtesting",
            "AWS_SECRET_ACCESS_KEY": "aws-own-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def keep_at_aws(aws: dict[str, str], name: str, text: str) -> None:
    client: Any = boto3.client(
        "secretsmanager",
        region_name=aws["AWS_REGION"],
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_secret(Name=name, SecretString=text)


def test_aws_gives_the_guides_secret(tmp_path: Path, aws: dict[str, str]) -> None:
    keep_at_aws(aws, "meet-transcriber/hf-token", '{"HUGGINGFACE_ACCESS_TOKEN":"hf_at_aws"}')
    assert load(tmp_path, **aws).token == "hf_at_aws"


def test_aws_gives_every_setting_of_another_secret(tmp_path: Path, aws: dict[str, str]) -> None:
    kept = {"hf_token": "hf_ours", "REDIS_PASSWORD": "p", "colour": "red"}
    keep_at_aws(aws, "ours", json.dumps(kept))
    loaded = load(tmp_path, **aws, SECRETS_NAME="ours")
    assert loaded.token == "hf_ours"
    assert loaded.settings["redis_password"] == "p"


@pytest.mark.parametrize("text", ["hf_bare_value", '"hf_bare_value"', '["hf_bare_value"]'])
def test_an_aws_secret_of_another_shape_is_not_shown(
    tmp_path: Path, aws: dict[str, str], text: str
) -> None:
    name = f"bare-{len(text)}"
    keep_at_aws(aws, name, text)
    error = load(tmp_path, **aws, SECRETS_NAME=name).error
    assert "it is not a JSON object" in error
    assert "hf_bare_value" not in error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SECRETS_NAME": "elsewhere"}, "AWS answers ResourceNotFoundException. It does not exist"),
        ({"AWS_REGION": ""}, "NoRegionError. Set AWS_REGION"),
        ({"AWS_ENDPOINT_URL": "nowhere at all"}, "the address of AWS is not valid. Check"),
        ({"AWS_ACCESS_KEY_ID": ""}, "NoCredentialsError. Assign a role to the machine"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "EndpointConnectionError. Check the network",
        ),
    ],
)
def test_a_refusal_of_aws_is_an_error(
    tmp_path: Path, aws: dict[str, str], change: dict[str, str], said: str
) -> None:
    error = load(tmp_path, **(aws | change)).error
    assert said in error
    assert "aws-own-secret" not in error


@pytest.fixture
def google(tmp_path: Path) -> Iterator[tuple[servers.Cloud, dict[str, str]]]:
    """A machine at Google, and its environment."""
    cloud = servers.google()
    with servers.serving(cloud) as port:
        yield (
            cloud,
            {
                "SECRETS_FROM": "gcp",
                "HOME": str(tmp_path),
                "GCE_METADATA_HOST": f"127.0.0.1:{port}",
                "GCE_METADATA_IP": f"127.0.0.1:{port}",
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": f"http://127.0.0.1:{port}/",
            },
        )


Google = tuple[servers.Cloud, dict[str, str]]


def test_google_gives_the_guides_secret(tmp_path: Path, google: Google) -> None:
    cloud, environment = google
    servers.add_google_secret(cloud, "projects/meetings/secrets/hf-token", b"hf_at_google\n")
    assert load(tmp_path, **environment).token == "hf_at_google"


def test_google_gives_settings_of_another_projects_secret(tmp_path: Path, google: Google) -> None:
    cloud, environment = google
    name = "projects/other/secrets/all"
    servers.add_google_secret(cloud, name, b'{"hf-token": "hf_all", "redis-password": "p"}')
    loaded = load(tmp_path, **environment, SECRETS_NAME=name)
    assert loaded.token == "hf_all"
    assert loaded.settings["redis_password"] == "p"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (servers.Reply(404, {}), "answers 404. It does not exist"),
        (servers.Reply(403, {}), "answers 403. Grant roles/secretmanager.secretAccessor"),
        (servers.Reply(200, {"payload": {"data": "//79"}}), "it is not text"),
        (servers.Reply(200, {}), "it is not text"),
    ],
)
def test_a_refusal_of_google_is_an_error(
    tmp_path: Path, google: Google, reply: servers.Reply, said: str
) -> None:
    cloud, environment = google
    cloud.replies["/v1/projects/meetings/secrets/hf-token/versions/latest:access"] = reply
    assert said in load(tmp_path, **environment).error


def test_google_is_not_called_without_credentials(tmp_path: Path) -> None:
    nowhere = {"GCE_METADATA_HOST": "127.0.0.1:9", "GCE_METADATA_IP": "127.0.0.1:9"}
    error = load(tmp_path, HOME=tmp_path, SECRETS_FROM="gcp", NO_GCE_CHECK="true", **nowhere).error
    assert "Google gives no credentials" in error
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def azure(tmp_path: Path, certificate: Path) -> Iterator[tuple[servers.Cloud, dict[str, str]]]:
    """A machine at Azure, and its environment."""
    cloud = servers.Cloud()
    with servers.serving(cloud, certificate) as vault, servers.serving(cloud) as identity:
        servers.play_azure(cloud, vault)
        yield (
            cloud,
            {
                "SECRETS_FROM": "azure",
                "SECRETS_NAME": f"https://127.0.0.1:{vault}",
                "HOME": str(tmp_path),
                "IDENTITY_ENDPOINT": f"http://127.0.0.1:{identity}/identity",
                "IDENTITY_HEADER": "machine",
                "REQUESTS_CA_BUNDLE": str(certificate.with_name("crt.pem")),
            },
        )


def ask_azure(folder: Path, azure: Google, **values: str) -> Loaded:
    cloud, environment = azure
    servers.add_azure_secrets(cloud, environment["SECRETS_NAME"], **values)
    return load(folder, **environment)


def test_azure_returns_the_secrets_named_like_settings(tmp_path: Path, azure: Google) -> None:
    kept = {"huggingface_access_token": "hf_at_azure", "redis_password": "p", "colour": "red"}
    loaded = ask_azure(tmp_path, azure, **kept)
    assert loaded.token == "hf_at_azure"
    assert loaded.settings["redis_password"] == "p"


def test_azure_accepts_the_short_name_of_the_token(tmp_path: Path, azure: Google) -> None:
    assert ask_azure(tmp_path, azure, hf_token="hf_short").token == "hf_short"


def test_a_refusal_of_azure_is_an_error(tmp_path: Path, azure: Google) -> None:
    cloud, environment = azure
    cloud.replies["/secrets"] = servers.Reply(403, {"error": {"code": "Forbidden"}})
    error = load(tmp_path, **environment).error
    assert "status 403. Assign the role Key Vault Secrets User" in error


def test_a_partly_refused_vault_is_not_used(tmp_path: Path, azure: Google) -> None:
    cloud, environment = azure
    servers.add_azure_secrets(cloud, environment["SECRETS_NAME"], hf_token="hf_hidden")
    cloud.replies["/secrets/hf-token"] = servers.Reply(403, {"error": {"code": "Forbidden"}})
    assert "status 403" in load(tmp_path, **environment).error


@pytest.mark.parametrize("manager", ["aws", "gcp", "azure"])
def test_a_missing_library_is_named(tmp_path: Path, manager: str) -> None:
    for package in ("botocore", "google", "azure"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('not here')")
    said = {"SECRETS_FROM": manager, "SECRETS_NAME": "x", "PYTHONPATH": tmp_path}
    assert f"pip install 'meet-transcriber[{manager}]'" in load(tmp_path, **said).error
