#!/bin/bash
# API and GPU workers on Container Apps:   deploy/azure/containerapps.sh
#
# Needs `az login` and the resources of docs/deployment/azure.md, named by REGISTRY, VAULT, STORAGE
# and REDIS_HOST, the host name of Azure Managed Redis. Running it again updates both.
set -euo pipefail
here=$(dirname "$0")
group=${RESOURCE_GROUP:-meet-transcriber-rg}
asked() { az "$@" --resource-group "$group" --name meet-transcriber --output tsv; }

identity=$(asked identity show --query id)
client=$(asked identity show --query clientId)
environment=$(asked containerapp env show --query id)
rendered=$(mktemp -d)
trap 'rm -r "$rendered"' EXIT
fill() { # fill FILE API_HOST_NAME: its words in capitals
    sed -e "s#IDENTITY_ID#$identity#" -e "s#ENVIRONMENT_ID#$environment#" \
        -e "s/value: CLIENT_ID/value: $client/" -e "s/value: STORAGE/value: ${STORAGE:?}/" \
        -e "s/REGISTRY/${REGISTRY:?}/" -e "s/VAULT/${VAULT:?}/" -e "s/REDIS_HOST/${REDIS_HOST:?}/" \
        -e "s/LOCATION/${LOCATION:-eastus}/" -e "s/API_HOST_NAME/$2/" "$here/$1" >"$rendered/$1"
}

fill containerapp-api.yaml -
az containerapp create --resource-group "$group" --name meet-transcriber \
    --yaml "$rendered/containerapp-api.yaml"
host=$(asked containerapp show --query properties.configuration.ingress.fqdn)
fill containerapp-worker.yaml "$host"
az containerapp create --resource-group "$group" --name meet-transcriber-worker \
    --yaml "$rendered/containerapp-worker.yaml"
echo "https://$host"
