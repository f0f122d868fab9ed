#!/bin/sh
# Fetches the weights of Whisper and of the diarizer into an image during its build, with their
# licences; does nothing without a name.   bake.sh [MODEL]
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
# Layers keep modification times in whole seconds; a file newer than its recorded digest is read again.
find "$MODELS_DIR" -exec touch -d @0 {} +
for each in "$model" segmentation-3.0 campplus; do
    meet-transcriber models path "$each" >/dev/null
done
chown -R 10001:10001 "$MODELS_DIR"
