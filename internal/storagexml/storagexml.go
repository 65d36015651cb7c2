// Package storagexml reads and writes libvirt's <pool> and <volume>
// documents: defaults, checks and texts. It knows no files and no pools that
// exist.
package storagexml

import (
	"time"

	"github.com/google/uuid"

	"virtumld/internal/imgformat"
)

// Permissions are a <permissions> element. Nil is "not given": the file or
// folder gets what the daemon's own would have.
type Permissions struct {
	Mode         *uint32 // of chmod, at most 0777
	Owner, Group *int    // uid and gid; -1 means "not given"
	Label        string  // read back, never set
}

// Pool is the definition of a pool of type "dir", the only type that this
// daemon has a backend for.
type Pool struct {
	Name   string
	UUID   uuid.UUID
	Target string // absolute, clean
	Perms  Permissions
}

// PoolStats are the sizes of a pool in bytes; all 0 for an inactive one.
type PoolStats struct {
	Capacity, Allocation, Available uint64
}

// Volume is a <volume> document, of a client that wants one made, or of a
// volume that exists.
type Volume struct {
	Name   string
	Key    string // the path; ignored in a client's document
	Path   string // ignored in a client's document
	Format imgformat.Format
	// Capacity and Allocation are bytes. HasCapacity and HasAllocation tell
	// an absent element from 0.
	Capacity, Allocation       uint64
	HasCapacity, HasAllocation bool
	// Physical is the file's length in bytes, of a volume that exists.
	Physical uint64
	Perms    Permissions
	Backing  *Backing
	Times    *Times
	// Missing and the like have no place here: the document of a damaged
	// volume is that of a sound one.
}

// Backing is a <backingStore>.
type Backing struct {
	Path   string
	Format imgformat.Format
	Perms  Permissions
}

// Times are a <timestamps> element.
type Times struct {
	Access, Modify, Change time.Time
}
