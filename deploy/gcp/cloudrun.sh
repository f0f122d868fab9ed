#!/bin/bash
# API and GPU workers on Cloud Run:   deploy/gcp/cloudrun.sh TAG
#
# Needs GOOGLE_CLOUD_PROJECT; run deploy/gcp/secrets.sh first. The first run creates registry, bucket
# and Redis; later ones deploy a new TAG.
set -euo pipefail
tag=${1:?give a tag, such as the version: deploy/gcp/cloudrun.sh 0.1.0}
here=$(dirname "$0")
project=${GOOGLE_CLOUD_PROJECT:?}
region=${REGION:-us-central1}
export CLOUDSDK_RUN_REGION=$region # some clients know no --region at `worker-pools replace`
account=meet-transcriber@$project.iam.gserviceaccount.com
bucket=$project-meet-transcriber

gcloud artifacts repositories describe meet-transcriber --location "$region" >/dev/null 2>&1 ||
    gcloud artifacts repositories create meet-transcriber --location "$region" \
        --repository-format docker
gcloud storage buckets describe "gs://$bucket" >/dev/null 2>&1 || {
    gcloud storage buckets create "gs://$bucket" --location "$region" \
        --uniform-bucket-level-access --public-access-prevention \
        --lifecycle-file "$here/bucket-lifecycle.json"
    gcloud storage buckets add-iam-policy-binding "gs://$bucket" \
        --member "serviceAccount:$account" --role roles/storage.objectUser
}
gcloud redis instances describe meet-transcriber --region "$region" >/dev/null 2>&1 || {
    gcloud redis instances create meet-transcriber --region "$region" --tier standard --size 1 \
        --redis-version redis_7_2 --enable-auth --redis-config maxmemory-policy=noeviction \
        --persistence-mode rdb --rdb-snapshot-period 1h
    gcloud redis instances get-auth-string meet-transcriber --region "$region" \
        --format 'value(authString)' | tr -d '\n' |
        gcloud secrets create redis-password --data-file=-
    gcloud secrets add-iam-policy-binding redis-password \
        --member "serviceAccount:$account" --role roles/secretmanager.secretAccessor
}
rendered=$(mktemp -d)
trap 'rm -r "$rendered"' EXIT
redis=$(gcloud redis instances describe meet-transcriber --region "$region" \
    --format 'value(host,port)' | tr '\t' ':')

gcloud builds submit --config "$here/cloudbuild.yaml" \
    --substitutions "_TAG=$tag,_REGION=$region" .
for what in cloudrun-api.service worker-pool; do
    sed -e "s/PROJECT_ID/$project/g" -e "s/REGION/$region/g" -e "s/TAG/$tag/g" \
        -e "s/REDIS_HOST_AND_PORT/$redis/g" "$here/$what.yaml" >"$rendered/$what.yaml"
done
gcloud run services replace "$rendered/cloudrun-api.service.yaml"
gcloud beta run worker-pools replace "$rendered/worker-pool.yaml"
