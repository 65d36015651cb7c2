#!/bin/sh
# test.sh - run every test with the race detector.
#
# Run by root, the tests for root and for an ordinary user both run. Run by an
# ordinary user, those for root run through sudo where it asks no password;
# where it does, they are skipped by name.
set -eu

: "${GO:=go}" "${VIRTUMLD_KERNEL_CACHE:=/var/tmp/virtumld-kernels-$(id -u)}"
export VIRTUMLD_KERNEL_CACHE
# 3: some newer kernel is not to be had; its tests are skipped and say why.
"$(dirname "$0")/newer-kernels.sh" "$VIRTUMLD_KERNEL_CACHE" || [ $? -eq 3 ]

if [ "$(id -u)" -eq 0 ] || ! sudo -n true 2>/dev/null; then
    exec "$GO" test -race -timeout 30m ./...
fi

VIRTUMLD_TEST_TIERS=user "$GO" test -race -timeout 30m ./...
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$GO" build -race -o "$dir/virtumld" ./cmd/virtumld
chmod 755 "$dir"
# What only root can do is tested where daemons run or a test asks who it is.
rooted=$(grep -rlE 'testkit\.Main|os\.Geteuid' --include='*_test.go' internal test | xargs -n 1 dirname | sort -u)
for package in $rooted; do
    echo "Again, as root: $package"
    "$GO" test -c -race -o "$dir/tests" "./$package"
    (cd "$package" && sudo -n env PATH="$PATH" VIRTUMLD_TEST_TIERS=root,user VIRTUMLD_BINARY="$dir/virtumld" \
        VIRTUMLD_KERNEL_CACHE="$VIRTUMLD_KERNEL_CACHE" VIRTUMLD_TEST_KERNELS="${VIRTUMLD_TEST_KERNELS-}" \
        "$dir/tests" -test.timeout 30m)
done
