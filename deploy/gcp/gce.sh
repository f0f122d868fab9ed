#!/bin/bash
# One GPU machine with Docker Compose:   deploy/gcp/gce.sh
#
# Needs GOOGLE_CLOUD_PROJECT; run deploy/gcp/secrets.sh first. ZONE, MACHINE and GPU
# (g2-standard-4 has one nvidia-l4) and REPOSITORY may be set; SPOT=yes is cheaper and may be
# stopped at any time.
set -euo pipefail
zone=${ZONE:-us-central1-a}
spot=()
[ "${SPOT:-no}" = yes ] && spot=(--provisioning-model=SPOT --instance-termination-action=STOP)

rule() { # rule NAME OPTIONS...: a rule of the firewall for the machine, unless it is there
    gcloud compute firewall-rules describe "$1" >/dev/null 2>&1 ||
        gcloud compute firewall-rules create "$@" --target-tags http-server
}

# HTTP and HTTPS, and ssh only through Google's proxy. These rules take precedence over the one of
# the network default that opens port 22 to the internet.
rule allow-http --allow tcp:80,tcp:443
rule allow-iap-ssh --allow tcp:22 --source-ranges 35.235.240.0/20
rule deny-others --action DENY --rules all --priority 2000

# Secure boot rejects NVIDIA's kernel modules.
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
