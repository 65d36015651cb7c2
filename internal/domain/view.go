package domain

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
)

// View is one domain at one moment. It is immutable, so whoever holds it reads
// it without a lock and without waiting for anybody.
type View struct {
	Identity
	State libvirt.DomainState
	// Reason is the virDomain…Reason that belongs to State.
	Reason int32
	// Config is the persistent definition, nil for a transient domain.
	Config *domxml.Definition
	// Live is the running guest's definition, nil when there is none.
	Live *domxml.Definition
	// LiveXML is the document of the running guest.
	LiveXML Document
	// Autostart says that the domain is started with the daemon.
	Autostart bool
	// Facts are the running guest's.
	Facts Facts
}

// Active reports whether the domain has a guest.
func (v *View) Active() bool { return v.ID != inactive }

// Persistent reports whether the domain outlives its guest.
func (v *View) Persistent() bool { return v.Config != nil }

// Definition is the live definition of an active domain, else the config.
func (v *View) Definition() *domxml.Definition {
	if v.Live != nil {
		return v.Live
	}
	return v.Config
}

// inactive is the id of a domain without a guest.
const inactive int32 = -1

// exists tells a domain from a place that is kept for one: a define or create
// that has not succeeded yet.
func (v *View) exists() bool { return v.Config != nil || v.Live != nil }

// Document is a running guest's document, with and without passwords.
type Document struct{ Secure, Public string }

// document writes the running guest's document.
func (v *View) document() (Document, error) {
	live := domxml.Live{ID: v.ID, PTYs: v.Facts.PTYs, Kernel: v.Facts.Kernel}
	secure, err := v.Live.LiveXML(live, true)
	if err != nil || v.Live.XML(true) == v.Live.XML(false) {
		return Document{secure, secure}, err
	}
	public, err := v.Live.LiveXML(live, false)
	return Document{secure, public}, err
}

// XML is the document of the running guest, or of the config when there is no
// guest or inactive is set. Passwords are in it only when secure is set.
func (v *View) XML(inactive, secure bool) string {
	switch {
	case v.Config != nil && (inactive || v.Live == nil):
		return v.Config.XML(secure)
	case v.Live == nil:
		return ""
	case inactive:
		return v.Live.XML(secure)
	case secure:
		return v.LiveXML.Secure
	default:
		return v.LiveXML.Public
	}
}
