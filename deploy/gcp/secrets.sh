#!/bin/bash
# Secrets, and the service account that may read them:   deploy/gcp/secrets.sh
#
# Needs GOOGLE_CLOUD_PROJECT and HUGGINGFACE_ACCESS_TOKEN. The default compute account is left
# alone: it may do far more than read a token.
set -euo pipefail
account=meet-transcriber@${GOOGLE_CLOUD_PROJECT:?}.iam.gserviceaccount.com

gcloud iam service-accounts create meet-transcriber --display-name "Meet Transcriber"
printf %s "${HUGGINGFACE_ACCESS_TOKEN:?}" | gcloud secrets create hf-token --data-file=-
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' | gcloud secrets create api-key --data-file=-
for secret in hf-token api-key; do
    gcloud secrets add-iam-policy-binding "$secret" \
        --member "serviceAccount:$account" --role roles/secretmanager.secretAccessor
done
