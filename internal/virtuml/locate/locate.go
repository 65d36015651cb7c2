// Package locate finds what stands for a volume on virtuml's command line, the
// same way for every command: a volume of the pool of --pool, POOL/VOLUME, or
// a path. It also completes such words in a shell. It opens no volume.
package locate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/spf13/cobra"

	"virtumld/internal/virtuml/connect"
)

// DefaultPool is where volumes are unless a pool is named.
const DefaultPool = "default"

// NameSyntax and Syntax say in a command's help what VOLUME may be.
const (
	NameSyntax = `VOLUME is a volume of the pool of --pool, or POOL/VOLUME.`
	Syntax     = `VOLUME is a volume of the pool of --pool, POOL/VOLUME, or a path that begins
with /, ./ or ../.`
)

// Place is where the daemon is and which of its pools is meant.
type Place struct {
	// URI is "" for the daemon that virsh would choose.
	URI string
	// Pool is a pool's name.
	Pool string
}

// Define adds the options --connect and --pool to a command.
func (p *Place) Define(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&p.URI, "connect", "c", "", "daemon to use, such as uml:///session (default: as virsh chooses)")
	cmd.Flags().StringVar(&p.Pool, "pool", DefaultPool, "storage pool of volumes that are named without one")
	_ = cmd.RegisterFlagCompletionFunc("connect", cobra.FixedCompletions([]string{connect.System, connect.Session}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("pool", p.completePool)
}

// IsPath tells whether a word is a path rather than a volume's name.
func IsPath(word string) bool {
	return word == "." || word == ".." || strings.HasPrefix(word, "/") || strings.HasPrefix(word, "./") || strings.HasPrefix(word, "../")
}

// split is the pool and the volume that a word names.
func (p *Place) split(word string) (pool, volume string) {
	if pool, volume, found := strings.Cut(word, "/"); found {
		return pool, volume
	}
	return p.Pool, word
}

// Volume finds a volume that is named, not given as a path. The daemon's own
// error is wrapped.
func (p *Place) Volume(l *libvirt.Libvirt, word string) (libvirt.StoragePool, libvirt.StorageVol, error) {
	poolName, name := p.split(word)
	pool, err := l.StoragePoolLookupByName(poolName)
	if err != nil {
		return pool, libvirt.StorageVol{}, fmt.Errorf("looking for %s: %w; virsh pool-list shows the pools", word, err)
	}
	vol, err := l.StorageVolLookupByName(pool, name)
	if err != nil {
		return pool, vol, fmt.Errorf("looking for %s in the pool %q: %w; virsh vol-list %s shows what is there", name, poolName, err, poolName)
	}
	return pool, vol, nil
}

// Path is the absolute path of a volume's file. One that is given as a path
// needs no daemon.
func (p *Place) Path(ctx context.Context, word string) (string, error) {
	if IsPath(word) {
		return filepath.Abs(word)
	}
	l, err := connect.Dial(ctx, p.URI)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Disconnect() }()
	_, vol, err := p.Volume(l, word)
	if err != nil {
		return "", err
	}
	return l.StorageVolGetPath(vol)
}

// Refresh has the daemon read the volume's pool anew, since its file has
// changed. Of a path that no pool knows there is nothing to tell anybody.
func (p *Place) Refresh(ctx context.Context, word string) error {
	l, err := connect.Dial(ctx, p.URI)
	if err != nil {
		if IsPath(word) {
			return nil
		}
		return err
	}
	defer func() { _ = l.Disconnect() }()
	pool, err := p.poolOf(l, word)
	if err != nil || pool.Name == "" {
		return err
	}
	return l.StoragePoolRefresh(pool, 0)
}

// poolOf is the pool of a volume, one without a name for a file of none.
func (p *Place) poolOf(l *libvirt.Libvirt, word string) (libvirt.StoragePool, error) {
	if !IsPath(word) {
		pool, _, err := p.Volume(l, word)
		return pool, err
	}
	path, err := filepath.Abs(word)
	if err != nil {
		return libvirt.StoragePool{}, err
	}
	pool, err := l.StoragePoolLookupByTargetPath(filepath.Dir(path))
	if IsCode(err, libvirt.ErrNoStoragePool) {
		return libvirt.StoragePool{}, nil
	}
	return pool, err
}

// IsCode tells whether err is the daemon's, of that code.
func IsCode(err error, code libvirt.ErrorNumber) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == uint32(code)
}
