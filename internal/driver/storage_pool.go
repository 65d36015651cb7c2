package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
)

// StoragePoolLookupByName finds a pool by its name.
func (c *Conn) StoragePoolLookupByName(_ context.Context, a *libvirt.StoragePoolLookupByNameArgs) (*libvirt.StoragePoolLookupByNameRet, error) {
	v, err := c.driver.storage.PoolByName(a.Name)
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolLookupByNameRet{Pool: poolObject(specOf(v))}, nil
}

// StoragePoolLookupByUUID finds a pool by its uuid.
func (c *Conn) StoragePoolLookupByUUID(_ context.Context, a *libvirt.StoragePoolLookupByUUIDArgs) (*libvirt.StoragePoolLookupByUUIDRet, error) {
	v, err := c.driver.storage.PoolByUUID(uuid.UUID(a.UUID))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolLookupByUUIDRet{Pool: poolObject(specOf(v))}, nil
}

// StoragePoolLookupByVolume finds the pool of a volume.
func (c *Conn) StoragePoolLookupByVolume(_ context.Context, a *libvirt.StoragePoolLookupByVolumeArgs) (*libvirt.StoragePoolLookupByVolumeRet, error) {
	pool, err := c.poolOf(a.Vol)
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolLookupByVolumeRet{Pool: poolObject(pool)}, nil
}

// StoragePoolLookupByTargetPath finds the active pool of a folder.
func (c *Conn) StoragePoolLookupByTargetPath(_ context.Context, a *libvirt.StoragePoolLookupByTargetPathArgs) (*libvirt.StoragePoolLookupByTargetPathRet, error) {
	v, err := c.driver.storage.PoolByTarget(a.Path)
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolLookupByTargetPathRet{Pool: poolObject(specOf(v))}, nil
}

// StoragePoolGetInfo tells a pool's state and sizes.
func (c *Conn) StoragePoolGetInfo(_ context.Context, a *libvirt.StoragePoolGetInfoArgs) (*libvirt.StoragePoolGetInfoRet, error) {
	v, err := c.driver.storage.Pool(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolGetInfoRet{
		State:    uint8(poolState(v)),
		Capacity: v.Stats.Capacity, Allocation: v.Stats.Allocation, Available: v.Stats.Available,
	}, nil
}

func poolState(v storage.PoolView) libvirt.StoragePoolState {
	switch {
	case v.Active:
		return libvirt.StoragePoolRunning
	case v.Building:
		return libvirt.StoragePoolBuilding
	default:
		return libvirt.StoragePoolInactive
	}
}

// StoragePoolGetXMLDesc returns the document of an active pool as it is, or
// the one that the next start takes.
func (c *Conn) StoragePoolGetXMLDesc(_ context.Context, a *libvirt.StoragePoolGetXMLDescArgs) (*libvirt.StoragePoolGetXMLDescRet, error) {
	if err := checkStorageFlags(a.Flags, libvirt.StorageXMLInactive, "virStoragePoolGetXMLDesc"); err != nil {
		return nil, err
	}
	v, err := c.driver.storage.Pool(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	def := v.Pool
	if a.Flags&libvirt.StorageXMLInactive != 0 {
		def = v.Inactive
	}
	text, err := def.XML(v.Stats)
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolGetXMLDescRet{XML: text}, nil
}

// StoragePoolIsActive tells whether a pool is started.
func (c *Conn) StoragePoolIsActive(_ context.Context, a *libvirt.StoragePoolIsActiveArgs) (*libvirt.StoragePoolIsActiveRet, error) {
	v, err := c.driver.storage.Pool(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolIsActiveRet{Active: oneIf(v.Active)}, nil
}

// StoragePoolIsPersistent tells whether a pool is defined.
func (c *Conn) StoragePoolIsPersistent(_ context.Context, a *libvirt.StoragePoolIsPersistentArgs) (*libvirt.StoragePoolIsPersistentRet, error) {
	v, err := c.driver.storage.Pool(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolIsPersistentRet{Persistent: oneIf(v.Persistent)}, nil
}

// StoragePoolGetAutostart tells whether a pool starts with the host.
func (c *Conn) StoragePoolGetAutostart(_ context.Context, a *libvirt.StoragePoolGetAutostartArgs) (*libvirt.StoragePoolGetAutostartRet, error) {
	v, err := c.driver.storage.Pool(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolGetAutostartRet{Autostart: oneIf(v.Autostart)}, nil
}

// StoragePoolSetAutostart sets whether a pool starts with the host.
func (c *Conn) StoragePoolSetAutostart(ctx context.Context, a *libvirt.StoragePoolSetAutostartArgs) error {
	return c.driver.storage.SetPoolAutostart(ctx, poolSpec(a.Pool), a.Autostart != 0)
}

// StoragePoolDefineXML makes the document a persistent pool's definition.
func (c *Conn) StoragePoolDefineXML(ctx context.Context, a *libvirt.StoragePoolDefineXMLArgs) (*libvirt.StoragePoolDefineXMLRet, error) {
	if err := checkStorageFlags(a.Flags, uint32(libvirt.StoragePoolDefineValidate), "virStoragePoolDefineXML"); err != nil {
		return nil, err
	}
	def, err := storagexml.ParsePool(a.XML)
	if err == nil && a.Flags&uint32(libvirt.StoragePoolDefineValidate) != 0 {
		err = storagexml.ValidatePool(a.XML)
	}
	if err != nil {
		return nil, err
	}
	v, err := c.driver.storage.DefinePool(ctx, def)
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolDefineXMLRet{Pool: poolObject(specOf(v))}, nil
}

const poolCreateFlags = libvirt.StoragePoolCreateWithBuild |
	libvirt.StoragePoolCreateWithBuildOverwrite | libvirt.StoragePoolCreateWithBuildNoOverwrite

func createOptions(flags libvirt.StoragePoolCreateFlags) storage.BuildOptions {
	return storage.BuildOptions{
		Build:       flags != 0,
		Overwrite:   flags&libvirt.StoragePoolCreateWithBuildOverwrite != 0,
		NoOverwrite: flags&libvirt.StoragePoolCreateWithBuildNoOverwrite != 0,
	}
}

// StoragePoolCreateXML starts a pool from a document.
func (c *Conn) StoragePoolCreateXML(ctx context.Context, a *libvirt.StoragePoolCreateXMLArgs) (*libvirt.StoragePoolCreateXMLRet, error) {
	if err := checkStorageFlags(a.Flags, poolCreateFlags, "virStoragePoolCreateXML"); err != nil {
		return nil, err
	}
	def, err := storagexml.ParsePool(a.XML)
	if err != nil {
		return nil, err
	}
	v, err := c.driver.storage.CreatePool(ctx, def, createOptions(a.Flags))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolCreateXMLRet{Pool: poolObject(specOf(v))}, nil
}

// StoragePoolCreate starts a persistent pool.
func (c *Conn) StoragePoolCreate(ctx context.Context, a *libvirt.StoragePoolCreateArgs) error {
	if err := checkStorageFlags(a.Flags, poolCreateFlags, "virStoragePoolCreate"); err != nil {
		return err
	}
	return c.driver.storage.StartPool(ctx, poolSpec(a.Pool), createOptions(a.Flags))
}

// StoragePoolBuild makes a pool's folder.
func (c *Conn) StoragePoolBuild(ctx context.Context, a *libvirt.StoragePoolBuildArgs) error {
	const known = libvirt.StoragePoolBuildOverwrite | libvirt.StoragePoolBuildNoOverwrite
	if err := checkStorageFlags(a.Flags, known, "virStoragePoolBuild"); err != nil {
		return err
	}
	return c.driver.storage.BuildPool(ctx, poolSpec(a.Pool), storage.BuildOptions{
		Build:       true,
		Overwrite:   a.Flags&libvirt.StoragePoolBuildOverwrite != 0,
		NoOverwrite: a.Flags&libvirt.StoragePoolBuildNoOverwrite != 0,
	})
}

// StoragePoolDestroy stops a pool; its files stay.
func (c *Conn) StoragePoolDestroy(ctx context.Context, a *libvirt.StoragePoolDestroyArgs) error {
	return c.driver.storage.StopPool(ctx, poolSpec(a.Pool))
}

// StoragePoolDelete removes an inactive pool's folder, which must be empty.
func (c *Conn) StoragePoolDelete(ctx context.Context, a *libvirt.StoragePoolDeleteArgs) error {
	if err := checkStorageFlags(a.Flags, 0, "virStoragePoolDelete"); err != nil {
		return err
	}
	return c.driver.storage.DeletePool(ctx, poolSpec(a.Pool))
}

// StoragePoolUndefine forgets an inactive pool's definition.
func (c *Conn) StoragePoolUndefine(ctx context.Context, a *libvirt.StoragePoolUndefineArgs) error {
	return c.driver.storage.UndefinePool(ctx, poolSpec(a.Pool))
}

// StoragePoolRefresh reads an active pool's volumes anew.
func (c *Conn) StoragePoolRefresh(ctx context.Context, a *libvirt.StoragePoolRefreshArgs) error {
	if err := checkStorageFlags(a.Flags, 0, "virStoragePoolRefresh"); err != nil {
		return err
	}
	return c.driver.storage.RefreshPool(ctx, poolSpec(a.Pool))
}

// ConnectGetStoragePoolCapabilities tells which types of pools there are.
func (c *Conn) ConnectGetStoragePoolCapabilities(_ context.Context, a *libvirt.ConnectGetStoragePoolCapabilitiesArgs) (*libvirt.ConnectGetStoragePoolCapabilitiesRet, error) {
	if err := checkStorageFlags(a.Flags, 0, "virConnectGetStoragePoolCapabilities"); err != nil {
		return nil, err
	}
	text, err := storagexml.PoolCapabilities()
	if err != nil {
		return nil, err
	}
	return &libvirt.ConnectGetStoragePoolCapabilitiesRet{Capabilities: text}, nil
}
