#!/bin/bash
# Creates or updates a stack:   deploy/aws/deploy.sh ec2|ecs-fargate|ecs-gpu Parameter=Value...
#
# STACK is its name, by default meet-transcriber, with -ec2 or -gpu for those two. The secret
# meet-transcriber/hf-token must exist. --dry-run creates a change set and does not execute it.
set -euo pipefail

only=
[ "${1:-}" = --dry-run ] && { only=--no-execute-changeset; shift; }
template=${1:?name a template: ec2, ecs-fargate or ecs-gpu}
shift
case $template in
ecs-fargate) stack=meet-transcriber ;;
*) stack=meet-transcriber-${template#ecs-} ;;
esac
token=$(aws secretsmanager describe-secret --secret-id meet-transcriber/hf-token \
    --query ARN --output text)
aws cloudformation deploy --stack-name "${STACK:-$stack}" \
    --template-file "$(dirname "$0")/cloudformation/$template.yaml" \
    --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset ${only:+"$only"} \
    --parameter-overrides "TokenSecretArn=$token" "$@"
