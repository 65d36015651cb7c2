package rootfs

// MetadataPath is where an imported image keeps its Metadata, inside its own
// filesystem.
const MetadataPath = "/.virtuml/image.json"

// InitPath is the init of an image that has no /sbin/init: a static virtuml,
// which acts as the guest's init when it is started under the name "init" as
// process 1.
const InitPath = "/.virtuml/init"

// Metadata is what an image says about how to run it, in the words of the OCI
// image configuration
// (https://github.com/opencontainers/image-spec/blob/main/config.md).
type Metadata struct {
	Cmd        []string `json:"cmd"`
	Entrypoint []string `json:"entrypoint"`
	Env        []string `json:"env"` // NAME=VALUE each
	// User is "name", "uid", "name:group" or "uid:gid"; "" is root.
	User    string `json:"user"`
	Workdir string `json:"workdir"` // "" is /
	// Source is what was imported, as the user spelled it.
	Source string `json:"source"`
	// Created is the time of the import, RFC 3339 in UTC.
	Created string `json:"created"`
}
