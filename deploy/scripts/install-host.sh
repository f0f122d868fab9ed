#!/usr/bin/env bash
# Prepares an Ubuntu or Debian machine: Docker with compose and, where there is an NVIDIA GPU or
# --gpu is given, NVIDIA's container toolkit. Idempotent.
#
#   sudo deploy/scripts/install-host.sh [--gpu|--no-gpu] [--dry-run]
set -euo pipefail

DOCKER=https://download.docker.com/linux
TOOLKIT=https://nvidia.github.io/libnvidia-container
KEYRINGS=/usr/share/keyrings

dry_run=
gpu=auto
for argument in "$@"; do
    case $argument in
    --dry-run) dry_run=1 ;;
    --gpu) gpu=yes ;;
    --no-gpu) gpu=no ;;
    *)
        echo "install-host.sh: unknown option $argument; the options are --gpu, --no-gpu and --dry-run." >&2
        exit 2
        ;;
    esac
done

run() { # run COMMAND...: print it, and do it unless this is a dry run
    printf '+ %s\n' "$*"
    [ -n "$dry_run" ] || "$@"
}

write() { # write FILE TEXT
    printf '+ write %s: %s\n' "$1" "$2"
    [ -n "$dry_run" ] || printf '%s\n' "$2" >"$1"
}

fetch_key() { # fetch_key ADDRESS FILE: a publisher's key, for its own packages only
    printf '+ curl -fsSL %s | gpg --dearmor -o %s\n' "$1" "$2"
    [ -n "$dry_run" ] || curl -fsSL "$1" | gpg --dearmor --yes -o "$2"
}

install_docker() {
    # shellcheck disable=SC1091 # exists on every supported machine
    . /etc/os-release
    case $ID in
    ubuntu | debian) ;;
    *)
        echo "This script supports Ubuntu and Debian, not $ID; see docs.docker.com/engine/install." >&2
        exit 1
        ;;
    esac
    run apt-get update
    run apt-get install -y --no-install-recommends ca-certificates curl gnupg
    if command -v docker >/dev/null && docker compose version >/dev/null 2>&1; then
        echo "Docker and compose are already installed."
        return
    fi
    fetch_key "$DOCKER/$ID/gpg" "$KEYRINGS/docker.gpg"
    write /etc/apt/sources.list.d/docker.list \
        "deb [arch=$(dpkg --print-architecture) signed-by=$KEYRINGS/docker.gpg] $DOCKER/$ID $VERSION_CODENAME stable"
    run apt-get update
    run apt-get install -y docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin
}

has_gpu() {
    case $gpu in
    yes) true ;;
    no) false ;;
    auto) command -v nvidia-smi >/dev/null || grep -qs 0x10de /sys/bus/pci/devices/*/vendor ;;
    esac
}

install_toolkit() {
    if ! command -v nvidia-smi >/dev/null; then
        echo "Note: the NVIDIA driver is not installed; install version 580 or newer (ubuntu-drivers install) and restart the machine."
    fi
    fetch_key "$TOOLKIT/gpgkey" "$KEYRINGS/nvidia-container-toolkit.gpg"
    write /etc/apt/sources.list.d/nvidia-container-toolkit.list \
        "deb [signed-by=$KEYRINGS/nvidia-container-toolkit.gpg] $TOOLKIT/stable/deb/\$(ARCH) /"
    run apt-get update
    run apt-get install -y nvidia-container-toolkit
    run nvidia-ctk runtime configure --runtime=docker
    run systemctl restart docker
}

if [ -z "$dry_run" ] && [ "$(id -u)" -ne 0 ]; then
    echo "This script installs packages: run it with sudo, or preview it with --dry-run." >&2
    exit 1
fi
install_docker
if has_gpu; then
    install_toolkit
else
    echo "No NVIDIA GPU found, so the container toolkit is not installed; --gpu installs it anyway."
fi
[ -z "${SUDO_USER:-}" ] || run usermod -aG docker "$SUDO_USER"
echo "Done. Next: docker compose up -d"
