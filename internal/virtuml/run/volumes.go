package run

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/guestinit"
	"virtumld/internal/virtuml/locate"
)

// image is the volume or file that a guest is made from.
type image struct {
	pool     libvirt.StoragePool // where the guest's own volumes go
	path     string
	capacity uint64 // bytes
}

// findImage understands what stands for IMAGE on the command line.
func findImage(l *libvirt.Libvirt, at locate.Place, name string) (image, error) {
	if locate.IsPath(name) {
		return findPath(l, at, name)
	}
	pool, vol, err := at.Volume(l, name)
	if err != nil {
		return image{}, fmt.Errorf("%w; virtuml image import makes images", err)
	}
	return volumeImage(l, pool, vol)
}

func volumeImage(l *libvirt.Libvirt, pool libvirt.StoragePool, vol libvirt.StorageVol) (image, error) {
	path, err := l.StorageVolGetPath(vol)
	if err != nil {
		return image{}, err
	}
	_, capacity, _, err := l.StorageVolGetInfo(vol)
	return image{pool, path, capacity}, err
}

// findPath takes a file: a volume when a pool knows it, else one whose guest's
// volumes go to the pool of --pool.
func findPath(l *libvirt.Libvirt, at locate.Place, name string) (image, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return image{}, err
	}
	if vol, err := l.StorageVolLookupByPath(path); err == nil {
		pool, err := l.StoragePoolLookupByVolume(vol)
		if err != nil {
			return image{}, err
		}
		return volumeImage(l, pool, vol)
	}
	info, err := os.Stat(path)
	if err != nil {
		return image{}, err
	}
	if !info.Mode().IsRegular() {
		return image{}, fmt.Errorf("%s is not a file", path)
	}
	pool, err := l.StoragePoolLookupByName(at.Pool)
	if err != nil {
		return image{}, fmt.Errorf("a guest of %s needs the pool %q for its own volumes: %w", path, at.Pool, err)
	}
	return image{pool, path, uint64(info.Size())}, nil
}

// volumes are a guest's own.
type volumes struct {
	root, spec         libvirt.StorageVol
	rootPath, specPath string
}

// makeVolumes makes both, or neither.
func makeVolumes(l *libvirt.Libvirt, p plan, from image) (volumes, error) {
	var v volumes
	disk, err := guestinit.EncodeDisk(p.spec)
	if err != nil {
		return v, err
	}
	v.root, v.rootPath, err = makeVolume(l, from.pool, volume{
		Name: p.name + ".cow", Capacity: from.capacity, Format: volumeFormat{"cow"},
		Backing: &volumeSource{Path: from.path, Format: volumeFormat{"raw"}},
	})
	if err != nil {
		return v, fmt.Errorf("cannot make a copy-on-write volume over %s: %w", from.path, err)
	}
	v.spec, v.specPath, err = makeVolume(l, from.pool, volume{
		Name: p.name + ".run", Capacity: guestinit.DiskSize, Format: volumeFormat{"raw"},
	})
	if err != nil {
		return v, errors.Join(fmt.Errorf("cannot make the volume of the command: %w", err), remove(l, v.root))
	}
	if err := upload(l, v.spec, disk); err != nil {
		return v, errors.Join(err, v.remove(l))
	}
	return v, nil
}

// makeVolume makes one. One that is of no use without its path is removed.
func makeVolume(l *libvirt.Libvirt, pool libvirt.StoragePool, v volume) (libvirt.StorageVol, string, error) {
	text, err := xml.Marshal(v)
	if err != nil {
		return libvirt.StorageVol{}, "", err
	}
	vol, err := l.StorageVolCreateXML(pool, string(text), 0)
	if err != nil {
		return vol, "", err
	}
	path, err := l.StorageVolGetPath(vol)
	if err != nil {
		return vol, "", errors.Join(err, remove(l, vol))
	}
	return vol, path, nil
}

func upload(l *libvirt.Libvirt, vol libvirt.StorageVol, disk []byte) error {
	if err := l.StorageVolUpload(vol, bytes.NewReader(disk), 0, uint64(len(disk)), 0); err != nil {
		return fmt.Errorf("cannot write the volume %s: %w", vol.Name, err)
	}
	return nil
}

// result reads how the command has ended.
func (v volumes) result(l *libvirt.Libvirt) (guestinit.Result, error) {
	var disk bytes.Buffer
	if err := l.StorageVolDownload(v.spec, &disk, 0, guestinit.DiskSize, 0); err != nil {
		return guestinit.Result{}, fmt.Errorf("cannot read the result from the volume %s: %w", v.spec.Name, err)
	}
	return guestinit.DecodeResult(disk.Bytes())
}

// remove removes both.
func (v volumes) remove(l *libvirt.Libvirt) error {
	return errors.Join(remove(l, v.root), remove(l, v.spec))
}

func remove(l *libvirt.Libvirt, vol libvirt.StorageVol) error {
	if err := l.StorageVolDelete(vol, 0); err != nil {
		return fmt.Errorf("cannot remove the volume %s of the pool %s: %w", vol.Name, vol.Pool, err)
	}
	return nil
}
