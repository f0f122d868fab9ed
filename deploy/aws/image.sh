#!/bin/bash
# Builds the image and pushes it to ECR:   deploy/aws/image.sh TAG [TARGET]
#
# TARGET is a stage of the Dockerfile (default cpu; worker-gpu for ecs-gpu.yaml).
# --dry-run prints the commands. Needs AWS_REGION, docker, and permissions for ECR.
set -euo pipefail

run=
[ "${1:-}" = --dry-run ] && { run="echo"; shift; }
tag=${1:?give a tag, such as the version: deploy/aws/image.sh 0.1.0}
target=${2:-cpu}
[ "$target" = cpu ] || tag=$tag-$target
account=$(aws sts get-caller-identity --query Account --output text)
registry=$account.dkr.ecr.${AWS_REGION:?}.amazonaws.com

aws ecr describe-repositories --repository-names meet-transcriber >/dev/null 2>&1 ||
    $run aws ecr create-repository --repository-name meet-transcriber \
        --image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true
$run docker build --target "$target" -t "meet-transcriber:$tag" .
$run docker tag "meet-transcriber:$tag" "$registry/meet-transcriber:$tag"
if [ -z "$run" ]; then
    aws ecr get-login-password --region "$AWS_REGION" |
        docker login --username AWS --password-stdin "$registry"
fi
$run docker push "$registry/meet-transcriber:$tag"
echo "$registry/meet-transcriber:$tag"
