#!/usr/bin/env bash
# What a GPU gains, as one page of Markdown, in at most ten minutes.
#
#   benchmarks/gpu.sh > gpu.md           # on a machine with a GPU
#   SMALL=1 benchmarks/gpu.sh            # the same parts on any machine, with tiny sizes: does everything run?
#
# It needs an environment with the project (`make setup && . .venv/bin/activate`), and nothing of the network: images are
# drawn, weights are random or packaged. Each part has its own time limit; one that fails is named, and the others run.
set -u
cd "$(dirname "$0")/.."
export DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true
if [ -n "${SMALL:-}" ]; then
  size=64 batch=8 steps=1 rounds=1 kills=2 patience=8
else
  size=224 batch=64 steps=20 rounds=5 kills=30 patience=1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

part() { # TITLE SECONDS COMMAND...
  title=$1 limit=$(($2 * patience))
  shift 2
  printf '\n## %s\n\n' "$title"
  # shellcheck disable=SC2016 # the backquotes are Markdown
  printf '`%s`\n\n' "$*"
  timeout "$limit" "$@" 2>"$work/errors" ||
    { echo "FAILED with status $? (124: stopped after $limit s): $(tail -n 1 "$work/errors")"; failed=1; }
}

failed=0
echo "# Measured on $(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null || echo 'a CPU (a trial of the script)')"
timed="--size $size --batch-size $batch --steps $steps --rounds $rounds"
# shellcheck disable=SC2086 # several words
part "Training, nothing frozen, against a first script's loop" 180 \
  python -m benchmarks.training --backbones resnet18 resnet50 timm/tf_efficientnet_lite0 $timed
# shellcheck disable=SC2086
part "Training of a small ViT whose first blocks are frozen" 90 \
  python -m benchmarks.training --backbones timm/vit_small_patch16_224 --size 224 --batch-size "$batch" \
  --freeze blocks.9 --steps "$steps" --rounds "$rounds"

# A grid of one cell on this device, then its evaluation by two processes: the files must be the same.
git clone --quiet . "$work/project"
cd "$work/project" || exit 1
cat > params.yaml <<'YAML'
data: {path: examples/footballers/photos}
grid: {backbones: [lite0], heads: [pn-0.9]}
train: {epochs: 1, best_by: accuracy, output_stride: 16, device: auto, precision: auto}
backbones: {lite0: {model: timm/tf_efficientnet_lite0, source: package}}
image: {}
evaluate: {}
cams: {}
compare: {}
YAML
part "A grid of one cell" 240 dvc repro --quiet
first=$(sha256sum results/lite0-pn-0.9/metrics.json)
part "Its evaluation by two processes" 120 torchrun --nproc-per-node 2 -m pipeline.evaluate lite0 pn-0.9
[ "$first" = "$(sha256sum results/lite0-pn-0.9/metrics.json)" ] && echo "The scores are the same." || { echo "DIFFERENT scores"; failed=1; }
part "Killed trainings end in the same bits" 120 python -m tests.faults --rounds "$kills"
exit "$failed"
