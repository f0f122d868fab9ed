#!/bin/bash
# Runs as root on the machine of gce.sh at every boot; idempotent.
set -euo pipefail
home=/opt/meet-transcript-whisper
asked() { curl -fsS -H Metadata-Flavor:Google "http://metadata.google.internal/computeMetadata/v1/$1"; }

if [ ! -d $home ]; then
    command -v git || { apt-get update && apt-get install -y git; }
    git clone --depth 1 "$(asked instance/attributes/repository)" $home
fi
cd $home
# Existing settings are kept, such as the domain.
if [ ! -e .env ]; then
    deploy/scripts/install-host.sh --gpu
    umask 077
    token=$(gcloud secrets versions access latest --secret hf-token)
    printf '%s\n' "HUGGINGFACE_ACCESS_TOKEN=$token" COMPOSE_PROFILES=gpu >.env
fi
docker compose up -d --build --scale worker=0
