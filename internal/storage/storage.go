// Package storage keeps storage pools: folders of disk images ("dir" pools),
// their definitions on disk, and the volumes in them. It makes, copies, reads
// and removes images of the formats raw and cow, recognises the others, and
// never touches a file outside a pool's folder. It knows neither clients nor
// the wire, and of guests only which files they use.
package storage

import (
	"context"
	"io"

	"github.com/google/uuid"

	"virtumld/internal/storagexml"
)

// PoolView is a pool at one moment. It is never changed afterwards.
type PoolView struct {
	*storagexml.Pool
	// Inactive is the definition that the next start takes.
	Inactive                      *storagexml.Pool
	Active, Persistent, Autostart bool
	// Building says that the pool's folder is being made just now.
	Building bool
	Stats    storagexml.PoolStats
	// Volumes is their number, 0 for an inactive pool.
	Volumes int
}

// VolumeView is a volume at one moment.
type VolumeView struct {
	*storagexml.Volume
	// Pool is the name of its pool.
	Pool string
	// Type is libvirt's virStorageVolType: 0 file, 1 block, 2 dir.
	Type int32
}

// PoolSpec picks a pool: clients name both, and the uuid decides.
type PoolSpec struct {
	Name string
	UUID uuid.UUID
}

// CreateOptions are virStorageVolCreateFlags. PreallocateMetadata is refused,
// as by libvirt for every format but qcow2. Reflink demands a copy that shares
// blocks.
type CreateOptions struct {
	PreallocateMetadata, Reflink bool
}

// BuildOptions are virStoragePoolBuildFlags for a folder.
type BuildOptions struct {
	Build, Overwrite, NoOverwrite bool
}

// Change is what has happened to a pool; exactly one pointer is set.
type Change struct {
	Pool PoolSpec
	// Lifecycle is libvirt's virStoragePoolEventLifecycleType.
	Lifecycle *int32
	// Refreshed says that the volumes were read anew.
	Refreshed bool
}

// Upload takes the content of a volume. Finish says that it was all; Close
// without Finish gives up: then what was written so far stays in the volume,
// as in libvirt.
type Upload interface {
	io.Writer
	// Hole skips n bytes, which then read as 0.
	Hole(n int64) error
	Finish() error
	io.Closer
}

// Download yields the content of a volume, io.EOF at the end.
type Download interface {
	io.Reader
	// NextExtent says what comes next: data (true) or a hole (false), and
	// how many bytes of it. Length 0 is the end. After a hole was told the
	// position is behind it only once SkipHole was called.
	NextExtent() (data bool, length int64, err error)
	SkipHole(n int64) error
	io.Closer
}

// Manager is all that package driver needs of this package.
type Manager interface {
	Pools() []PoolView
	Pool(spec PoolSpec) (PoolView, error) // by uuid, else libvirt's NO_STORAGE_POOL
	PoolByName(name string) (PoolView, error)
	PoolByUUID(id uuid.UUID) (PoolView, error)
	PoolByTarget(path string) (PoolView, error)

	DefinePool(ctx context.Context, def *storagexml.Pool) (PoolView, error)
	CreatePool(ctx context.Context, def *storagexml.Pool, o BuildOptions) (PoolView, error)
	BuildPool(ctx context.Context, p PoolSpec, o BuildOptions) error
	StartPool(ctx context.Context, p PoolSpec, o BuildOptions) error
	StopPool(ctx context.Context, p PoolSpec) error
	DeletePool(ctx context.Context, p PoolSpec) error
	UndefinePool(ctx context.Context, p PoolSpec) error
	SetPoolAutostart(ctx context.Context, p PoolSpec, on bool) error
	RefreshPool(ctx context.Context, p PoolSpec) error

	Volumes(p PoolSpec) ([]VolumeView, error)
	Volume(p PoolSpec, name string) (VolumeView, error)
	// VolumeByPath also finds a volume by its key, which is its path.
	VolumeByPath(path string) (VolumeView, error)
	CreateVolume(ctx context.Context, p PoolSpec, def *storagexml.Volume, o CreateOptions) (VolumeView, error)
	CloneVolume(ctx context.Context, p PoolSpec, def *storagexml.Volume, fromPool PoolSpec, from string, o CreateOptions) (VolumeView, error)
	DeleteVolume(ctx context.Context, p PoolSpec, name string) error
	WipeVolume(ctx context.Context, p PoolSpec, name string, algorithm int32) error
	// ResizeVolume sets the capacity in bytes.
	ResizeVolume(ctx context.Context, p PoolSpec, name string, capacity uint64, allocate, shrink bool) error
	// Upload and Download are of length bytes from offset; length 0 is all.
	Upload(ctx context.Context, p PoolSpec, name string, offset, length uint64) (Upload, error)
	Download(ctx context.Context, p PoolSpec, name string, offset, length uint64) (Download, error)

	// Subscribe has tell called for every change, in order, until cancel.
	// tell must not wait.
	Subscribe(tell func(Change)) (cancel func())
}
