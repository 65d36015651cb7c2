package driver

import (
	"cmp"
	"context"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
)

// Filters of a list of domains (virConnectListAllDomainsFlags). Groups are
// combined with and, the bits of one group with or; an empty group asks for
// everything.
const (
	listActive, listInactive           = libvirt.ConnectListDomainsActive, libvirt.ConnectListDomainsInactive
	listPersistent, listTransient      = libvirt.ConnectListDomainsPersistent, libvirt.ConnectListDomainsTransient
	listRunning, listPaused            = libvirt.ConnectListDomainsRunning, libvirt.ConnectListDomainsPaused
	listShutoff, listOther             = libvirt.ConnectListDomainsShutoff, libvirt.ConnectListDomainsOther
	listManagedSave, listNoManagedSave = libvirt.ConnectListDomainsManagedsave, libvirt.ConnectListDomainsNoManagedsave
	listAutostart, listNoAutostart     = libvirt.ConnectListDomainsAutostart, libvirt.ConnectListDomainsNoAutostart
	listSnapshot, listNoSnapshot       = libvirt.ConnectListDomainsHasSnapshot, libvirt.ConnectListDomainsNoSnapshot
	listCheckpoint, listNoCheckpoint   = libvirt.ConnectListDomainsHasCheckpoint, libvirt.ConnectListDomainsNoCheckpoint

	listFilters = listActive | listInactive | listPersistent | listTransient |
		listRunning | listPaused | listShutoff | listOther |
		listManagedSave | listNoManagedSave | listAutostart | listNoAutostart |
		listSnapshot | listNoSnapshot | listCheckpoint | listNoCheckpoint
)

// matches reports whether v passes the filters.
func matches(v *domain.View, filters libvirt.ConnectListAllDomainsFlags) bool {
	if filters == 0 {
		return true // what nearly every client asks
	}
	either := func(is bool, yes, no libvirt.ConnectListAllDomainsFlags) bool {
		asked := filters & (yes | no)
		return asked == 0 || is && asked&yes != 0 || !is && asked&no != 0
	}
	const none = false // saved states, snapshots and checkpoints are not kept
	return either(v.Active(), listActive, listInactive) &&
		either(v.Persistent(), listPersistent, listTransient) &&
		either(v.Autostart, listAutostart, listNoAutostart) &&
		either(none, listManagedSave, listNoManagedSave) &&
		either(none, listSnapshot, listNoSnapshot) &&
		either(none, listCheckpoint, listNoCheckpoint) &&
		matchesState(v, filters)
}

func matchesState(v *domain.View, filters libvirt.ConnectListAllDomainsFlags) bool {
	asked := filters & (listRunning | listPaused | listShutoff | listOther)
	if asked == 0 {
		return true
	}
	switch v.State {
	case libvirt.DomainRunning:
		return asked&listRunning != 0
	case libvirt.DomainPaused:
		return asked&listPaused != 0
	case libvirt.DomainShutoff:
		return asked&listShutoff != 0
	default:
		return asked&listOther != 0
	}
}

// ConnectListAllDomains lists the domains that pass the filters.
func (c *Conn) ConnectListAllDomains(_ context.Context, a *libvirt.ConnectListAllDomainsArgs) (*libvirt.ConnectListAllDomainsRet, error) {
	if err := checkFlags(a.Flags, listFilters, "virConnectListAllDomains"); err != nil {
		return nil, err
	}
	domains := c.driver.listed(a.Flags)
	ret := &libvirt.ConnectListAllDomainsRet{Ret: uint32(len(domains))}
	if a.NeedResults != 0 {
		ret.Domains = domains
	}
	return ret, nil
}

// listing is a list of domains that was made, good as long as no domain
// changes: clients ask for the same list again and again.
type listing struct {
	version uint64
	filters libvirt.ConnectListAllDomainsFlags
	domains []libvirt.Domain
}

// listed lists the domains that pass the filters. The slice is shared: it is
// not to be changed.
func (d *Driver) listed(filters libvirt.ConnectListAllDomainsFlags) []libvirt.Domain {
	version := d.domains.Version()
	if last := d.lastList.Load(); last != nil && last.version == version && last.filters == filters {
		return last.domains
	}
	views := d.domains.Views()
	domains := make([]libvirt.Domain, 0, len(views))
	for _, v := range views {
		if matches(v, filters) {
			domains = append(domains, object(v.Identity))
		}
	}
	d.lastList.Store(&listing{version, filters, domains})
	return domains
}

// The older procedures below answer with ids of active domains and names of
// inactive ones.

// ConnectListDomains lists the ids of the active domains, at most Maxids.
func (c *Conn) ConnectListDomains(_ context.Context, a *libvirt.ConnectListDomainsArgs) (*libvirt.ConnectListDomainsRet, error) {
	views := c.sorted(listActive)
	ids := make([]int32, 0, len(views))
	for _, v := range views {
		ids = append(ids, v.ID)
	}
	return &libvirt.ConnectListDomainsRet{Ids: atMost(ids, a.Maxids)}, nil
}

// ConnectNumOfDomains counts the active domains.
func (c *Conn) ConnectNumOfDomains(context.Context) (*libvirt.ConnectNumOfDomainsRet, error) {
	return &libvirt.ConnectNumOfDomainsRet{Num: int32(len(c.sorted(listActive)))}, nil
}

// ConnectListDefinedDomains lists the names of the inactive domains, at most
// Maxnames.
func (c *Conn) ConnectListDefinedDomains(_ context.Context, a *libvirt.ConnectListDefinedDomainsArgs) (*libvirt.ConnectListDefinedDomainsRet, error) {
	views := c.sorted(listInactive)
	names := make([]string, 0, len(views))
	for _, v := range views {
		names = append(names, v.Name)
	}
	return &libvirt.ConnectListDefinedDomainsRet{Names: atMost(names, a.Maxnames)}, nil
}

// ConnectNumOfDefinedDomains counts the inactive domains.
func (c *Conn) ConnectNumOfDefinedDomains(context.Context) (*libvirt.ConnectNumOfDefinedDomainsRet, error) {
	return &libvirt.ConnectNumOfDefinedDomainsRet{Num: int32(len(c.sorted(listInactive)))}, nil
}

func (c *Conn) sorted(filters libvirt.ConnectListAllDomainsFlags) []*domain.View {
	views := slices.DeleteFunc(c.driver.domains.Views(), func(v *domain.View) bool { return !matches(v, filters) })
	slices.SortFunc(views, func(a, b *domain.View) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	return views
}

func atMost[T any](items []T, most int32) []T {
	return items[:min(len(items), max(0, int(most)))]
}
