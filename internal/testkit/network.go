package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"virtumld/internal/paths"
)

// StartWithDefaultNetwork is Start with the network "default", which other
// tests' instances seem to have had already: each is a process.
func StartWithDefaultNetwork(t testing.TB, id Identity, args ...string) *Daemon {
	t.Helper()
	d := prepare(t, id)
	d.args = append(d.args, args...)
	if err := os.Remove(filepath.Join(d.networkConfigDir(), defaultNetworkMarker)); err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(d.cleanUp)
	return d
}

// defaultNetworkMarker says that an instance has had its network "default"
// (package network).
const defaultNetworkMarker = "default-network-made"

func (d *Daemon) networkConfigDir() string {
	if d.identity == Root {
		return paths.System(d.Dir).NetworkConfigDir
	}
	return paths.Session(func(name string) string {
		return map[string]string{"HOME": d.Dir, "XDG_CONFIG_HOME": filepath.Join(d.Dir, "config")}[name]
	}).NetworkConfigDir
}

// hadDefaultNetwork leaves the marker.
func (d *Daemon) hadDefaultNetwork() {
	d.t.Helper()
	dir := d.networkConfigDir()
	if d.identity == Root { // as the daemon would make it
		if err := os.MkdirAll(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	marker := filepath.Join(dir, defaultNetworkMarker)
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		d.t.Fatal(err)
	}
	for path := marker; path != d.Dir; path = filepath.Dir(path) {
		d.own(path)
	}
}

// endNetworks ends the processes of the networks that are still active.
func (d *Daemon) endNetworks() {
	for _, name := range d.Lines("net-list", "--name") {
		d.OK("net-destroy", name)
	}
}
