#!/usr/bin/env bash
# Writes the pinned, hashed requirements of every image and of the development environment from one
# resolution of the workspace, so that they never disagree with each other. Run by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."
uv lock "$@"
export_to() {
  local file=$1
  shift
  uv export --quiet --frozen --no-emit-workspace --no-header --no-annotate "$@" --output-file "requirements/$file"
}
export_to dev.txt --all-packages --group dev
export_to operator.txt --package llmdeployment-operator --no-default-groups
export_to cli.txt --package llmdeployment-cli --no-default-groups
export_to gateway.txt --package llmdeployment-gateway --no-default-groups
export_to serving-cpu.txt --package llmdeployment-serving --no-default-groups --extra cpu
export_to serving-gpu.txt --package llmdeployment-serving --no-default-groups --extra gpu
