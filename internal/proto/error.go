package proto

import libvirt "github.com/digitalocean/go-libvirt"

// LevelError is libvirt's VIR_ERR_ERROR (virErrorLevel).
const LevelError = 2

// Error is the payload of an error reply, libvirt's remote_error and
// virNetMessageError (src/rpc/virnetprotocol.x). libvirt no longer fills the
// object fields.
type Error struct {
	Code    int32
	Domain  int32
	Message libvirt.OptString
	Level   int32
	Dom     libvirt.OptDomain
	Str1    libvirt.OptString
	Str2    libvirt.OptString
	Str3    libvirt.OptString
	Int1    int32
	Int2    int32
	Net     libvirt.OptNetwork
}
