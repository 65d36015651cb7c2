package process

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Shed gives up the pages of the binary that this process has mapped so far and
// may not write to. They stay in the host's page cache, from which those that
// are used again come back; but of a process that has started and now mostly
// waits, as there is one for each guest, they are nearly all that is resident.
func Shed() error {
	binary, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var first, end uintptr
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &first, &end, &rights); err != nil {
			return fmt.Errorf("/proc/self/maps: %q: %w", lines.Text(), err)
		}
		if !strings.HasSuffix(lines.Text(), " "+binary) || strings.Contains(rights, "w") {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, first, end-first, unix.MADV_DONTNEED); errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}
