package domain

import "virtumld/internal/store"

// syncStatus brings the domain's status file up to what the domain is now. It
// may be called late or twice: the last call writes the last state. A status
// that cannot be written costs the next daemon this guest, so it is logged,
// but the guest runs.
func (d *Domain) syncStatus() {
	d.status.Lock()
	defer d.status.Unlock()
	v := d.View()
	var err error
	if v.Active() {
		err = d.list.store.SaveStatus(d.statusOf(v))
	} else {
		err = d.list.store.RemoveStatus(v.Name)
	}
	if err != nil {
		d.log.Error("cannot keep the status", "err", err)
	}
}

func (d *Domain) statusOf(v *View) store.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return store.Status{
		Name:        v.Name,
		State:       v.State,
		Reason:      v.Reason,
		PID:         v.Facts.PID,
		ID:          v.ID,
		Persistent:  v.Persistent(),
		Autodestroy: d.run != nil && d.run.owner != nil,
		Document:    v.LiveXML.Secure,
	}
}
