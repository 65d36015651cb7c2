#!/bin/sh
# newer-kernels.sh [DIR] - fetch the UML kernels of newer Debian suites.
#
# Puts a kernel DIR/SUITE/linux, one runnable file, for each suite below; by
# default in /var/tmp/virtumld-kernels-UID. A kernel that is there already is
# kept: remove DIR/SUITE for a newer one. Prints the path of each kernel.
#
# The kernels come through apt from the mirror that the system itself uses,
# with apt's signatures checked; the system's own apt state and packages are
# left alone, and no root is needed. They run with the C library of their own
# suite, which is unpacked beside them, and what that loads by itself.
#
# Exit status: 0 every kernel is there; 3 some kernel is not to be had, and
# DIR/SUITE/missing says why; 1 DIR cannot be used; 2 wrong usage.
set -eu

suites='trixie sid'
dir=${1:-/var/tmp/virtumld-kernels-$(id -u)}
missing=3

fail() {
    echo "newer-kernels.sh: $1" >&2
    exit 1
}

# own_folder makes DIR. Kernels of a folder that others may write are not to
# be run.
own_folder() {
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    if [ -z "$(find "$dir" -prune -user "$(id -u)" ! -perm /022)" ]; then
        fail "$dir belongs to another user or is writable for others"
    fi
}

# lacks says why a suite's kernel is not to be had.
lacks() {
    echo "newer-kernels.sh: $1: $2" >&2
    mkdir -p "$dir/$1"
    echo "$2" >"$dir/$1/missing"
}

# mirrors lists the sites of the system's own sources that have Debian itself.
# Who made what is at a site is known from package lists only; without any,
# every site with a component main may be one.
mirrors() {
    # shellcheck disable=SC2016 # apt fills these in
    format='$(SITE) $(RELEASE) $(COMPONENT)'
    apt-get indextargets --format "$format" 'Created-By: Packages' 'Origin: Debian' >"$work/targets"
    [ -s "$work/targets" ] ||
        apt-get indextargets --no-release-info --format "$format" 'Created-By: Packages' >"$work/targets"
    awk '$3 == "main" && $2 !~ /[-\/]/ && !seen[$1]++ { print $1 }' "$work/targets"
}

# private_apt SUITE COMMAND... runs apt-get on that suite alone, with nothing
# of the system's state.
private_apt() {
    suite=$1
    shift
    apt-get -qq \
        -o Dir::State="$work/$suite/state" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work/$suite/cache" \
        -o Dir::Etc::sourcelist="$work/$suite.sources" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- \
        -o APT::Update::Error-Mode=any -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        "$@"
}

# describe_sources writes the private sources of a suite.
describe_sources() {
    {
        echo 'Types: deb'
        echo "URIs: $(echo "$sites" | tr '\n' ' ')"
        echo "Suites: $1"
        echo 'Components: main'
        echo 'Targets: Packages'
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        [ ! -r "$keyring" ] || echo "Signed-By: $keyring"
    } >"$work/$1.sources"
}

# download leaves the suite's packages in $work/SUITE/packages.
download() {
    mkdir -p "$work/$1/state/lists/partial" "$work/$1/cache/archives/partial" "$work/$1/packages"
    if [ "$(id -u)" -eq 0 ]; then
        # As root, apt downloads as a user of its own.
        chown _apt "$work/$1/packages" 2>/dev/null || true
    fi
    describe_sources "$1"
    private_apt "$1" update && (cd "$work/$1/packages" && private_apt "$1" download user-mode-linux libc6 libgcc-s1)
}

# assemble makes DIR/SUITE: the kernel, with the interpreter and the libraries
# of its own suite by their absolute paths.
assemble() {
    tree=$dir/$1.new
    parts=$work/$1/unpacked
    rm -rf "$tree" "${dir:?}/$1" && mkdir -p "$tree/lib" || return
    for package in "$work/$1/packages"/*.deb; do
        dpkg-deb -x "$package" "$parts" || return
    done
    interpreter=$(patchelf --print-interpreter "$parts/usr/bin/linux.uml") &&
        loader=$(find "$parts" -name "${interpreter##*/}" -type f) &&
        cp "${loader%/*}"/*.so* "$tree/lib" &&
        cp "$parts/usr/bin/linux.uml" "$tree/linux" &&
        patchelf --set-interpreter "$dir/$1/lib/${interpreter##*/}" --force-rpath --set-rpath "$dir/$1/lib" "$tree/linux" &&
        mv "$tree" "$dir/$1"
}

# runs says whether a file is a kernel that can run here.
runs() { [ -x "$1" ] && "$1" --version; }

# provide makes sure of one suite's kernel and prints its path. It fails where
# the kernel is not to be had.
provide() {
    kernel=$dir/$1/linux
    if runs "$kernel" >/dev/null 2>&1; then
        echo "$kernel"
        return
    fi
    for tool in apt-get dpkg-deb patchelf; do
        command -v "$tool" >/dev/null || {
            lacks "$1" "$tool is not installed"
            return "$missing"
        }
    done
    sites=$(mirrors 2>/dev/null) || sites=
    if [ -z "$sites" ]; then
        lacks "$1" 'apt knows no Debian mirror on this system'
        return "$missing"
    fi
    download "$1" >"$work/log" 2>&1 || {
        lacks "$1" "the mirror does not give its user-mode-linux and libc6: $(grep -m 1 "^E:" "$work/log")"
        return "$missing"
    }
    { assemble "$1" && runs "$kernel"; } >"$work/log" 2>&1 || {
        lacks "$1" "the kernel does not run here: $(tail -n 1 "$work/log")"
        return "$missing"
    }
    echo "$kernel"
}

umask 022
[ $# -le 1 ] || { echo 'usage: newer-kernels.sh [DIR]' >&2; exit 2; }
own_folder
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
: >"$work/status"

status=0
for suite in $suites; do
    provide "$suite" || status=$missing
done
exit "$status"
