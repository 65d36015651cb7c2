// Package supervisor runs one guest from start to end in a process of its own:
// the parent of the UML kernel, its namespaces, its console pumps and logs,
// its disks' locks and owners, its exit record. The daemon's side of it
// (Start, Adopt, Handle) speaks to that process over a control socket. It
// knows files and processes, not libvirt.
//
// Three processes run the same binary:
//
//	daemon      Start makes the guest's folder, writes spec.json, makes the
//	            control socket and starts
//	supervise   (Main) which takes what the guest needs of the host and starts
//	guest-init  (InitMain, package contain) which builds the guest's root,
//	            drops every privilege and becomes the kernel.
//
// The control socket listens before the supervisor runs, so that whoever
// connects reaches it or learns that it has died. The supervisor's death kills
// the kernel, and the kernel's death, as the first process of a pid namespace,
// kills all that belongs to the guest. What else a dead supervisor held (the
// owners of disks, the entry in uml_dir) is given back by whoever finds it
// dead, by spec.json and state.json.
package supervisor
