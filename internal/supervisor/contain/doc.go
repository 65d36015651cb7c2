// Package contain starts a UML kernel: in namespaces of its own with a root
// that holds nothing but what it was given, or, where the host refuses those,
// as a plain process in a folder of links. It does so in two stages: Spawner
// clones a second stage of the running binary (Init), which builds the root,
// gives up every privilege and becomes the kernel. It knows processes and
// mounts, not consoles, locks or what an exit means.
package contain
