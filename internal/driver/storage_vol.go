package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
	"virtumld/internal/virerr"
)

// StorageVolLookupByName finds a volume of an active pool.
func (c *Conn) StorageVolLookupByName(_ context.Context, a *libvirt.StorageVolLookupByNameArgs) (*libvirt.StorageVolLookupByNameRet, error) {
	v, err := c.driver.storage.Volume(poolSpec(a.Pool), a.Name)
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolLookupByNameRet{Vol: volumeObject(v)}, nil
}

// StorageVolLookupByKey finds a volume by its key, which is its path.
func (c *Conn) StorageVolLookupByKey(_ context.Context, a *libvirt.StorageVolLookupByKeyArgs) (*libvirt.StorageVolLookupByKeyRet, error) {
	v, err := c.driver.storage.VolumeByPath(a.Key)
	if virerr.Is(err, libvirt.ErrNoStorageVol) || err == nil && v.Key != a.Key {
		return nil, virerr.In(virerr.Storage, libvirt.ErrNoStorageVol, "no storage vol with matching key %s", a.Key)
	}
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolLookupByKeyRet{Vol: volumeObject(v)}, nil
}

// StorageVolLookupByPath finds a volume by its path.
func (c *Conn) StorageVolLookupByPath(_ context.Context, a *libvirt.StorageVolLookupByPathArgs) (*libvirt.StorageVolLookupByPathRet, error) {
	v, err := c.driver.storage.VolumeByPath(a.Path)
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolLookupByPathRet{Vol: volumeObject(v)}, nil
}

// StorageVolGetInfo tells a volume's type and sizes.
func (c *Conn) StorageVolGetInfo(_ context.Context, a *libvirt.StorageVolGetInfoArgs) (*libvirt.StorageVolGetInfoRet, error) {
	_, v, err := c.volume(a.Vol)
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolGetInfoRet{Type: int8(v.Type), Capacity: v.Capacity, Allocation: v.Allocation}, nil
}

// StorageVolGetInfoFlags is StorageVolGetInfo; with the flag for it, the
// file's length stands in the place of the allocation.
func (c *Conn) StorageVolGetInfoFlags(_ context.Context, a *libvirt.StorageVolGetInfoFlagsArgs) (*libvirt.StorageVolGetInfoFlagsRet, error) {
	const physical = uint32(libvirt.StorageVolGetPhysical)
	if err := checkStorageFlags(a.Flags, physical, "virStorageVolGetInfoFlags"); err != nil {
		return nil, err
	}
	_, v, err := c.volume(a.Vol)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.StorageVolGetInfoFlagsRet{Type: int8(v.Type), Capacity: v.Capacity, Allocation: v.Allocation}
	if a.Flags&physical != 0 {
		ret.Allocation = v.Physical
	}
	return ret, nil
}

// StorageVolGetXMLDesc returns a volume's document.
func (c *Conn) StorageVolGetXMLDesc(_ context.Context, a *libvirt.StorageVolGetXMLDescArgs) (*libvirt.StorageVolGetXMLDescRet, error) {
	if err := checkStorageFlags(a.Flags, 0, "virStorageVolGetXMLDesc"); err != nil {
		return nil, err
	}
	_, v, err := c.volume(a.Vol)
	if err != nil {
		return nil, err
	}
	text, err := v.XML()
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolGetXMLDescRet{XML: text}, nil
}

// StorageVolGetPath tells a volume's path.
func (c *Conn) StorageVolGetPath(_ context.Context, a *libvirt.StorageVolGetPathArgs) (*libvirt.StorageVolGetPathRet, error) {
	_, v, err := c.volume(a.Vol)
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolGetPathRet{Name: v.Path}, nil
}

// StorageVolCreateXML makes a volume.
func (c *Conn) StorageVolCreateXML(ctx context.Context, a *libvirt.StorageVolCreateXMLArgs) (*libvirt.StorageVolCreateXMLRet, error) {
	const known = libvirt.StorageVolCreatePreallocMetadata | libvirt.StorageVolCreateValidate
	if err := checkStorageFlags(a.Flags, known, "virStorageVolCreateXML"); err != nil {
		return nil, err
	}
	pool := poolSpec(a.Pool)
	if err := c.mustBeActive(pool); err != nil {
		return nil, err
	}
	def, err := readVolume(storagexml.ParseVolume, a.XML, a.Flags)
	if err != nil {
		return nil, err
	}
	v, err := c.driver.storage.CreateVolume(ctx, pool, def, volumeOptions(a.Flags))
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolCreateXMLRet{Vol: volumeObject(v)}, nil
}

// StorageVolCreateXMLFrom makes a volume with the content of another one.
func (c *Conn) StorageVolCreateXMLFrom(ctx context.Context, a *libvirt.StorageVolCreateXMLFromArgs) (*libvirt.StorageVolCreateXMLFromRet, error) {
	const known = libvirt.StorageVolCreatePreallocMetadata | libvirt.StorageVolCreateReflink | libvirt.StorageVolCreateValidate
	if err := checkStorageFlags(a.Flags, known, "virStorageVolCreateXMLFrom"); err != nil {
		return nil, err
	}
	pool := poolSpec(a.Pool)
	if err := c.mustBeActive(pool); err != nil {
		return nil, err
	}
	from, err := c.poolOf(a.Clonevol)
	if err != nil {
		return nil, err
	}
	def, err := readVolume(storagexml.ParseClone, a.XML, a.Flags)
	if err != nil {
		return nil, err
	}
	v, err := c.driver.storage.CloneVolume(ctx, pool, def, from, a.Clonevol.Name, volumeOptions(a.Flags))
	if err != nil {
		return nil, err
	}
	return &libvirt.StorageVolCreateXMLFromRet{Vol: volumeObject(v)}, nil
}

// readVolume parses a document, strictly when the client asks for that.
func readVolume(parse func(string) (*storagexml.Volume, error), text string, flags libvirt.StorageVolCreateFlags) (*storagexml.Volume, error) {
	def, err := parse(text)
	if err == nil && flags&libvirt.StorageVolCreateValidate != 0 {
		err = storagexml.ValidateVolume(text)
	}
	if err != nil {
		return nil, err
	}
	return def, nil
}

// mustBeActive refuses an inactive pool before a document is read, as libvirt
// does.
func (c *Conn) mustBeActive(pool storage.PoolSpec) error {
	v, err := c.driver.storage.Pool(pool)
	if err != nil {
		return err
	}
	if !v.Active {
		return virerr.In(virerr.Storage, libvirt.ErrOperationInvalid, "storage pool '%s' is not active", v.Name)
	}
	return nil
}

func volumeOptions(flags libvirt.StorageVolCreateFlags) storage.CreateOptions {
	return storage.CreateOptions{
		PreallocateMetadata: flags&libvirt.StorageVolCreatePreallocMetadata != 0,
		Reflink:             flags&libvirt.StorageVolCreateReflink != 0,
	}
}

// StorageVolDelete removes a volume.
func (c *Conn) StorageVolDelete(ctx context.Context, a *libvirt.StorageVolDeleteArgs) error {
	if err := checkStorageFlags(a.Flags, 0, "virStorageVolDelete"); err != nil {
		return err
	}
	pool, err := c.poolOf(a.Vol)
	if err != nil {
		return err
	}
	return c.driver.storage.DeleteVolume(ctx, pool, a.Vol.Name)
}

// StorageVolWipe overwrites a volume's content with zeros.
func (c *Conn) StorageVolWipe(ctx context.Context, a *libvirt.StorageVolWipeArgs) error {
	if err := checkStorageFlags(a.Flags, 0, "virStorageVolWipe"); err != nil {
		return err
	}
	return c.wipe(ctx, a.Vol, libvirt.StorageVolWipeAlgZero)
}

// StorageVolWipePattern overwrites a volume's content in one of libvirt's
// ways.
func (c *Conn) StorageVolWipePattern(ctx context.Context, a *libvirt.StorageVolWipePatternArgs) error {
	if err := checkStorageFlags(a.Flags, 0, "virStorageVolWipePattern"); err != nil {
		return err
	}
	if a.Algorithm > uint32(libvirt.StorageVolWipeAlgTrim) {
		return virerr.In(virerr.Storage, libvirt.ErrInvalidArg, "wiping algorithm %d not supported", int32(a.Algorithm))
	}
	return c.wipe(ctx, a.Vol, libvirt.StorageVolWipeAlgorithm(a.Algorithm))
}

func (c *Conn) wipe(ctx context.Context, vol libvirt.StorageVol, algorithm libvirt.StorageVolWipeAlgorithm) error {
	pool, err := c.poolOf(vol)
	if err != nil {
		return err
	}
	return c.driver.storage.WipeVolume(ctx, pool, vol.Name, int32(algorithm))
}

// StorageVolResize sets a volume's capacity, or changes it by so much.
func (c *Conn) StorageVolResize(ctx context.Context, a *libvirt.StorageVolResizeArgs) error {
	const function = "virStorageVolResize"
	const delta, shrink = libvirt.StorageVolResizeDelta, libvirt.StorageVolResizeShrink
	if err := checkStorageFlags(a.Flags, libvirt.StorageVolResizeAllocate|delta|shrink, function); err != nil {
		return err
	}
	if a.Capacity == 0 && a.Flags&(delta|shrink) == 0 {
		return virerr.In(virerr.Storage, libvirt.ErrInvalidArg,
			"capacity in %s cannot be zero without 'delta' or 'shrink' flags set", function)
	}
	pool, v, err := c.volume(a.Vol)
	if err != nil {
		return err
	}
	capacity := a.Capacity
	if a.Flags&delta != 0 {
		if capacity, err = changed(v.Capacity, a.Capacity, a.Flags&shrink != 0); err != nil {
			return err
		}
	}
	return c.driver.storage.ResizeVolume(ctx, pool, a.Vol.Name, capacity,
		a.Flags&libvirt.StorageVolResizeAllocate != 0, a.Flags&shrink != 0)
}

// changed is a capacity in bytes grown or shrunk by delta.
func changed(capacity, delta uint64, shrink bool) (uint64, error) {
	switch {
	case shrink:
		return capacity - min(delta, capacity), nil
	case capacity+delta < capacity:
		return 0, virerr.In(virerr.Storage, libvirt.ErrOverflow, "a volume of %d bytes cannot grow by %d bytes", capacity, delta)
	default:
		return capacity + delta, nil
	}
}

// Upload takes a volume's content from a client. Sparse says that holes may
// come.
type Upload struct {
	storage.Upload
	Sparse bool
}

// Download yields a volume's content for a client. Sparse says that holes are
// told as such.
type Download struct {
	storage.Download
	Sparse bool
}

// StorageVolUpload opens a volume for writing.
func (c *Conn) StorageVolUpload(ctx context.Context, a *libvirt.StorageVolUploadArgs) (Upload, error) {
	if err := checkStorageFlags(a.Flags, libvirt.StorageVolUploadSparseStream, "virStorageVolUpload"); err != nil {
		return Upload{}, err
	}
	pool, err := c.poolOf(a.Vol)
	if err != nil {
		return Upload{}, err
	}
	sink, err := c.driver.storage.Upload(ctx, pool, a.Vol.Name, a.Offset, a.Length)
	if err != nil {
		return Upload{}, err
	}
	return Upload{sink, a.Flags&libvirt.StorageVolUploadSparseStream != 0}, nil
}

// StorageVolDownload opens a volume for reading.
func (c *Conn) StorageVolDownload(ctx context.Context, a *libvirt.StorageVolDownloadArgs) (Download, error) {
	if err := checkStorageFlags(a.Flags, libvirt.StorageVolDownloadSparseStream, "virStorageVolDownload"); err != nil {
		return Download{}, err
	}
	pool, err := c.poolOf(a.Vol)
	if err != nil {
		return Download{}, err
	}
	source, err := c.driver.storage.Download(ctx, pool, a.Vol.Name, a.Offset, a.Length)
	if err != nil {
		return Download{}, err
	}
	return Download{source, a.Flags&libvirt.StorageVolDownloadSparseStream != 0}, nil
}
