package dhcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// leaseFile is the file of leases, as JSON.
type leaseFile struct {
	// Version is fileVersion.
	Version int
	Leases  []Lease
}

const fileVersion = 1

// maxFile bounds the file that is read, in bytes.
const maxFile = 16 << 20

// load reads the file. One that is bad is put aside.
func (s *Server) load() error {
	if s.file == "" {
		return nil
	}
	leases, err := readLeases(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errBadFile):
		aside := s.file + ".bad"
		if renameErr := os.Rename(s.file, aside); renameErr != nil {
			return fmt.Errorf("%w; it cannot be put aside either: %w", err, renameErr)
		}
		s.plan.Log.Error("the DHCP leases are lost", "network", s.plan.Name, "error", err, "kept as", aside)
		return nil
	case err != nil:
		return fmt.Errorf("cannot read the DHCP leases: %w", err)
	}
	for _, lease := range leases {
		s.table.put(&record{Lease: lease})
	}
	return nil
}

var errBadFile = errors.New("not a file of leases")

func readLeases(path string) ([]Lease, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %w", path, errBadFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	leases, err := decodeLeases(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, errBadFile, err)
	}
	return leases, nil
}

func decodeLeases(text []byte) ([]Lease, error) {
	var file leaseFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if file.Version != fileVersion {
		return nil, fmt.Errorf("its version is %d, not %d", file.Version, fileVersion)
	}
	if len(file.Leases) > maxRecords {
		return nil, fmt.Errorf("it has %d leases, more than %d", len(file.Leases), maxRecords)
	}
	for i, lease := range file.Leases {
		if !lease.Address.IsValid() {
			return nil, fmt.Errorf("lease %d has no address", i)
		}
	}
	return file.Leases, nil
}

// save writes the file when it must be and may be. A failure is logged, and
// tried again with the next change: guests are served all the same.
func (s *Server) save(now time.Time) {
	if !s.dirty || !s.saves.AllowN(now, 1) {
		return
	}
	err := s.write()
	if err != nil && !s.failing {
		s.plan.Log.Error("cannot keep the DHCP leases", "network", s.plan.Name, "error", err)
	}
	s.failing = err != nil
}

// write replaces the file at once. Leases that have run out are kept, so that
// guests get the same addresses again.
func (s *Server) write() error {
	if s.file == "" {
		s.dirty = false
		return nil
	}
	text, err := json.MarshalIndent(leaseFile{Version: fileVersion, Leases: s.table.leases(time.Time{})}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		return err
	}
	s.dirty = false
	return nil
}
