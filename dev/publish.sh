#!/usr/bin/env bash
# Publishes and signs what `make release` left in dist/. The release workflow runs it; cosign signs with the workflow's identity.
#   dev/publish.sh registry.example/owner/project 0.1.0
# Needs docker and helm with a login at the registry, cosign, and gh with GH_TOKEN.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=$1
version=$2
helm=$(python3 -m dev.cluster tool helm)

digests=()

# Push one image, sign it and attach its SBOM: name, end of the tag.
publish_image() {
  local source=llmdeployment/$1:$version$2 target=$prefix/$1:$version$2 digest
  docker load --quiet --input "dist/image-$1$2.tar"
  docker tag "$source" "$target"
  docker push --quiet "$target"
  digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$target" | grep -m 1 -F "$prefix/$1@")
  digests+=("\"$1$2\": \"${digest#*@}\"")
  cosign sign --yes "$digest"
  cosign attest --yes --type cyclonedx --predicate "dist/sbom-$1$2.cdx.json" "$digest"
}
publish_image operator ""
publish_image gateway ""
publish_image console ""
publish_image serving -gpu
publish_image serving -cpu
publish_image serving -simulated

# The registry's digests are known from here on: the chart and install.yaml name the images by them.
(IFS=,; echo "{${digests[*]}}") >dist/digests.json
python3 -m dev.release_chart "$version" "$prefix" dist/digests.json

pushed=$("$helm" push "dist/llmdeployment-operator-$version.tgz" "oci://$prefix/charts" 2>&1)
echo "$pushed"
cosign sign --yes "$prefix/charts/llmdeployment-operator@$(sed -nE 's/^Digest: *//p' <<<"$pushed")"

cosign sign-blob --yes --bundle dist/SHA256SUMS.sigstore.json dist/SHA256SUMS
gh release create "v$version" --verify-tag --title "$version" --notes-file dist/release-notes.md \
  "dist/llmdeployment-operator-$version.tgz" dist/install.yaml dist/kustomization.yaml dist/digests.json dist/*.cdx.json \
  dist/*.whl dist/kubectl-llm dist/kubectl-llm-linux-amd64.tar.gz dist/llm.krew.yaml dist/SHA256SUMS dist/SHA256SUMS.sigstore.json
