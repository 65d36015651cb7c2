package connect

import (
	"context"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"errors"

	"virtumld/internal/paths"
)

func TestResolve(t *testing.T) {
	session := paths.ForThisProcess("/").Socket()
	for uri, want := range map[string]Target{
		"uml:///system":                             {"/run/libvirt/virtumld-sock", System},
		"uml:///session":                            {session, Session},
		"uml+unix:///system?socket=/tmp/a%20b":      {"/tmp/a b", System},
		"uml+unix:///session?socket=/x&mode=direct": {"/x", Session},
		"uml:///session?mode=direct":                {session, Session},
	} {
		if got, err := Resolve(uri); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", uri, got, err, want)
		}
	}
	for _, uri := range []string{"qemu:///system", "uml://host/system", "uml+ssh://host/system", "uml:///", "uml:///embed", "::"} {
		if got, err := Resolve(uri); err == nil {
			t.Errorf("%s: got %+v, want an error", uri, got)
		}
	}
}

func TestDefaultURI(t *testing.T) {
	t.Setenv("LIBVIRT_DEFAULT_URI", "uml+unix:///system?socket=/a")
	if got := DefaultURI(); got != "uml+unix:///system?socket=/a" {
		t.Error(got)
	}
	t.Setenv("LIBVIRT_DEFAULT_URI", "qemu:///system")
	if got := DefaultURI(); got != System && got != Session {
		t.Error(got)
	}
}

func TestDialWithoutDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	_, err := Dial(t.Context(), "uml+unix:///system?socket="+path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no virtumld serves") {
		t.Errorf("got %v", err)
	}
}

// A daemon that takes the connection and never answers does not hold a caller
// whose context ends.
func TestDialEndsWithContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, "uml+unix:///system?socket="+path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
