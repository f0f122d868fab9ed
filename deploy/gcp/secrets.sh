#!/bin/bash
# Secrets and the service account that can read them:   deploy/gcp/secrets.sh
#
# Needs GOOGLE_CLOUD_PROJECT and HUGGINGFACE_ACCESS_TOKEN; existing secrets are kept. The
# default compute account is not used, as it has far more permissions.
set -euo pipefail
account=meet-transcriber@${GOOGLE_CLOUD_PROJECT:?}.iam.gserviceaccount.com

missing() { ! gcloud "$@" >/dev/null 2>&1; }

if missing iam service-accounts describe "$account"; then
    gcloud iam service-accounts create meet-transcriber --display-name "Meet Transcriber"
fi
if missing secrets describe hf-token; then
    printf %s "${HUGGINGFACE_ACCESS_TOKEN:?}" | gcloud secrets create hf-token --data-file=-
fi
if missing secrets describe api-key; then
    key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    printf %s "admin:$key:submit+read+admin+monitor:" | gcloud secrets create api-key --data-file=-
fi
for secret in hf-token api-key; do
    gcloud secrets add-iam-policy-binding "$secret" \
        --member "serviceAccount:$account" --role roles/secretmanager.secretAccessor
done
