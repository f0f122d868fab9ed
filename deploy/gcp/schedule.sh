#!/bin/bash
# Stops the machine of gce.sh at night and starts it in the morning:   deploy/gcp/schedule.sh
#
# STOP_AT, START_AT (cron) and TIME_ZONE may be set. The service agent of Compute Engine needs the
# role roles/compute.instanceAdmin.v1: docs/deployment/google-cloud.md.
set -euo pipefail
zone=${ZONE:-us-central1-a}

gcloud compute resource-policies create instance-schedule meet-transcriber-nights \
    --region "${zone%-*}" --timezone "${TIME_ZONE:-UTC}" \
    --vm-stop-schedule "${STOP_AT:-0 20 * * *}" --vm-start-schedule "${START_AT:-0 6 * * 1-5}"
gcloud compute instances add-resource-policies meet-transcriber --zone "$zone" \
    --resource-policies meet-transcriber-nights
