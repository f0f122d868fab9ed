#!/bin/sh
# Fetches a model into the image that is being built, with its licence; without a name it does
# nothing.   bake.sh [MODEL]
set -eu
model=${1:-}
[ -n "$model" ] || exit 0
meet-transcriber models pull "$model"
place=$(meet-transcriber models path "$model")
case ${model#Systran/} in
*/*) echo "Their licence: https://huggingface.co/$model" >"$place/LICENSE" ;;
*) cp "$(dirname "$0")/WHISPER-LICENSE" "$place/LICENSE" ;;
esac
rm -rf "$MODELS_DIR/xet"
# Layers keep whole seconds of a file's age, and what is younger than its digest is read again.
find "$MODELS_DIR" -exec touch -d @0 {} +
meet-transcriber models path "$model" >/dev/null
chown -R 10001:10001 "$MODELS_DIR"
