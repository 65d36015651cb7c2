package image

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/virtuml/connect"
	"virtumld/internal/virtuml/locate"
)

// pool is a storage pool of the daemon, and its folder on this host.
type pool struct {
	l      *libvirt.Libvirt
	pool   libvirt.StoragePool
	folder string
}

func openPool(ctx context.Context, at locate.Place) (*pool, error) {
	l, err := connect.Dial(ctx, at.URI)
	if err != nil {
		return nil, err
	}
	p := &pool{l: l}
	if err := p.find(at.Pool); err != nil {
		p.close()
		return nil, fmt.Errorf("storage pool %q: %w", at.Pool, err)
	}
	return p, nil
}

func (p *pool) close() { _ = p.l.Disconnect() }

func (p *pool) find(name string) error {
	var err error
	if p.pool, err = p.l.StoragePoolLookupByName(name); err != nil {
		return err
	}
	active, err := p.l.StoragePoolIsActive(p.pool)
	if err != nil {
		return err
	}
	if active == 0 {
		return fmt.Errorf("it is not running: start it with virsh pool-start %s", name)
	}
	text, err := p.l.StoragePoolGetXMLDesc(p.pool, 0)
	if err != nil {
		return err
	}
	var document struct {
		Target struct {
			Path string `xml:"path"`
		} `xml:"target"`
	}
	if err := xml.Unmarshal([]byte(text), &document); err != nil {
		return err
	}
	if p.folder = document.Target.Path; !filepath.IsAbs(p.folder) {
		return fmt.Errorf("it has no folder, but %q", p.folder)
	}
	return nil
}

// mustBeFree refuses a name that a volume or another file has.
func (p *pool) mustBeFree(name string) error {
	_, err := p.l.StorageVolLookupByName(p.pool, name)
	if err == nil {
		return fmt.Errorf("the pool %s has an image %s already: choose another --name, or remove it with virtuml image remove", p.pool.Name, name)
	}
	if locate.IsCode(err, libvirt.ErrNoStorageVol) {
		return nil
	}
	return err
}

// put makes a volume whose file write fills. The file has a hidden name until
// it is complete; after an error nothing is left of it.
func (p *pool) put(ctx context.Context, name string, write func(context.Context, *os.File) error) (libvirt.StorageVol, error) {
	f, err := os.CreateTemp(p.folder, ".virtuml-*.part")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return p.upload(ctx, name, write)
	}
	if err != nil {
		return libvirt.StorageVol{}, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	if err := write(ctx, f); err != nil {
		return libvirt.StorageVol{}, err
	}
	if err := f.Close(); err != nil {
		return libvirt.StorageVol{}, err
	}
	target := filepath.Join(p.folder, name)
	if err := unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, target, unix.RENAME_NOREPLACE); err != nil {
		return libvirt.StorageVol{}, &os.PathError{Op: "rename to", Path: target, Err: err}
	}
	vol, err := p.appeared(name)
	if err != nil {
		return vol, errors.Join(err, os.Remove(target))
	}
	return vol, nil
}

// appeared has the daemon look into the pool's folder.
func (p *pool) appeared(name string) (libvirt.StorageVol, error) {
	if err := p.l.StoragePoolRefresh(p.pool, 0); err != nil {
		return libvirt.StorageVol{}, err
	}
	return p.l.StorageVolLookupByName(p.pool, name)
}

// upload is put for a user who may not write into the pool's folder: the file
// is made elsewhere and sent to the daemon.
func (p *pool) upload(ctx context.Context, name string, write func(context.Context, *os.File) error) (libvirt.StorageVol, error) {
	f, err := os.CreateTemp("", ".virtuml-*.part")
	if err != nil {
		return libvirt.StorageVol{}, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	if err := write(ctx, f); err != nil {
		return libvirt.StorageVol{}, err
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		return libvirt.StorageVol{}, err
	}
	text, err := xml.Marshal(volume{Name: name, Capacity: size, Target: target{Format: format{"raw"}}})
	if err != nil {
		return libvirt.StorageVol{}, err
	}
	vol, err := p.l.StorageVolCreateXML(p.pool, string(text), 0)
	if err != nil {
		return vol, err
	}
	if _, err = f.Seek(0, 0); err == nil {
		err = p.l.StorageVolUpload(vol, stopping{ctx, f}, 0, 0, 0)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return vol, errors.Join(err, p.l.StorageVolDelete(vol, 0))
	}
	return vol, nil
}

// volume is a <volume> document for a new volume.
type volume struct {
	XMLName    xml.Name `xml:"volume"`
	Name       string   `xml:"name"`
	Capacity   int64    `xml:"capacity"`
	Allocation int64    `xml:"allocation"`
	Target     target   `xml:"target"`
}

type target struct {
	Format format `xml:"format"`
}

type format struct {
	Type string `xml:"type,attr"`
}

// stopping is a reader that ends with its context.
type stopping struct {
	ctx context.Context
	f   *os.File
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.f.Read(p)
}
