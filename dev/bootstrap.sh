#!/usr/bin/env bash
# Makes .venv from the hashed requirements. Needs python3 >= 3.11; on Debian and Ubuntu as root it installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${LLMD_CACHE:-$HOME/.cache/llmdeployment}
uv_version=0.13.9
# Where PYTHONDONTWRITEBYTECODE is set, every process would compile what it imports, and Ray misses its own start-up deadlines.
export UV_COMPILE_BYTECODE=1
uv=$cache/uv-$uv_version/bin/uv
if [ ! -x "$uv" ]; then
  echo "bootstrap: installing uv $uv_version"
  python3 -c 'import venv, ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }
  python3 -m venv "$cache/uv-$uv_version"
  "$cache/uv-$uv_version/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"
fi
[ -x .venv/bin/python ] || "$uv" venv --quiet --python 3.11 .venv
"$uv" pip sync --quiet --python .venv --require-hashes requirements/dev.txt
"$uv" pip install --quiet --python .venv --no-deps -e operator -e gateway -e serving -e cli -e console
touch .venv/.synced
