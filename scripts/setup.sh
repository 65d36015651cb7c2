#!/bin/sh
# setup.sh demo|test|lint|bench - install the Debian packages that a make
# target needs, through apt and only where they are missing.
set -eu

demo='user-mode-linux libvirt-clients busybox-static e2fsprogs'
case ${1:?usage: setup.sh demo|test|lint|bench} in
demo) packages=$demo ;;
test) packages="$demo gcc libc6-dev patchelf python3-libvirt uml-utilities libxml2-utils virtinst qemu-utils" ;;
lint) packages='shellcheck' ;;
bench) packages="$demo libvirt-daemon slirp4netns uml-utilities iproute2" ;;
*)
    echo "setup.sh: unknown target $1" >&2
    exit 2
    ;;
esac

if ! command -v go >/dev/null; then
    echo "Go 1.26 or newer is needed: https://go.dev/dl/" >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian, so nothing is installed. Needed are what Debian calls: $packages" >&2
    exit 0
fi

missing=
for package in $packages; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = 'install ok installed' ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Please have these packages installed:$missing" >&2
        exit 1
    fi
    as_root='sudo'
fi
echo "Installing:$missing"
$as_root apt-get update -q
# shellcheck disable=SC2086 # both are lists of words
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends $missing
