package driver

import (
	"log/slog"
	"sync/atomic"

	"virtumld/internal/domain"
	"virtumld/internal/paths"
	"virtumld/internal/storage"
)

// Driver serves every connection of one daemon.
type Driver struct {
	domains  *domain.List
	bus      *domain.Bus
	storage  storage.Manager
	host     HostView
	paths    paths.Paths
	log      *slog.Logger
	consoles consoles
	lastList atomic.Pointer[listing]
}

// New makes the driver of one instance.
func New(domains *domain.List, bus *domain.Bus, pools storage.Manager, host HostView, p paths.Paths, log *slog.Logger) *Driver {
	return &Driver{domains: domains, bus: bus, storage: pools, host: host, paths: p, log: log}
}
