#!/bin/sh
# demo.sh [VIRTUMLD] - show one guest's life through stock virsh.
#
# The daemon runs privately, with folders of its own, so that one which is
# already there is left alone. Everything ends and goes with this script.
set -eu

virtumld=${1:-bin/virtumld}
here=$(dirname "$0")
kernel=$(command -v linux.uml || command -v linux || true)
limit=60 # seconds that a step may take before the demo has failed

virtumld=$(realpath "$virtumld")
dir=$(mktemp -d /tmp/virtumld-demo.XXXXXX)
daemon=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# shown prints a command as if it were typed.
shown() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

# run shows a command and runs it.
run() {
    shown "$@"
    timeout --foreground "$limit" "$@"
}

# eventually waits SECONDS for COMMAND to succeed; the demo ends if it does not.
eventually() {
    rounds=$(($1 * 10))
    until "$2"; do
        rounds=$((rounds - 1))
        if ! kill -0 "$daemon" 2>/dev/null; then
            echo 'virtumld has ended.' >&2
            exit 1
        fi
        if [ "$rounds" -eq 0 ]; then
            echo "Waited $1 s in vain: $2." >&2
            exit 1
        fi
        sleep 0.1
    done
}
listens() { [ -S "$socket" ]; }
is_shut_off() { [ "$(virsh --quiet domstate demo)" = 'shut off' ]; }

# leftovers lists the processes that still name the demo's folder.
leftovers() {
    for cmdline in /proc/[0-9]*/cmdline; do
        if tr '\0' ' ' 2>/dev/null <"$cmdline" | grep -F "$dir"; then :; fi
    done
}

finish() {
    status=$?
    trap - EXIT HUP INT TERM
    set +e
    if [ -n "$daemon" ]; then
        virsh --quiet destroy demo >/dev/null 2>&1
        kill "$daemon" 2>/dev/null
        wait "$daemon"
    fi
    left=$(leftovers)
    if [ "$status" -eq 0 ] && [ -n "$left" ]; then
        printf 'Still running:\n%s\n' "$left"
        status=1
    fi
    if [ "$status" -ne 0 ]; then
        if [ -s "$dir/daemon.log" ]; then
            say 'The end of the log of virtumld:'
            tail -n 30 "$dir/daemon.log"
        fi
        find "$dir" -name demo.log -exec tail -n 20 {} +
        rm -rf "$dir"
        say 'DEMO FAILED'
        exit 1
    fi
    rm -rf "$dir"
    say 'DEMO PASSED'
    what_next
}

what_next() {
    cat <<END

What to try next:
  bin/virtumld &                          a daemon of your own, for $uri
  scripts/mkrootfs.sh /tmp/root.img       a root filesystem for it
  examples/demo.xml                       a domain: put your paths into it
  virsh -c $uri define examples/demo.xml
  virsh -c $uri start --console demo      leave the console with Ctrl-]
  README.md                               the rest
END
}

trap finish EXIT
trap 'exit 1' HUP INT TERM

if [ -z "$kernel" ]; then
    echo 'There is no UML kernel: install the package user-mode-linux.' >&2
    exit 1
fi

say "A daemon of its own in $dir"
if [ "$(id -u)" -eq 0 ]; then
    # The guest of a system daemon runs as an unprivileged user.
    chmod 711 "$dir"
    uri=uml:///system
    socket=$dir/run/libvirt/virtumld-sock
    export VIRSH_DEFAULT_CONNECT_URI="uml+unix:///system?socket=$socket"
    "$virtumld" --root "$dir" >"$dir/daemon.log" 2>&1 &
else
    uri=uml:///session
    export VIRSH_DEFAULT_CONNECT_URI=$uri
    export HOME="$dir" XDG_RUNTIME_DIR="$dir/run" \
        XDG_CONFIG_HOME="$dir/config" XDG_CACHE_HOME="$dir/cache"
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    socket=$XDG_RUNTIME_DIR/libvirt/virtumld-sock
    "$virtumld" >"$dir/daemon.log" 2>&1 &
fi
daemon=$!
eventually 10 listens
echo "virtumld serves $uri at $socket"

"$here/mkrootfs.sh" "$dir/root.img"
cat >"$dir/demo.xml" <<END
<domain type='uml'>
  <name>demo</name>
  <memory unit='MiB'>128</memory>
  <os>
    <type arch='$(uname -m)'>uml</type>
    <kernel>$kernel</kernel>
  </os>
  <devices>
    <disk type='file' device='disk'>
      <source file='$dir/root.img'/>
      <target dev='ubd0' bus='uml'/>
    </disk>
    <console type='pty'>
      <target port='0'/>
    </console>
  </devices>
</domain>
END
run cat "$dir/demo.xml"
run virsh define "$dir/demo.xml"
run virsh start demo
run virsh list --all

# The console needs a terminal, which script(1) makes. Each line of the guest
# is answered when it comes: first the commands, in the end virsh's escape
# character.
mkfifo "$dir/keys"
exec 3<>"$dir/keys"
shown 'virsh console demo'
timeout --foreground "$limit" script -q -e -c 'virsh console demo' /dev/null <"$dir/keys" |
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
        *'This is the guest'*)
            # The quotes keep the typed line from looking like its answer.
            printf "uname -a\\ngrep MemTotal /proc/meminfo\\necho all'-'done\\n" >&3
            ;;
        *all-done*) printf '\035' >&3 ;;
        esac
    done | tee "$dir/console.txt"
exec 3>&-
if ! grep -q '^Linux uml ' "$dir/console.txt" || ! grep -q '^MemTotal:' "$dir/console.txt"; then
    echo 'The guest has not answered on its console.' >&2
    exit 1
fi

run virsh dumpxml demo
run virsh shutdown demo
echo 'Waiting for the init of the guest to power it off.'
eventually "$limit" is_shut_off
run virsh domstate --reason demo
run virsh undefine demo
run virsh list --all
