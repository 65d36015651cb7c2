#!/bin/sh
# mkrootfs.sh IMAGE [MIB] - make a small root filesystem for a UML guest.
#
# The image is ext4 and holds a static busybox and a few lines of
# configuration. No root is needed: mke2fs copies a folder into the image.
#
# "dhcp vec0" takes an interface up with an address by DHCP.
#
# The guest has a shell on its first console (con0) and, where the domain has
# one, on serial line 3 (ssl3). Ctrl-Alt-Del, which is what "virsh shutdown"
# sends, powers it off.
set -eu

image=${1:?usage: mkrootfs.sh IMAGE [MIB]}
mib=${2:-16}
PATH=$PATH:/usr/sbin:/sbin # mke2fs, which an ordinary user's PATH may lack

busybox=$(command -v busybox) || {
    echo "mkrootfs.sh: busybox is missing: install the package busybox-static" >&2
    exit 1
}
if ldd "$busybox" >/dev/null 2>&1; then
    echo "mkrootfs.sh: $busybox needs shared libraries: install the package busybox-static" >&2
    exit 1
fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' HUP INT TERM

for folder in bin dev etc etc/udhcpc mnt proc root run sbin sys tmp; do
    mkdir "$tree/$folder"
done
cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
done
ln -s ../bin/busybox "$tree/sbin/init"

cat >"$tree/etc/inittab" <<'END'
::sysinit:/etc/rc
tty0::respawn:-/bin/sh
::respawn:/etc/shell-on-ttyS3
::ctrlaltdel:/bin/poweroff
::shutdown:/bin/mount -o remount,ro /
END

cat >"$tree/etc/rc" <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -o remount,rw /
hostname uml
END

# A line without a device behind it stays closed: nothing would be read there.
cat >"$tree/etc/shell-on-ttyS3" <<'END'
#!/bin/sh
if grep -q ' ssl3=' /proc/cmdline; then
    # As init's child it leads a session already, whose terminal this becomes.
    exec sh -l </dev/ttyS3 >/dev/ttyS3 2>&1
fi
exec sleep 2147483647
END

cat >"$tree/etc/profile" <<'END'
export PATH=/bin:/sbin HOME=/root TERM=vt100
export PS1='uml# '
echo 'This is the guest: a shell of its root user.'
END

# dhcp DEVICE: up, with an address, a route and a resolver by DHCP.
cat >"$tree/sbin/dhcp" <<'END'
#!/bin/sh
ip link set lo up
ip link set "$1" up
exec udhcpc -i "$1" -f -q -n -t 10 -T 3
END

# What busybox's udhcpc runs: its variables are the lease.
cat >"$tree/etc/udhcpc/default.script" <<'END'
#!/bin/sh
case $1 in
deconfig)
    ip -4 addr flush dev "$interface"
    ;;
bound | renew)
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/$mask" dev "$interface"
    [ -z "${router:-}" ] || ip route replace default via "${router%% *}" dev "$interface"
    : >/etc/resolv.conf
    [ -z "${domain:-}" ] || echo "search $domain" >>/etc/resolv.conf
    for server in ${dns:-}; do
        echo "nameserver $server" >>/etc/resolv.conf
    done
    ;;
esac
END

echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"
chmod 755 "$tree" "$tree/etc/rc" "$tree/etc/shell-on-ttyS3" "$tree/sbin/dhcp" "$tree/etc/udhcpc/default.script"

rm -f "$image"
mke2fs -q -t ext4 -L uml-root -E root_owner=0:0 -d "$tree" "$image" "${mib}m" >/dev/null
