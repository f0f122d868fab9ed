#!/bin/sh
# Exits with 0 when Redis responds, with its password.
REDISCLI_AUTH=$(cat /secrets/REDIS_PASSWORD) redis-cli ping | grep -q PONG
