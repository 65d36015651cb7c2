package kernel

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// cacheFormat is the form of a cache file; it changes with Caps.
const cacheFormat = 2

// cached is one cache file. Path guards against a collision of file names.
type cached struct {
	Format   int
	Path     string
	Identity identity
	Caps     Caps
}

// cacheFile is where the answer for path is kept.
func cacheFile(dir, path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(dir, "kernel-"+hex.EncodeToString(sum[:12])+".json")
}

// readCache returns the kept answer, or nil when there is none for this very
// file. A damaged cache file counts as none: the probe writes it anew.
func readCache(dir, path string, id identity) *Caps {
	if dir == "" {
		return nil
	}
	data, err := os.ReadFile(cacheFile(dir, path))
	if err != nil {
		return nil
	}
	var c cached
	if err := json.Unmarshal(data, &c); err != nil {
		return nil
	}
	if c.Format != cacheFormat || c.Path != path || c.Identity != id {
		return nil
	}
	for _, library := range c.Caps.Libraries {
		if _, err := os.Stat(library); err != nil {
			return nil // a library has moved since
		}
	}
	return &c.Caps
}

// writeCache keeps an answer. It is replaced as a whole; nothing is lost when
// it is not durable.
func writeCache(dir, path string, id identity, caps *Caps) error {
	if dir == "" {
		return nil
	}
	data, err := json.Marshal(cached{cacheFormat, path, id, *caps})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".kernel-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp.Name(), cacheFile(dir, path))
	}
	if err != nil {
		os.Remove(temp.Name())
		return fmt.Errorf("cannot keep the kernel probe of %s: %w", path, err)
	}
	return nil
}
