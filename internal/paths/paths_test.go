package paths

import (
	"path/filepath"
	"testing"
)

// What a client makes of the socket's path is what the daemon has.
func TestLive(t *testing.T) {
	variables := map[string]string{"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}
	for _, all := range []Paths{
		System("/"), System("/other/root"),
		Session(func(name string) string { return variables[name] }),
		Session(func(name string) string { return map[string]string{"HOME": "/home/u"}[name] }),
	} {
		live := Live(all.Socket(), all.System)
		want := Paths{
			System: all.System, SocketDir: all.SocketDir, StateDir: all.StateDir,
			PoolStateDir: all.PoolStateDir, NetworkStateDir: all.NetworkStateDir,
		}
		if live != want {
			t.Errorf("%+v, want %+v", live, want)
		}
		if got := live.PrivateNetwork("u", "vec3"); got != filepath.Join(all.Guest("u"), "net-vec3") {
			t.Errorf("a private network is in %s", got)
		}
	}
}
