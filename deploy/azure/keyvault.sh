#!/bin/bash
# A key vault, readable by one identity:   deploy/azure/keyvault.sh VAULT PRINCIPAL_ID
#
# It gets the token, fresh API keys, and REDIS_PASSWORD where that is set; run again, it makes other
# keys. Needs HUGGINGFACE_ACCESS_TOKEN; VAULT is a name that is free in all of Azure. PRINCIPAL_ID
# is of the machine's or container's identity. You need Key Vault Secrets Officer to write it.
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
