"""
JSON schemas of the custom resources that are used, from their projects' documentation.

A field that is not here is not known, so that a slip of the pen is found: KEDA's reference of
ScaledObject and TriggerAuthentication (2.13 to 2.18), External Secrets' of v1, the Gateway API's
of v1.
"""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_NUMERAL: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}


def _all(needed: Schema, more: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**needed, **(more or {})},
        "required": list(needed),
        "additionalProperties": False,
    }


def _some(**fields: Schema) -> Schema:
    return _all({}, fields)


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of, "minItems": 1}


def _enum(*values: str) -> Schema:
    return {"enum": list(values)}


def _resource(version: str, kind: str, spec: Schema) -> Schema:
    names = {"type": "object", "additionalProperties": {"type": "string"}}
    metadata = _all({"name": _TEXT, "namespace": _TEXT}, {"annotations": names, "labels": names})
    return _all(
        {"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata,
         "spec": spec}
    )  # fmt: skip


_SCALING_RULES = _some(
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    selectPolicy=_enum("Max", "Min", "Disabled"),
    policies=_list(
        _all({"type": _enum("Pods", "Percent"), "value": _NUMBER, "periodSeconds": _NUMBER})
    ),
)
_METRICS_API = _all(
    {"url": {"type": "string", "pattern": "^https?://"}, "valueLocation": _TEXT,
     "targetValue": _NUMERAL},
    {"activationTargetValue": _NUMERAL, "authMode": _enum("apiKey", "basic", "bearer", "tls"),
     "format": _enum("json", "xml", "yaml", "prometheus"), "unsafeSsl": _enum("true", "false")},
)  # fmt: skip
_TRIGGER = _all(
    {"type": {"const": "metrics-api"}, "metadata": _METRICS_API},
    {"name": _TEXT, "metricType": _enum("AverageValue", "Value"),
     "useCachedMetrics": {"type": "boolean"},
     "authenticationRef": _all(
         {"name": _TEXT}, {"kind": _enum("TriggerAuthentication", "ClusterTriggerAuthentication")}
     )},
)  # fmt: skip
_SCALED_OBJECT = _all(
    {"scaleTargetRef": _all({"name": _TEXT}, {"apiVersion": _TEXT, "kind": _TEXT,
                                              "envSourceContainerName": _TEXT}),
     "triggers": _list(_TRIGGER)},
    {"pollingInterval": _NUMBER, "cooldownPeriod": _NUMBER, "initialCooldownPeriod": _NUMBER,
     "idleReplicaCount": _NUMBER, "minReplicaCount": _NUMBER, "maxReplicaCount": _NUMBER,
     "fallback": _all({"failureThreshold": _NUMBER, "replicas": _NUMBER}, {"behavior": _TEXT}),
     "advanced": _some(
         restoreToOriginalReplicaCount={"type": "boolean"},
         horizontalPodAutoscalerConfig=_some(
             name=_TEXT, behavior=_some(scaleUp=_SCALING_RULES, scaleDown=_SCALING_RULES)
         ),
     )},
)  # fmt: skip
_TRIGGER_AUTHENTICATION = _some(
    secretTargetRef=_list(_all({"parameter": _TEXT, "name": _TEXT, "key": _TEXT})),
    env=_list(_all({"parameter": _TEXT, "name": _TEXT}, {"containerName": _TEXT})),
)

_ACCOUNT = _all({"name": _TEXT}, {"namespace": _TEXT, "audiences": _list(_TEXT)})
_PROVIDERS = {
    "aws": _all(
        {"service": _enum("SecretsManager", "ParameterStore"), "region": _TEXT},
        {"role": _TEXT, "auth": _some(jwt=_all({"serviceAccountRef": _ACCOUNT}))},
    ),
    "gcpsm": _all(
        {"projectID": _TEXT},
        {"location": _TEXT, "auth": _some(
            workloadIdentity=_all({"serviceAccountRef": _ACCOUNT}, {
                "clusterLocation": _TEXT, "clusterName": _TEXT, "clusterProjectID": _TEXT})
        )},
    ),
    "vault": _all(
        {"server": {"type": "string", "pattern": "^https://"}, "auth": _some(
            kubernetes=_all({"mountPath": _TEXT, "role": _TEXT}, {"serviceAccountRef": _ACCOUNT}))},
        {"path": _TEXT, "version": _enum("v1", "v2"), "namespace": _TEXT, "caBundle": _TEXT},
    ),
}  # fmt: skip
_SECRET_STORE = _all(
    {"provider": {**_some(**_PROVIDERS), "minProperties": 1, "maxProperties": 1}},
    {"refreshInterval": _NUMBER, "controller": _TEXT},
)
_REMOTE = _all({"key": _TEXT}, {"property": _TEXT, "version": _TEXT})
_EXTERNAL_SECRET = _all(
    {"secretStoreRef": _all({"name": _TEXT}, {"kind": _enum("SecretStore", "ClusterSecretStore")}),
     "target": _some(
         name=_TEXT,
         creationPolicy=_enum("Owner", "Orphan", "Merge", "None"),
         deletionPolicy=_enum("Delete", "Merge", "Retain"),
         immutable={"type": "boolean"},
     ),
     "data": _list(_all({"secretKey": _TEXT, "remoteRef": _REMOTE}))},
    {"refreshInterval": {"type": "string", "pattern": r"^\d+[smh]$"},
     "refreshPolicy": _enum("Periodic", "CreatedOnce", "OnChange")},
)  # fmt: skip

_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_HOST: Schema = {"type": "string", "pattern": r"^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$"}
_DURATION: Schema = {"type": "string", "pattern": r"^(\d{1,5}(h|m|s|ms)){1,4}$"}
_GATEWAY = _all(
    {"gatewayClassName": _TEXT,
     "listeners": _list(_all(
         {"name": _TEXT, "port": _PORT, "protocol": _enum("HTTP", "HTTPS")},
         {"hostname": _HOST,
          "allowedRoutes": _some(namespaces=_some(**{"from": _enum("All", "Same", "Selector")})),
          "tls": _some(mode=_enum("Terminate", "Passthrough"), certificateRefs=_list(
              _all({"name": _TEXT}, {"namespace": _TEXT, "kind": _TEXT, "group": _TEXT})))},
     ))},
    {"addresses": _list(_some(type=_TEXT, value=_TEXT))},
)  # fmt: skip
_REDIRECT = _some(
    scheme=_enum("http", "https"), hostname=_HOST, port=_PORT, statusCode={"enum": [301, 302]}
)
_RULE = _some(
    name=_TEXT,
    matches=_list(_some(path=_all(
        {"type": _enum("Exact", "PathPrefix", "RegularExpression"),
         "value": {"type": "string", "pattern": "^/"}}))),
    filters=_list(_all({"type": {"const": "RequestRedirect"}, "requestRedirect": _REDIRECT})),
    timeouts=_some(request=_DURATION, backendRequest=_DURATION),
    backendRefs=_list(_all({"name": _TEXT, "port": _PORT}, {"weight": _NUMBER})),
)  # fmt: skip
_HTTP_ROUTE = _all(
    {"parentRefs": _list(_all({"name": _TEXT}, {"namespace": _TEXT, "sectionName": _TEXT})),
     "rules": _list(_RULE)},
    {"hostnames": _list(_HOST)},
)  # fmt: skip

_EXTERNAL, _GATEWAYS, _KEDA = "external-secrets.io/v1", "gateway.networking.k8s.io/v1", (
    "keda.sh/v1alpha1"
)  # fmt: skip
SCHEMAS = {
    (version, kind): _resource(version, kind, spec)
    for version, kind, spec in (
        (_KEDA, "ScaledObject", _SCALED_OBJECT),
        (_KEDA, "TriggerAuthentication", _TRIGGER_AUTHENTICATION),
        (_EXTERNAL, "SecretStore", _SECRET_STORE),
        (_EXTERNAL, "ExternalSecret", _EXTERNAL_SECRET),
        (_GATEWAYS, "Gateway", _GATEWAY),
        (_GATEWAYS, "HTTPRoute", _HTTP_ROUTE),
    )
}
