#!/bin/sh
# mksystemd.sh list          - print the packages that the image is made of
# mksystemd.sh build IMAGE   - make the image
#
# The image is ext4 and holds a Debian with systemd as its init and a shell on
# the first console. Packages come from the host's apt sources and are only
# unpacked; none of their scripts runs. Run it as root, or the image's files
# belong to somebody else.
set -eu

PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

: >"$work/status" # a system without any package
mkdir -p "$work/lists/partial" "$work/archives/partial"

# apt ARGUMENT... - apt-get for an empty system. With $lists set, the package
# lists are our own.
lists=
apt() {
    apt-get -qq -o Dir::State::status="$work/status" -o Debug::NoLocking=1 \
        -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User=root \
        -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
        ${lists:+-o Dir::State::lists="$lists"} --no-install-recommends "$@"
}

packages='systemd-sysv bash coreutils grep login mount util-linux base-files libc-bin'

list() {
    # shellcheck disable=SC2086 # a list of words
    apt --print-uris install $packages | sed -n "s/^'[^']*' \([^ ]*\) .*/\1/p" | sort
}

# fetch - download with the host's lists or, where those are missing or old,
# with new ones.
fetch() {
    # shellcheck disable=SC2086
    apt --download-only install $packages && return
    lists=$work/lists
    # shellcheck disable=SC2086
    apt update && apt --download-only install $packages
}

unpack() {
    mkdir "$tree"
    for folder in bin sbin lib lib64; do
        mkdir -p "$tree/usr/$folder"
        ln -s "usr/$folder" "$tree/$folder"
    done
    for package in "$work"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x --keep-directory-symlink --exclude='./usr/share/doc/*' \
                --exclude='./usr/share/locale/*' --exclude='./usr/share/man/*' -C "$tree"
    done
}

configure() {
    ln -sf bash "$tree/usr/bin/sh"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
    echo 'root:x:0:' >"$tree/etc/group"
    echo uml >"$tree/etc/hostname"
    echo '0123456789abcdef0123456789abcdef' >"$tree/etc/machine-id"
    : >"$tree/etc/fstab"
    units=$tree/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants"
    ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
    cat >"$units/console.service" <<'END'
[Unit]
Description=Shell on the first console
[Service]
ExecStart=/bin/bash --noprofile --norc --noediting -i
Environment="PS1=uml# " TERM=dumb
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/tty0
Restart=always
# An interactive shell ends by nothing else.
KillSignal=SIGHUP
END
    ln -s /dev/null "$units/getty-static.service"
    ln -s ../console.service "$units/multi-user.target.wants/console.service"
    ldconfig -r "$tree"
}

case ${1:?usage: mksystemd.sh list | build IMAGE} in
list) list ;;
build)
    image=${2:?usage: mksystemd.sh build IMAGE}
    tree=$work/tree
    fetch
    unpack
    configure
    rm -f "$image"
    mke2fs -q -t ext4 -d "$tree" "$image" 256m
    ;;
*)
    echo "mksystemd.sh: unknown command $1" >&2
    exit 2
    ;;
esac
