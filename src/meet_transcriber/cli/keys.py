"""`keys`: API keys of the configured service."""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.bootstrap import auth, services
from meet_transcriber.cli.console import AsJson, configured, echo_json, stderr
from meet_transcriber.core.auth import ApiKey, AuditEntry, NewKey, validate_scopes

app = typer.Typer(no_args_is_help=True, help="API keys of the configured service.")

_DAY_SECONDS = 86_400.0
_SHOWN = (
    *("id", "name", "tenant", "scopes", "created_at"),
    *("expires_at", "revoked_at", "used_at", "static"),
)
"""Fields of a key that are no secret."""

KeyId = Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its purpose: letters, digits, '.', '_', '-'.")],
    scopes: Annotated[
        str, typer.Option(help="Comma-separated: submit, read, admin, monitor.")
    ] = "submit,read",
    tenant: Annotated[
        str | None, typer.Option(help="Tenant whose jobs it can access; defaults to its name.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days until it expires; never if unset.")
    ] = None,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    with _auth() as context:
        expires_at = None if days is None else time.time() + days * _DAY_SECONDS
        owner = name if tenant is None else tenant
        wanted = validate_scopes(scope.strip() for scope in scopes.split(","))
        made = context.keyring.create(name, owner, wanted, expires_at)
        _audit(context, "create_key", made.key)
        _print_token(made)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys, without their secrets."""
    with _auth() as context:
        keys = context.keyring.list_keys()
        if as_json:
            echo_json([{name: getattr(key, name) for name in _SHOWN} for key in keys])
            return
        table = Table("id", "name", "tenant", "scopes", "created", "last used", "state")
        for key in keys:
            scopes, state = " ".join(key.scopes), _state(key)
            created, used = _format_time(key.created_at), _format_time(key.used_at)
            table.add_row(key.id, key.name, key.tenant, scopes, created, used, state)
        Console().print(table)


@app.command()
def revoke(key_id: KeyId) -> None:
    """Revoke a key and its sessions at once."""
    with _auth() as context:
        key = context.keyring.revoke(key_id)
        _audit(context, "revoke_key", key)
        stderr.print(f"{key.name} ({key.id}) is revoked.", markup=False)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        int, typer.Option(min=0, max=86_400, help="Seconds that the old secret stays valid.")
    ] = 0,
) -> None:
    """Replace the secret of a key and print it; ends its sessions."""
    with _auth() as context:
        made = context.keyring.rotate(key_id, float(overlap))
        _audit(context, "rotate_key", made.key)
        _print_token(made)


@app.command("webhook-secret")
def show_webhook_secret(
    tenant: Annotated[
        str, typer.Option(help="Tenant whose webhooks it verifies; the operator's if unset.")
    ] = "",
) -> None:
    """Print the secret that signs a tenant's webhooks."""
    with configured() as settings:
        jobs = services.stores(settings).jobs
        try:
            typer.echo(services.webhook_secret(settings, jobs, tenant).split()[0])
        finally:
            jobs.close()


@contextmanager
def _auth() -> Iterator[auth.AuthContext]:
    with configured() as settings:
        stores = services.stores(settings)
        try:
            yield auth.build_auth(settings, stores.jobs, stores.clock)
        finally:
            stores.jobs.close()


def _audit(context: auth.AuthContext, action: str, key: ApiKey) -> None:
    address = f"terminal {_user()}".strip()
    context.trail.append(AuditEntry(time.time(), action, target=key.id, address=address))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        return ""


def _print_token(made: NewKey) -> None:
    scopes = " ".join(made.key.scopes)
    stderr.print(f"{made.key.name} ({made.key.id}), scopes {scopes}:", markup=False)
    typer.echo(made.token)


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    return "expired" if key.expires_at <= time.time() else f"until {_format_time(key.expires_at)}"


def _format_time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else ""
