"""The secret of webhooks on the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from meet_transcriber.cli import app
from meet_transcriber.outbound.webhooks import tenant_secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path)}


def show(env: dict[str, str], *words: str) -> str:
    result = CliRunner(env=env).invoke(app, ["keys", "webhook-secret", *words])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_each_tenant_has_its_own_webhook_secret(env: dict[str, str]) -> None:
    env = {**env, "WEBHOOK_SECRET": SECRET}
    assert show(env) == SECRET
    assert show(env, "--tenant", "acme") == tenant_secret(SECRET, "acme")


def test_a_generated_webhook_secret_stays(env: dict[str, str]) -> None:
    first = show(env)
    assert first.startswith("whsec_")
    assert show(env) == first
    assert show(env, "--tenant", "acme") == tenant_secret(first, "acme")


def test_while_secrets_rotate_the_newest_is_shown(env: dict[str, str]) -> None:
    env = {**env, "WEBHOOK_SECRET": f"{SECRET} {SECRET.replace('Mf', 'Mg')}"}
    assert show(env) == SECRET
    assert show(env, "--tenant", "acme") == tenant_secret(SECRET, "acme")
