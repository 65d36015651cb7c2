package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
	"virtumld/internal/virtuml/locate"
)

// An import that does not fit on the pool's disk leaves nothing, whether the
// program writes into the pool's folder or the daemon does it.
func TestFullPool(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	folder := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d.OK("pool-create-as", "images", "dir", "--target", folder)
	large := strings.Repeat("x", 8<<20)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, append(make([]byte, 1080), "\x53\xef"+large...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{tarball(t, "a", large), disk} {
		if _, err := virtuml(t.Context(), d, "import", "--pool", "images", source); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("import of %s: %v", source, err)
		}
		wantFiles(t, folder, "")
	}
	p, err := openPool(t.Context(), locate.Place{URI: "uml+unix:///system?socket=" + d.Socket, Pool: "images"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	fill := func(_ context.Context, f *os.File) error {
		_, err := f.WriteString(large)
		return err
	}
	if _, err := p.upload(t.Context(), "a", fill); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("upload: %v", err)
	}
	wantFiles(t, folder, "")
}
