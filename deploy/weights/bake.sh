#!/bin/sh
# Fetches Whisper's weights and those that tell speakers apart into the image that is being built,
# with their licences; without a name it does nothing.   bake.sh [MODEL]
set -eu
model=${1:-}
[ -n "$model" ] || exit 0
licences=$(dirname "$0")
WHISPER_MODEL=$model meet-transcriber models pull
place=$(meet-transcriber models path "$model")
case ${model#Systran/} in
*/*) echo "Their licence: https://huggingface.co/$model" >"$place/LICENSE" ;;
*) cp "$licences/WHISPER-LICENSE" "$place/LICENSE" ;;
esac
cp "$licences/SEGMENTATION-LICENSE" "$(meet-transcriber models path segmentation-3.0)/LICENSE"
cp "$licences/CAMPPLUS-LICENSE" "$(meet-transcriber models path campplus)/LICENSE"
rm -rf "$MODELS_DIR/xet"
# Layers keep whole seconds of a file's age, and what is younger than its digest is read again.
find "$MODELS_DIR" -exec touch -d @0 {} +
for each in "$model" segmentation-3.0 campplus; do
    meet-transcriber models path "$each" >/dev/null
done
chown -R 10001:10001 "$MODELS_DIR"
