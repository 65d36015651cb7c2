package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// target reads virDomainModificationImpact.
func target(impact libvirt.DomainModificationImpact) domain.Target {
	return domain.Target{
		Live:   impact&libvirt.DomainAffectLive != 0,
		Config: impact&libvirt.DomainAffectConfig != 0,
	}
}

// checkTarget is target for a getter, which can read one side only.
func checkTarget(impact libvirt.DomainModificationImpact, function string) error {
	const both = libvirt.DomainAffectLive | libvirt.DomainAffectConfig
	if err := checkFlags(impact, both, function); err != nil {
		return err
	}
	if impact&both == both {
		return virerr.New(libvirt.ErrInvalidArg,
			"flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' in %s are mutually exclusive", function)
	}
	return nil
}

// DomainGetMetadata reads title, description or one element of <metadata>.
func (c *Conn) DomainGetMetadata(_ context.Context, a *libvirt.DomainGetMetadataArgs) (*libvirt.DomainGetMetadataRet, error) {
	if err := checkTarget(a.Flags, "virDomainGetMetadata"); err != nil {
		return nil, err
	}
	kind, uri, err := metadataKind(a.Type, a.Uri)
	if err != nil {
		return nil, err
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	def, err := target(a.Flags).Pick(v)
	if err != nil {
		return nil, err
	}
	if def == nil {
		return nil, errGone(v)
	}
	text, err := def.Metadata(kind, uri)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainGetMetadataRet{Metadata: text}, nil
}

// DomainSetMetadata sets or, with no text, removes title, description or one
// element of <metadata>.
func (c *Conn) DomainSetMetadata(ctx context.Context, a *libvirt.DomainSetMetadataArgs) error {
	const both = libvirt.DomainAffectLive | libvirt.DomainAffectConfig
	if err := checkFlags(a.Flags, both, "virDomainSetMetadata"); err != nil {
		return err
	}
	kind, uri, err := metadataKind(a.Type, a.Uri)
	if err != nil {
		return err
	}
	text, key := first(a.Metadata), first(a.Key)
	if kind == domxml.MetadataElement && text != "" && key == "" {
		return virerr.New(libvirt.ErrInvalidArg, "key in virDomainSetMetadata must not be NULL")
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Edit(ctx, domain.Edit{
		Job:    "set metadata",
		Target: target(a.Flags),
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return def.WithMetadata(kind, text, key, uri)
		},
		Tell: []domain.Change{{Metadata: &domain.MetadataChange{Type: kind, URI: uri}}},
	})
}

func metadataKind(kind int32, uri libvirt.OptString) (domxml.MetadataType, string, error) {
	switch k := domxml.MetadataType(kind); k {
	case domxml.MetadataDescription, domxml.MetadataTitle:
		return k, "", nil
	case domxml.MetadataElement:
		if first(uri) == "" {
			return k, "", virerr.New(libvirt.ErrInvalidArg, "uri must not be NULL for a metadata element")
		}
		return k, uri[0], nil
	default:
		return k, "", virerr.New(libvirt.ErrInvalidArg, "unknown metadata type %d", kind)
	}
}

// first is an optional string's value, "" when it is absent.
func first(s libvirt.OptString) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
