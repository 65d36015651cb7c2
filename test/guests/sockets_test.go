package guests

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// listeners are the TCP addresses, in the process's own network namespace,
// that the process pid listens on.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	proc := fmt.Sprint("/proc/", pid)
	inodes := socketInodes(t, proc)
	var found []string
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile(filepath.Join(proc, "net", table))
		if os.IsNotExist(err) {
			continue // a host without IPv6, or the process has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			// proc(5): sl local_address rem_address st … inode
			fields := strings.Fields(line)
			const listening = "0A"
			if len(fields) > 9 && fields[3] == listening && slices.Contains(inodes, fields[9]) {
				found = append(found, address(t, fields[1]))
			}
		}
	}
	return found
}

// socketInodes are the inodes of the sockets that a process holds.
func socketInodes(t *testing.T, proc string) []string {
	t.Helper()
	links, err := filepath.Glob(proc + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var inodes []string
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}

// address reads the kernel's hexadecimal form: words of the machine's byte
// order, a colon, the port.
func address(t *testing.T, text string) string {
	t.Helper()
	host, service, _ := strings.Cut(text, ":")
	ip, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	port, err := strconv.ParseUint(service, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(net.IP(ip).String(), fmt.Sprint(port))
}
