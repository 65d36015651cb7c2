package testkit

// NetworkEvents runs "virsh net-event --loop" for lifecycle events and returns
// once it has registered.
func (d *Daemon) NetworkEvents() *Events {
	d.t.Helper()
	e := d.events("net-event", "--event", "lifecycle", "--loop")
	document := d.File("sentinel.xml", "<network><name>"+sentinel+"</name></network>")
	e.awaitRegistration(func(int) {
		d.OK("net-define", document)
		d.OK("net-undefine", sentinel)
	})
	return e
}
