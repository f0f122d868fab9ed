#!/bin/bash
# Runs as root on the machine of gce.sh at every start; the second time there is little to do.
set -euo pipefail
home=/opt/meet-transcript-whisper
asked() { curl -fsS -H Metadata-Flavor:Google "http://metadata.google.internal/computeMetadata/v1/$1"; }

if [ ! -d $home ]; then
    apt-get update
    apt-get install -y git docker.io docker-compose-v2 docker-buildx curl gpg
    toolkit=https://nvidia.github.io/libnvidia-container
    curl -fsSL $toolkit/gpgkey |
        gpg --dearmor -o /usr/share/keyrings/nvidia-container-toolkit-keyring.gpg
    echo "deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg]" \
        "$toolkit/stable/deb/amd64 /" >/etc/apt/sources.list.d/nvidia-container-toolkit.list
    apt-get update
    apt-get install -y nvidia-container-toolkit
    nvidia-ctk runtime configure --runtime=docker
    systemctl restart docker
    git clone --depth 1 "$(asked instance/attributes/repository)" $home
fi
cd $home
umask 077
token=$(gcloud secrets versions access latest --secret hf-token)
printf '%s\n' "HUGGINGFACE_ACCESS_TOKEN=$token" COMPOSE_PROFILES=gpu >.env
docker compose up -d --build --scale worker=0
