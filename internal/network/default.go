package network

import (
	"context"

	"virtumld/internal/networkxml"
)

const (
	// defaultName is the network that clients expect to be there.
	defaultName = "default"
	// defaultMarker in ConfigDir says that the instance has had it: what the
	// user has removed stays removed.
	defaultMarker = "default-network-made"
)

// defaultDocument is libvirt's own network "default".
const defaultDocument = `<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr%d'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>
`

// makeDefault makes the network "default" unless the instance has had one. The
// marker comes last: whoever finds a network "default" without it finishes what
// was interrupted. The host's networks do not matter: this one is in user
// space.
func (s *Networks) makeDefault(ctx context.Context) error {
	if s.cfg.NoDefault {
		return nil
	}
	if made, err := s.files.Marked(defaultMarker); err != nil || made {
		return err
	}
	spec := Spec{Name: defaultName}
	if _, err := s.Find(spec); err != nil {
		def, err := networkxml.Parse(defaultDocument)
		if err != nil {
			return err
		}
		if _, err := s.define(ctx, def); err != nil {
			return err
		}
	}
	if err := s.SetAutostart(ctx, spec, true); err != nil {
		return err
	}
	return s.files.Mark(defaultMarker)
}
