package kernel

import (
	"os"
	"path/filepath"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Find returns the path of the host's default UML kernel: linux.uml in a
// folder of the PATH-like list or in a system folder, else linux there, else
// what a distribution keeps under /usr/lib/uml. It does not run it.
func Find(path string) (string, error) {
	dirs := append(absolute(filepath.SplitList(path)), "/usr/local/bin", "/usr/bin", "/bin")
	var candidates []string
	for _, name := range []string{"linux.uml", "linux"} {
		for _, dir := range dirs {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	candidates = append(candidates, "/usr/lib/uml/linux.uml", "/usr/lib/uml/linux")
	for _, candidate := range candidates {
		info, err := os.Stat(candidate)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", virerr.In(virerr.UML, libvirt.ErrNoKernel,
		"the host has no linux.uml: install a User Mode Linux kernel (Debian's user-mode-linux) or name one in <os><kernel>")
}

func absolute(dirs []string) []string {
	var out []string
	for _, dir := range dirs {
		if strings.HasPrefix(dir, "/") {
			out = append(out, dir)
		}
	}
	return out
}
