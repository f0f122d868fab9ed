#!/bin/bash
# One GPU machine with Docker Compose:   deploy/gcp/gce.sh
#
# Needs GOOGLE_CLOUD_PROJECT, and deploy/gcp/secrets.sh to have run. ZONE, MACHINE and GPU
# (g2-standard-4 has one nvidia-l4) and REPOSITORY may be set; SPOT=yes is cheaper and may be
# stopped at any time.
set -euo pipefail
zone=${ZONE:-us-central1-a}
spot=()
[ "${SPOT:-no}" = yes ] && spot=(--provisioning-model=SPOT --instance-termination-action=STOP)

# The web, and ssh through Google's own proxy alone. The network default lets the whole world in on
# port 22, by a rule that everything here comes before.
gcloud compute firewall-rules create allow-http --allow tcp:80,tcp:443 --target-tags http-server
gcloud compute firewall-rules create allow-iap-ssh --allow tcp:22 \
    --source-ranges 35.235.240.0/20 --target-tags http-server
gcloud compute firewall-rules create deny-others --action DENY --rules all --priority 2000 \
    --target-tags http-server

# Secure boot would refuse NVIDIA's kernel modules.
gcloud compute instances create meet-transcriber --zone "$zone" \
    --machine-type "${MACHINE:-g2-standard-4}" \
    --accelerator "type=${GPU:-nvidia-l4},count=1" \
    --maintenance-policy TERMINATE "${spot[@]}" \
    --image-family "${IMAGE_FAMILY:-common-cu129-ubuntu-2404-nvidia-580}" \
    --image-project deeplearning-platform-release \
    --boot-disk-size 100GB --boot-disk-type pd-ssd \
    --service-account "meet-transcriber@${GOOGLE_CLOUD_PROJECT:?}.iam.gserviceaccount.com" \
    --scopes cloud-platform \
    --no-shielded-secure-boot --tags http-server \
    --metadata "repository=${REPOSITORY:-https://github.com/yourusername/meet-transcript-whisper.git},enable-oslogin=TRUE,install-nvidia-driver=True" \
    --metadata-from-file "startup-script=$(dirname "$0")/startup.sh"
