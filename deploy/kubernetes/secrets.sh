#!/bin/sh
# Prints the two Secrets of deploy/kubernetes with fresh random values:
#
#   umask 077 && deploy/kubernetes/secrets.sh >deploy/kubernetes/base/secrets.yaml
#
# HUGGINGFACE_ACCESS_TOKEN is included if set. Run it once: new values invalidate the password of a
# running Redis and every API key.
set -eu

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

admin=$(random)
monitor=$(random)
cat <<END
apiVersion: v1
kind: Secret
metadata:
  name: meet-transcriber-secrets
  namespace: meet-transcriber
type: Opaque
stringData:
  REDIS_PASSWORD: "$(random)"
  API_KEY_PEPPER: "$(random)"
  VOICE_SECRET: "$(random)"
  # name:key:scopes:tenant; the first key is yours.
  API_KEYS: "admin:$admin:submit+read+admin+monitor:,monitor:$monitor:monitor"
END
token=${HUGGINGFACE_ACCESS_TOKEN:-}
case $token in
*[!A-Za-z0-9_-]*)
    echo "HUGGINGFACE_ACCESS_TOKEN contains invalid characters; set it again." >&2
    exit 1
    ;;
?*) printf '  HUGGINGFACE_ACCESS_TOKEN: "%s"\n' "$token" ;;
esac
cat <<END
---
# The key with which KEDA calls GET /queue.
apiVersion: v1
kind: Secret
metadata:
  name: meet-transcriber-monitor
  namespace: meet-transcriber
type: Opaque
stringData:
  API_KEY: "$monitor"
END
