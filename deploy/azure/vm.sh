#!/bin/bash
# One GPU machine with Docker Compose:   deploy/azure/vm.sh
#
# Needs `az login`. RESOURCE_GROUP, LOCATION, SIZE and REPOSITORY may be set; SPOT=yes is cheaper
# and may be stopped at any time; STOP_AT=2000 stops it at that time (UTC) every day, and nothing
# starts it again. No port for SSH: see docs/deployment/azure.md for access.
set -euo pipefail
group=${RESOURCE_GROUP:-meet-transcriber-rg}
spot=()
[ "${SPOT:-no}" = yes ] && spot=(--priority Spot --eviction-policy Deallocate --max-price -1)
start=$(mktemp)
trap 'rm -f "$start"' EXIT
sed "s#REPOSITORY#${REPOSITORY:-https://github.com/yourusername/meet-transcript-whisper.git}#" \
    "$(dirname "$0")/start.yaml" >"$start"

az group create --name "$group" --location "${LOCATION:-eastus}"
# Secure boot rejects NVIDIA's kernel modules, hence the standard security type.
az vm create --resource-group "$group" --name meet-transcriber \
    --image Canonical:ubuntu-24_04-lts:server:latest \
    --size "${SIZE:-Standard_NC4as_T4_v3}" --security-type Standard \
    --admin-username azureuser --generate-ssh-keys \
    --nsg meet-transcriber-nsg --nsg-rule NONE --public-ip-sku Standard \
    --os-disk-size-gb 100 --storage-sku Premium_LRS --assign-identity '[system]' \
    --custom-data "$start" "${spot[@]}"
az network nsg rule create --resource-group "$group" --nsg-name meet-transcriber-nsg \
    --name web --priority 1001 --access Allow --direction Inbound --protocol Tcp \
    --source-address-prefixes Internet --destination-port-ranges 80 443
az vm extension set --resource-group "$group" --vm-name meet-transcriber \
    --publisher Microsoft.HpcCompute --name NvidiaGpuDriverLinux
if [ -n "${STOP_AT:-}" ]; then
    az vm auto-shutdown --resource-group "$group" --name meet-transcriber --time "$STOP_AT"
fi
