"""Runs in the environment of azure-cli: `az ARGUMENTS...` against an Azure of ours.

Usage: azure_client.py LOG CERTIFICATE ARGUMENTS...; every request that changes something is
appended to LOG, a line of JSON each. Only the account of the client is put in, as nobody can log
in here; what it makes of its arguments is its own.
"""

import json
import re
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from azure.cli.core import _profile, get_default_cli
from azure.core.credentials import AccessToken, AccessTokenInfo

LOG, CERTIFICATE, *ARGUMENTS = sys.argv[1:]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
CLIENT_ID = "00000000-0000-0000-0000-000000000002"
MACHINE = {
    "storageProfile": {"osDisk": {}},
    "networkProfile": {"networkInterfaces": []},
    "instanceView": {"statuses": [], "vmAgent": {"statuses": []}},
    "provisioningState": "Succeeded",
}
IMAGE = {
    "hyperVGeneration": "V2",
    "architecture": "x64",
    "osDiskImage": {"operatingSystem": "Linux"},
    "features": [],
}
APPS = [
    {"resourceType": kind, "locations": ["East US"]}
    for kind in ("containerApps", "managedEnvironments")
]


def _has(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


# Part of a path -> what is at it besides its id and name; a list stands for itself.
THERE: tuple[tuple[str, Any], ...] = (
    (r"/versions/[^/]+$", _has(**IMAGE)),
    (r"/versions$", [{"name": "24.04.1"}]),
    (r"/virtualMachines/[^/]+(/instanceView)?$", _has(**MACHINE)),
    (r"/deployments/|/resource[gG]roups/[^/]+$", _has(provisioningState="Succeeded", outputs={})),
    (r"/(virtualNetworks|networkSecurityGroups|skus|usages)$", {"value": []}),
    (r"/publishers$", [{"name": "Microsoft.HpcCompute"}]),
    (r"/types$", [{"name": "NvidiaGpuDriverLinux"}]),
    (r"/(publicIPAddresses|networkInterfaces)/", _has(ipConfigurations=[])),
    (r"/roleDefinitions$", {"value": [{"id": "/role"}]}),
    (r"/providers/[\w.]+$", {"registrationState": "Registered", "resourceTypes": APPS}),
    (r"/userAssignedIdentities/", _has(clientId=CLIENT_ID)),
    (r"/managedEnvironments/", _has(workloadProfiles=[{"name": "gpu"}])),
)


def _found(path: str) -> Any:
    """What is there already; None where there is nothing."""
    there = {"id": path, "name": path.rpartition("/")[2], "location": "eastus", "properties": {}}
    if path.endswith("/containerApps/meet-transcriber") and _asked_for(path):
        return there | _has(
            configuration={"ingress": {"fqdn": "api.example.azurecontainerapps.io"}}
        )
    found = next((each for pattern, each in THERE if re.search(pattern, path)), None)
    if isinstance(found, list):
        return [there | each for each in found]
    return None if found is None else there | found


def _asked_for(path: str) -> bool:
    """Whether it was made by an earlier command."""
    log = Path(LOG)
    return log.exists() and f'"path": "{path}"' in log.read_text()


def _said(value: Any) -> Any:
    """What Azure answers of what it was told: nothing that is null."""
    if isinstance(value, dict):
        return {key: _said(each) for key, each in value.items() if each is not None}
    return [_said(each) for each in value] if isinstance(value, list) else value


class Handler(BaseHTTPRequestHandler):
    """Takes everything, and says that it is made."""

    def _answer(self) -> None:
        if self.path.startswith("/secrets/") and "Authorization" not in self.headers:
            self._ask_who_it_is()
            return
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        found: Any
        if self.command == "GET":
            found = _found(path)
            if found is None:
                sys.stderr.write(f"nothing at {path}\n")
        else:
            body = json.loads(text or b"{}")
            with Path(LOG).open("a") as log:
                log.write(json.dumps({"path": path, "body": body}) + "\n")
            state = {**_said(body.get("properties") or {}), "provisioningState": "Succeeded"}
            found = {
                **_said(body),
                "id": path,
                "name": path.rpartition("/")[2],
                "properties": state,
            }
            if path.startswith("/secrets/"):
                found["id"] = f"https://vault.example{path}/1"
        missing = {"error": {"code": "ResourceNotFound", "message": "not found"}}
        answer = json.dumps(missing if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _ask_who_it_is(self) -> None:
        """As a key vault does, before it takes anything."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(401)
        where = 'authorization="https://login.example/t", resource="https://127.0.0.1"'
        self.send_header("WWW-Authenticate", f"Bearer {where}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_PATCH = _answer  # noqa: N815 - http.server finds them by name

    def log_message(self, *_: object) -> None: ...


class Credential:
    """An account that is logged in."""

    def get_token(self, *_: object, **__: object) -> AccessToken:
        return AccessToken("theirs", int(time.time()) + 3600)

    def get_token_info(self, *_: object, **__: object) -> AccessTokenInfo:
        return AccessTokenInfo("theirs", int(time.time()) + 3600)


def main() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, f"{CERTIFICATE}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    account = {
        "id": SUBSCRIPTION, "tenantId": "t", "name": "s", "environmentName": "AzureCloud",
        "user": {"name": "u", "type": "user"},
    }  # fmt: skip
    _profile.Profile.get_login_credentials = lambda *_, **__: (Credential(), SUBSCRIPTION, "t")
    token = ("Bearer", "theirs", {})
    _profile.Profile.get_raw_token = lambda *_, **__: (token, SUBSCRIPTION, "t")
    _profile.Profile.get_subscription = lambda *_, **__: account
    _profile.Profile.get_subscription_id = lambda *_, **__: SUBSCRIPTION
    client = get_default_cli()
    client.cloud.endpoints.resource_manager = f"https://127.0.0.1:{server.server_port}/"
    # A vault's address is https://NAME and this.
    client.cloud.suffixes.keyvault_dns = f"@127.0.0.1:{server.server_port}"
    try:
        return int(client.invoke(ARGUMENTS))
    except SystemExit as end:
        return int(end.code or 0)


sys.exit(main())
