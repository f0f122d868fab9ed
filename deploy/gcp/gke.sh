#!/bin/bash
# A cluster with autoscaled GPU nodes:   deploy/gcp/gke.sh
#
# Needs GOOGLE_CLOUD_PROJECT. Deploy deploy/kubernetes/overlays/gke to it. GKE installs the driver
# itself, so no manifest of another repository is needed.
set -euo pipefail
zone=${ZONE:-us-central1-a}

# The network default opens port 22 of every node to the internet.
gcloud compute firewall-rules describe deny-ssh-to-nodes >/dev/null 2>&1 ||
    gcloud compute firewall-rules create deny-ssh-to-nodes --action DENY --rules tcp:22 \
        --priority 2000 --target-tags meet-transcriber-node
gcloud container clusters describe meet-transcriber --zone "$zone" >/dev/null 2>&1 ||
    gcloud container clusters create meet-transcriber --zone "$zone" \
        --num-nodes 1 --machine-type e2-standard-4 --release-channel regular \
        --workload-pool "${GOOGLE_CLOUD_PROJECT:?}.svc.id.goog" --enable-dataplane-v2 \
        --enable-shielded-nodes --tags meet-transcriber-node
gcloud container node-pools create gpu-pool --cluster meet-transcriber --zone "$zone" \
    --machine-type g2-standard-4 \
    --accelerator type=nvidia-l4,count=1,gpu-driver-version=latest \
    --num-nodes 0 --enable-autoscaling --min-nodes 0 --max-nodes "${MAX_NODES:-4}" \
    --spot --node-taints nvidia.com/gpu=present:NoSchedule --tags meet-transcriber-node
