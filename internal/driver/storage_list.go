package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// Filters of a list of pools (virConnectListAllStoragePoolsFlags), combined as
// those of a list of domains.
const (
	poolsActive, poolsInactive       = libvirt.ConnectListStoragePoolsActive, libvirt.ConnectListStoragePoolsInactive
	poolsPersistent, poolsTransient  = libvirt.ConnectListStoragePoolsPersistent, libvirt.ConnectListStoragePoolsTransient
	poolsAutostart, poolsNoAutostart = libvirt.ConnectListStoragePoolsAutostart, libvirt.ConnectListStoragePoolsNoAutostart

	poolsDir        = libvirt.ConnectListStoragePoolsDir
	poolsOtherTypes = libvirt.ConnectListStoragePoolsFs | libvirt.ConnectListStoragePoolsNetfs |
		libvirt.ConnectListStoragePoolsLogical | libvirt.ConnectListStoragePoolsDisk |
		libvirt.ConnectListStoragePoolsIscsi | libvirt.ConnectListStoragePoolsScsi |
		libvirt.ConnectListStoragePoolsMpath | libvirt.ConnectListStoragePoolsRbd |
		libvirt.ConnectListStoragePoolsSheepdog | libvirt.ConnectListStoragePoolsGluster |
		libvirt.ConnectListStoragePoolsZfs | libvirt.ConnectListStoragePoolsVstorage |
		libvirt.ConnectListStoragePoolsIscsiDirect

	poolFilters = poolsActive | poolsInactive | poolsPersistent | poolsTransient |
		poolsAutostart | poolsNoAutostart | poolsDir | poolsOtherTypes
)

// matchesPool reports whether v passes the filters. Every pool here is a
// folder.
func matchesPool(v storage.PoolView, filters libvirt.ConnectListAllStoragePoolsFlags) bool {
	either := func(is bool, yes, no libvirt.ConnectListAllStoragePoolsFlags) bool {
		asked := filters & (yes | no)
		return asked == 0 || is && asked&yes != 0 || !is && asked&no != 0
	}
	return either(v.Active, poolsActive, poolsInactive) &&
		either(v.Persistent, poolsPersistent, poolsTransient) &&
		either(v.Autostart, poolsAutostart, poolsNoAutostart) &&
		either(true, poolsDir, poolsOtherTypes)
}

// poolsThat returns the pools that pass the filters.
func (c *Conn) poolsThat(filters libvirt.ConnectListAllStoragePoolsFlags) []libvirt.StoragePool {
	views := c.driver.storage.Pools()
	pools := make([]libvirt.StoragePool, 0, len(views))
	for _, v := range views {
		if matchesPool(v, filters) {
			pools = append(pools, poolObject(specOf(v)))
		}
	}
	return pools
}

func (c *Conn) poolNames(filters libvirt.ConnectListAllStoragePoolsFlags, most int32) []string {
	pools := c.poolsThat(filters)
	names := make([]string, 0, len(pools))
	for _, p := range pools {
		names = append(names, p.Name)
	}
	return atMost(names, most)
}

// ConnectListAllStoragePools lists the pools that pass the filters.
func (c *Conn) ConnectListAllStoragePools(_ context.Context, a *libvirt.ConnectListAllStoragePoolsArgs) (*libvirt.ConnectListAllStoragePoolsRet, error) {
	if err := checkStorageFlags(a.Flags, poolFilters, "virConnectListAllStoragePools"); err != nil {
		return nil, err
	}
	pools := c.poolsThat(a.Flags)
	ret := &libvirt.ConnectListAllStoragePoolsRet{Ret: uint32(len(pools))}
	if a.NeedResults != 0 {
		ret.Pools = pools
	}
	return ret, nil
}

// ConnectListStoragePools lists the names of the active pools, at most
// Maxnames.
func (c *Conn) ConnectListStoragePools(_ context.Context, a *libvirt.ConnectListStoragePoolsArgs) (*libvirt.ConnectListStoragePoolsRet, error) {
	return &libvirt.ConnectListStoragePoolsRet{Names: c.poolNames(poolsActive, a.Maxnames)}, nil
}

// ConnectNumOfStoragePools counts the active pools.
func (c *Conn) ConnectNumOfStoragePools(context.Context) (*libvirt.ConnectNumOfStoragePoolsRet, error) {
	return &libvirt.ConnectNumOfStoragePoolsRet{Num: int32(len(c.poolsThat(poolsActive)))}, nil
}

// ConnectListDefinedStoragePools lists the names of the inactive pools, at
// most Maxnames.
func (c *Conn) ConnectListDefinedStoragePools(_ context.Context, a *libvirt.ConnectListDefinedStoragePoolsArgs) (*libvirt.ConnectListDefinedStoragePoolsRet, error) {
	return &libvirt.ConnectListDefinedStoragePoolsRet{Names: c.poolNames(poolsInactive, a.Maxnames)}, nil
}

// ConnectNumOfDefinedStoragePools counts the inactive pools.
func (c *Conn) ConnectNumOfDefinedStoragePools(context.Context) (*libvirt.ConnectNumOfDefinedStoragePoolsRet, error) {
	return &libvirt.ConnectNumOfDefinedStoragePoolsRet{Num: int32(len(c.poolsThat(poolsInactive)))}, nil
}

// StoragePoolListAllVolumes lists the volumes of an active pool.
func (c *Conn) StoragePoolListAllVolumes(_ context.Context, a *libvirt.StoragePoolListAllVolumesArgs) (*libvirt.StoragePoolListAllVolumesRet, error) {
	if err := checkStorageFlags(a.Flags, 0, "virStoragePoolListAllVolumes"); err != nil {
		return nil, err
	}
	volumes, err := c.driver.storage.Volumes(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	ret := &libvirt.StoragePoolListAllVolumesRet{Ret: uint32(len(volumes))}
	if a.NeedResults == 0 {
		return ret, nil
	}
	ret.Vols = make([]libvirt.StorageVol, 0, len(volumes))
	for _, v := range volumes {
		ret.Vols = append(ret.Vols, volumeObject(v))
	}
	return ret, nil
}

// StoragePoolListVolumes lists the names of an active pool's volumes, at most
// Maxnames.
func (c *Conn) StoragePoolListVolumes(_ context.Context, a *libvirt.StoragePoolListVolumesArgs) (*libvirt.StoragePoolListVolumesRet, error) {
	volumes, err := c.driver.storage.Volumes(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(volumes))
	for _, v := range volumes {
		names = append(names, v.Name)
	}
	return &libvirt.StoragePoolListVolumesRet{Names: atMost(names, a.Maxnames)}, nil
}

// StoragePoolNumOfVolumes counts the volumes of an active pool.
func (c *Conn) StoragePoolNumOfVolumes(_ context.Context, a *libvirt.StoragePoolNumOfVolumesArgs) (*libvirt.StoragePoolNumOfVolumesRet, error) {
	volumes, err := c.driver.storage.Volumes(poolSpec(a.Pool))
	if err != nil {
		return nil, err
	}
	return &libvirt.StoragePoolNumOfVolumesRet{Num: int32(len(volumes))}, nil
}

// otherPoolTypes are the types of pools that libvirt knows and this daemon has
// no backend for, by their number in virStoragePoolType
// (src/conf/storage_conf.h).
var otherPoolTypes = map[string]int{
	"fs": 1, "netfs": 2, "logical": 3, "disk": 4, "iscsi": 5, "iscsi-direct": 6, "scsi": 7,
	"mpath": 8, "rbd": 9, "sheepdog": 10, "gluster": 11, "zfs": 12, "vstorage": 13,
}

// ConnectFindStoragePoolSources finds nothing: a folder has no source. The
// errors are those of a libvirt without the other backends.
func (c *Conn) ConnectFindStoragePoolSources(_ context.Context, a *libvirt.ConnectFindStoragePoolSourcesArgs) (*libvirt.ConnectFindStoragePoolSourcesRet, error) {
	if a.Type == "dir" {
		return nil, virerr.In(virerr.Storage, libvirt.ErrNoSupport, "pool type '%s' does not support source discovery", a.Type)
	}
	if number, known := otherPoolTypes[a.Type]; known {
		return nil, virerr.In(virerr.Storage, libvirt.ErrInternalError, "missing backend for pool type %d (%s)", number, a.Type)
	}
	return nil, virerr.In(virerr.Storage, libvirt.ErrInternalError, "unknown storage pool type %s", a.Type)
}
