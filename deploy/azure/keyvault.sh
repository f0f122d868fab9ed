#!/bin/bash
# The token in a key vault, readable by one identity:   deploy/azure/keyvault.sh VAULT PRINCIPAL_ID
#
# Needs HUGGINGFACE_ACCESS_TOKEN; VAULT is a name that is free in all of Azure. PRINCIPAL_ID is of
# the machine's or container's identity. You need Key Vault Secrets Officer to write it.
set -euo pipefail
vault=${1:?give the name of the vault}
principal=${2:?give the id of the identity that reads it}
group=${RESOURCE_GROUP:-meet-transcriber-rg}
file=$(mktemp)
trap 'rm -f "$file"' EXIT
printf %s "${HUGGINGFACE_ACCESS_TOKEN:?}" >"$file"

id=$(az keyvault create --name "$vault" --resource-group "$group" \
    --enable-rbac-authorization true --query id --output tsv)
az keyvault secret set --vault-name "$vault" --name huggingface-access-token --file "$file" \
    --output none
az role assignment create --role "Key Vault Secrets User" --scope "$id" \
    --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal
