"""What no linter knows: whether the manifests make one system that works."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from meet_transcriber import __version__
from meet_transcriber.auth.keyring import read_static
from meet_transcriber.core.auth import SCOPES
from meet_transcriber.settings import Settings
from meet_transcriber.settings.secret_sources import DEFAULT_NAMES
from meet_transcriber.worker.runtime import STOP_SECONDS
from scripts.http_reference import document
from tests.deploy.kubernetes.rendered import (
    BASE,
    DEPLOY,
    GPU,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    TOGETHER,
    Object,
    config,
    containers,
    objects,
    one,
    overlay,
    pods,
    secrets,
    together,
)

OF_A_STORE = {"AWS_REGION"}  # obstore reads it, not we
GRACE_NEEDED_SECONDS = 10.0 + STOP_SECONDS
SECRETS_PAGE = (ROOT / "docs" / "secrets.md").read_text()


@pytest.fixture(params=["base", *OVERLAYS, *TOGETHER], ids=str)
def rendered(request: pytest.FixtureRequest) -> list[Object]:
    """Everything that can be applied, one after the other."""
    wanted = request.param
    return overlay(wanted) if isinstance(wanted, str) else together(wanted)


def strings(value: Any) -> Iterator[str]:
    """Every text in an object."""
    if isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


# -- GPUs --------------------------------------------------------------------------------------


def test_gpus_are_the_workers_alone_and_whole(rendered: list[Object]) -> None:
    wanting = {name for name, each in containers(rendered) if GPU in each["resources"]["limits"]}
    assert wanting <= {"worker"}
    for name, pod in pods(rendered):
        (each,) = pod["containers"]
        asked, allowed = (each["resources"][kind].get(GPU) for kind in ("requests", "limits"))
        assert asked == allowed
        tolerated = [x["key"] for x in pod.get("tolerations", ())]
        assert (GPU in tolerated) is (name in wanting)
    assert (config(rendered).get("WHISPER_DEVICE") == "cuda") is bool(wanting)


@pytest.mark.parametrize("name", ["gpu", "gke"])
def test_workers_with_a_gpu_have_the_image_that_can_use_it(name: str) -> None:
    images = {workload: each["image"] for workload, each in containers(overlay(name))}
    assert images["worker"] == f"{images['api']}-worker-gpu"


@pytest.mark.parametrize("way", ["mps", "timeSlicing"])
def test_a_gpu_can_be_shared_by_two_workers(way: str) -> None:
    file = {"mps": "mps.yaml", "timeSlicing": "time-slicing.yaml"}[way]
    (found,) = objects((KUBERNETES / "gpu-sharing" / file).read_text())
    (text,) = found["data"].values()
    (plugin,) = objects(text)
    (shared,) = plugin["sharing"][way]["resources"]
    assert (plugin["version"], list(plugin["sharing"])) == ("v1", [way])
    assert shared == {"name": GPU, "replicas": 2}


# -- storage -----------------------------------------------------------------------------------


def test_api_and_worker_keep_recordings_in_the_same_place(rendered: list[Object]) -> None:
    sides = []
    for name in ("api", "worker"):
        pod = one(rendered, "Deployment", name)["spec"]["template"]["spec"]
        (each,) = pod["containers"]
        claims = {x["name"]: x["persistentVolumeClaim"]["claimName"] for x in pod["volumes"]
                  if "persistentVolumeClaim" in x}  # fmt: skip
        mounts = [(claims[x["name"]], x["mountPath"], x.get("readOnly", False))
                  for x in each["volumeMounts"] if x["name"] in claims]  # fmt: skip
        sides.append((each["envFrom"], mounts))
    assert sides[0] == sides[1]
    place = config(rendered)["MEDIA_URL"]
    assert place == "redis" or place.startswith(("s3://", "gs://")) or [
        (claim, mount) for claim, mount, read_only in sides[0][1]
        if place == f"file://{mount}" and not read_only
        and one(rendered, "PersistentVolumeClaim", claim)["spec"]["accessModes"]
        == ["ReadWriteMany"]
    ]  # fmt: skip


def test_what_is_kept_in_redis_fits_into_it() -> None:
    limit = dict(containers(overlay("base")))["redis"]["resources"]["limits"]["memory"]
    known = one(overlay("base"), "ConfigMap", "redis-config")["data"]["redis.conf"]
    most = re.search(r"^maxmemory (\d+)mb$", known, re.MULTILINE)
    assert most is not None
    budget = int(config(overlay("base"))["REDIS_MEDIA_BUDGET_MB"])
    # as much again for records and messages; a rewrite of the file may copy all of it
    assert 2 * budget <= int(most.group(1))
    assert 2 * int(most.group(1)) <= int(limit.removesuffix("Mi"))


def test_redis_keeps_what_it_acknowledged() -> None:
    redis = one(overlay("base"), "StatefulSet", "redis")["spec"]
    lines = one(overlay("base"), "ConfigMap", "redis-config")["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    (claim,) = redis["volumeClaimTemplates"]
    mounts = redis["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in mounts
    assert "dir /data" in lines


# -- containers --------------------------------------------------------------------------------


def test_every_container_is_shut_in(rendered: list[Object]) -> None:
    for _name, pod in pods(rendered):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # API_PORT=tcp://... would stop every process
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for _name, each in containers(rendered):
        shut = each["securityContext"]
        assert (shut["runAsNonRoot"], shut["runAsUser"] >= 10_000) == (True, True)
        assert (shut["readOnlyRootFilesystem"], shut["allowPrivilegeEscalation"]) == (True, False)
        assert shut["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory", "ephemeral-storage"} <= set(each["resources"]["limits"])
    for account in (x for x in rendered if x["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_variables_of_services_would_stop_us() -> None:
    with pytest.raises(ValueError, match="api_port"):
        Settings(_env_file=None, api_port="tcp://10.0.0.1:80")


def test_images_are_exact_and_say_our_version_in_one_way(rendered: list[Object]) -> None:
    images = {name: each["image"] for name, each in containers(rendered)}
    assert images["api"] == f"your-registry/meet-transcriber:{__version__}"
    assert images["worker"] in {images["api"], f"{images['api']}-worker-gpu"}
    assert re.fullmatch(r"redis:\d+\.\d+\.\d+-alpine", images["redis"])


def test_the_deployment_is_in_the_guides_words() -> None:
    (worker,) = one(overlay("base"), "Deployment", "worker")["spec"]["template"]["spec"][
        "containers"
    ]
    guide = (ROOT / "docs/guide/deployment-guide.md").read_text()
    said = re.search(r"command: (\[\"celery.*\])", guide)
    assert said is not None
    assert objects(said.group(1)) == [worker["command"]]


# -- who reaches what --------------------------------------------------------------------------


def test_nothing_but_the_front_door_is_open_to_the_world(rendered: list[Object]) -> None:
    kinds = {x["metadata"]["name"]: x["spec"].get("type", "ClusterIP") for x in rendered
             if x["kind"] == "Service"}  # fmt: skip
    assert kinds.pop("redis") == "ClusterIP"
    assert set(kinds) == {"api"}
    gateways = [x["spec"] for x in rendered if x["kind"] == "Gateway"]
    listened = [y["port"] for spec in gateways for y in spec["listeners"]]
    assert listened in ([], [80, 443])


def test_a_gateway_leads_to_the_api_and_from_http_to_https() -> None:
    found = overlay("gateway")
    gateway, service = one(found, "Gateway", "meet-transcriber"), one(found, "Service", "api")
    doors = {x["name"]: x["protocol"] for x in gateway["spec"]["listeners"]}
    routes = [x for x in found if x["kind"] == "HTTPRoute"]
    for route in routes:
        (parent,), (rule,) = route["spec"]["parentRefs"], route["spec"]["rules"]
        assert parent["name"] == gateway["metadata"]["name"]
        if doors[parent["sectionName"]] == "HTTP":
            assert rule["filters"][0]["requestRedirect"]["scheme"] == "https"
        else:
            (target,) = rule["backendRefs"]
            assert target == {"name": "api", "port": service["spec"]["ports"][0]["port"]}
            assert rule["timeouts"]["request"] == "0s"  # uploads and events
    assert sorted(doors[x["spec"]["parentRefs"][0]["sectionName"]] for x in routes) == [
        "HTTP", "HTTPS"
    ]  # fmt: skip


# -- settings and secrets ----------------------------------------------------------------------


def test_every_variable_is_a_setting(rendered: list[Object]) -> None:
    known = {name.upper() for name in Settings.model_fields} | OF_A_STORE
    known |= set(objects(guides_config())[0]["data"])
    named = set(config(rendered))
    for name, each in containers(rendered):
        if name != "redis":
            named |= {x["name"] for x in each.get("env", ())}
    assert named <= known
    assert {"REDIS_URL", "MEDIA_URL", "WHISPER_MODEL"} <= set(config(rendered))


def guides_config() -> str:
    """The guide's ConfigMap."""
    guide = (ROOT / "docs/guide/deployment-guide.md").read_text()
    block = re.search(r"(?s)\*\*configmap.yaml\*\*\n```yaml\n(.*?)```", guide)
    assert block is not None
    return block.group(1)


def test_the_settings_make_sense_together(rendered: list[Object]) -> None:
    known: dict[str, Any] = {name.lower(): x for name, x in config(rendered).items()}
    settings = Settings(_env_file=None, **known)
    assert settings.embedded is False
    assert settings.auth_mode == "required"


def test_a_model_in_the_image_has_no_volume_over_it() -> None:
    def places(components: tuple[str, ...]) -> set[str]:
        worker = dict(pods(together(components)))["worker"]
        mounts = worker["containers"][0]["volumeMounts"]
        assert {x["name"] for x in mounts} == {x["name"] for x in worker["volumes"]}
        return {x["mountPath"] for x in mounts}

    assert places(("cpu", "rwx")) - places(("cpu", "baked", "rwx")) == {"/models"}


def mounted(found: list[Object]) -> dict[str, set[str]]:
    """Workload -> keys of our Secret that it has as files."""
    keys: dict[str, set[str]] = {}
    for name, pod in pods(found):
        for volume in pod["volumes"]:
            sources = [x["secret"] for x in volume.get("projected", {}).get("sources", ())
                       if "secret" in x]  # fmt: skip
            for source in [*sources, *([volume["secret"]] if "secret" in volume else [])]:
                assert source.get("name", source.get("secretName")) == "meet-transcriber-secrets"
                keys.setdefault(name, set()).update(x["key"] for x in source["items"])
    return keys


def test_each_has_the_secrets_that_it_needs_and_no_other() -> None:
    assert mounted(overlay("base")) == {
        "redis": {"REDIS_PASSWORD"},
        "api": {"REDIS_PASSWORD", "API_KEYS", "API_KEY_PEPPER", "VOICE_SECRET"},
        "worker": {"REDIS_PASSWORD", "HUGGINGFACE_ACCESS_TOKEN", "VOICE_SECRET"},
    }


def test_the_secrets_that_are_made_are_those_that_are_read() -> None:
    made = one(secrets(HUGGINGFACE_ACCESS_TOKEN="hf_x"), "Secret", "meet-transcriber-secrets")
    assert set.union(*mounted(overlay("base")).values()) == set(made["stringData"])
    assert {name.lower() for name in made["stringData"]} <= set(Settings.model_fields)
    assert made["stringData"]["HUGGINGFACE_ACCESS_TOKEN"] == "hf_x"


def test_secrets_are_made_anew_each_time_and_without_a_token_there_is_none() -> None:
    first, second = (one(secrets(), "Secret", "meet-transcriber-secrets") for _ in range(2))
    for name, value in first["stringData"].items():
        assert value != second["stringData"][name]
        assert len(value) >= 64
    assert "HUGGINGFACE_ACCESS_TOKEN" not in first["stringData"]


def test_the_keys_that_are_made_are_keys() -> None:
    made = secrets()
    admin, monitor = read_static(
        one(made, "Secret", "meet-transcriber-secrets")["stringData"]["API_KEYS"]
    )
    assert (admin.name, admin.scopes, admin.tenant) == ("admin", SCOPES, "")
    assert (monitor.name, monitor.scopes) == ("monitor", ("monitor",))
    shown = one(made, "Secret", "meet-transcriber-monitor")["stringData"]["API_KEY"]
    assert monitor.token == shown


def test_no_secret_is_in_what_is_rendered(rendered: list[Object]) -> None:
    assert [x for x in rendered if x["kind"] == "Secret"] == []
    assert [text for text in strings(rendered) if "hf_your" in text] == []


@pytest.mark.parametrize("manager", ["aws", "gcp", "vault"])
def test_external_secrets_read_what_the_guides_commands_write(manager: str) -> None:
    found = objects((DEPLOY / "secrets" / f"external-secret.{manager}.yaml").read_text())
    (secret,) = [x for x in found if x["kind"] == "ExternalSecret"]
    (store,) = [x for x in found if x["kind"] == "SecretStore"]
    assert secret["spec"]["secretStoreRef"]["name"] == store["metadata"]["name"]
    assert secret["spec"]["target"]["name"] == "meet-transcriber-secrets"
    (data,) = secret["spec"]["data"]
    assert data["secretKey"] in mounted(overlay("base"))["worker"]
    vault = store["spec"]["provider"].get("vault", {})
    place = "/".join(filter(None, [vault.get("path"), data["remoteRef"]["key"]]))
    assert place == DEFAULT_NAMES[manager]
    fields = {"aws": "HUGGINGFACE_ACCESS_TOKEN", "gcp": None, "vault": "hf_token"}
    assert data["remoteRef"].get("property") == fields[manager]


def test_vaults_agent_gets_what_the_page_of_secrets_says() -> None:
    worker = one(together(("vault",)), "Deployment", "worker")["spec"]["template"]
    block = re.search(r"(?s)```yaml\n(vault\.hashicorp.*?)```", SECRETS_PAGE)
    assert block is not None
    (told,) = objects(block.group(1))
    assert told.items() <= worker["metadata"]["annotations"].items()
    variables = {x["name"]: x.get("value") for x in worker["spec"]["containers"][0]["env"]}
    assert variables["SECRETS_DIR"] == "/vault/secrets"
    token = worker["metadata"]["annotations"][
        "vault.hashicorp.com/agent-service-account-token-volume-name"
    ]
    assert token in {x["name"] for x in worker["spec"]["volumes"] if "projected" in x}


# -- ends, limits, probes ----------------------------------------------------------------------


def test_what_ends_has_the_time_that_it_takes(rendered: list[Object]) -> None:
    grace = {name: pod["terminationGracePeriodSeconds"] for name, pod in pods(rendered)}
    assert min(grace.values()) >= GRACE_NEEDED_SECONDS


def test_a_new_worker_never_waits_for_the_gpu_of_an_old_one() -> None:
    strategy = one(overlay("gpu"), "Deployment", "worker")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_one_limit_of_uploads_holds() -> None:
    # nothing here sets another, and no route of a Gateway has one
    for name in ("base", *OVERLAYS):
        assert "MAX_UPLOAD_SIZE_MB" not in config(overlay(name))
    page = (ROOT / "docs/deployment/kubernetes.md").read_text()
    most = Settings.model_fields["max_upload_size_mb"].default
    assert set(re.findall(r"(\d+) MiB a recording", page)) == {str(most)}


def test_probes_ask_what_the_api_has(rendered: list[Object]) -> None:
    paths = document()["paths"]
    (api,) = one(rendered, "Deployment", "api")["spec"]["template"]["spec"]["containers"]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        path, _, query = api[kind]["httpGet"]["path"].partition("?")
        known = {x["name"] for x in paths[path]["get"].get("parameters", ())}
        assert not query or query.partition("=")[0] in known
        assert path == ("/health/ready" if kind == "readinessProbe" else "/health")
    (worker,) = one(rendered, "Deployment", "worker")["spec"]["template"]["spec"]["containers"]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert worker[kind]["exec"]["command"] == ["meet-transcriber", "health"]


# -- scaling -----------------------------------------------------------------------------------


def test_keda_asks_for_a_figure_that_the_api_tells() -> None:
    found = overlay("keda")
    spec = one(found, "ScaledObject", "worker")["spec"]
    (trigger,) = spec["triggers"]
    queue = document()["components"]["schemas"]["Queue"]["properties"]
    assert trigger["metadata"]["valueLocation"] in queue
    service = one(found, "Service", "api")["metadata"]
    at = f"http://{service['name']}.{service['namespace']}.svc.cluster.local/queue"
    assert trigger["metadata"]["url"] == at
    auth = one(found, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    (ref,) = auth["spec"]["secretTargetRef"]
    assert (trigger["metadata"]["authMode"], ref["parameter"]) == ("bearer", "token")
    assert ref["key"] in one(secrets(), "Secret", ref["name"])["stringData"]


def test_keda_takes_over_the_guides_autoscaler_with_its_bounds() -> None:
    before = one(overlay("base"), "HorizontalPodAutoscaler", "worker-hpa")["spec"]
    found = overlay("keda")
    assert [x for x in found if x["kind"] == "HorizontalPodAutoscaler"] == []
    spec = one(found, "ScaledObject", "worker")["spec"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["name"] == "worker-hpa"
    assert spec["maxReplicaCount"] == before["maxReplicas"]
    (metric,) = before["metrics"]
    target = metric["external"]["target"]["averageValue"]
    assert spec["triggers"][0]["metadata"]["targetValue"] == str(target)
    # a worker is not taken away for a pause that is shorter than one part
    assert spec["cooldownPeriod"] > Settings.model_fields["part_seconds"].default
    assert "fallback" not in spec  # while the API is away, workers stay as they are


def test_the_guides_autoscaler_is_as_the_guide_has_it() -> None:
    guide = (ROOT / "docs/guide/deployment-guide.md").read_text()
    block = re.search(r"(?s)# Kubernetes HPA\n(.*?)```", guide)
    assert block is not None
    (theirs,) = objects(block.group(1))
    ours = objects((BASE / "worker-hpa.yaml").read_text())[0]
    assert theirs["metadata"] == ours["metadata"]
    assert theirs["spec"].items() <= ours["spec"].items()
    assert "replicas" not in one(overlay("base"), "Deployment", "worker")["spec"]
