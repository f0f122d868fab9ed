#!/bin/bash
# A key vault, readable by one identity:   deploy/azure/keyvault.sh VAULT PRINCIPAL_ID
#
# Stores the token, new API keys, and REDIS_PASSWORD if set; running it again replaces the keys. Needs
# HUGGINGFACE_ACCESS_TOKEN. VAULT must be unique in all of Azure. PRINCIPAL_ID is that of the machine's
# or container's identity. You need the role Key Vault Secrets Officer.
set -euo pipefail
vault=${1:?give the name of the vault}
principal=${2:?give the id of the identity that reads it}
group=${RESOURCE_GROUP:-meet-transcriber-rg}
file=$(mktemp)
trap 'rm -f "$file"' EXIT

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

put() { # put NAME VALUE: through a file, so that no list of processes shows it
    printf %s "$2" >"$file"
    az keyvault secret set --vault-name "$vault" --name "$1" --file "$file" --output none
}

token=${HUGGINGFACE_ACCESS_TOKEN:?}
id=$(az keyvault create --name "$vault" --resource-group "$group" \
    --enable-rbac-authorization true --query id --output tsv)
monitor=$(random)
put huggingface-access-token "$token"
put api-keys "admin:$(random):submit+read+admin+monitor:,monitor:$monitor:monitor"
put monitor-key "$monitor"
[ -z "${REDIS_PASSWORD:-}" ] || put redis-password "$REDIS_PASSWORD"
az role assignment create --role "Key Vault Secrets User" --scope "$id" \
    --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal
