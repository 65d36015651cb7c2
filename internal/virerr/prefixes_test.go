package virerr

import (
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code   libvirt.ErrorNumber
		detail string
		text   string
		format string
	}{
		{libvirt.ErrInternalError, "it broke", "internal error: it broke", "internal error: %s"},
		{libvirt.ErrInternalError, "", "internal error", "internal error"},
		{libvirt.ErrNoDomain, "no domain with matching name 'x'",
			"Domain not found: no domain with matching name 'x'", "Domain not found: %s"},
		{libvirt.ErrNoConnect, "xen:///", "no connection driver available for xen:///",
			"no connection driver available for %s"},
		{libvirt.ErrUnknownHost, "nowhere", "unknown host nowhere", "unknown host %s"},
		{libvirt.ErrInvalidConn, "virConnectGetType", "invalid connection pointer in virConnectGetType",
			"invalid connection pointer in %s"},
		{libvirt.ErrOsType, "linux", "unknown OS type linux", "unknown OS type %s"},
		{libvirt.ErrXMLError, "no root", "XML error: no root", "XML error: %s"},
		{libvirt.ErrXMLError, "", "XML description is invalid or not well formed",
			"XML description is invalid or not well formed"},
		{libvirt.ErrXMLDetail, "line 1: eof", "line 1: eof", "%s"},
		{libvirt.ErrDomExist, "demo", "domain demo exists already", "domain %s exists already"},
		{libvirt.ErrOperationDenied, "read only access prevents virDomainCreate",
			"operation forbidden: read only access prevents virDomainCreate", "operation forbidden: %s"},
		{libvirt.ErrRPC, "unknown procedure: 9999", "unknown procedure: 9999", "%s"},
		{libvirt.ErrSystemError, "cannot open /x: no such file", "cannot open /x: no such file", "%s"},
		{libvirt.ErrNoSupport, "virDomainSave",
			"this function is not supported by the connection driver: virDomainSave",
			"this function is not supported by the connection driver: %s"},
		{libvirt.ErrorNumber(9999), "of a later libvirt", "of a later libvirt", "%s"},
		{libvirt.ErrInternalError, "100%s sure", "internal error: 100%s sure", "internal error: %s"},
	} {
		e := &Error{Code: tt.code, Detail: tt.detail}
		if got := e.Error(); got != tt.text {
			t.Errorf("code %d, detail %q: text %q, want %q", tt.code, tt.detail, got, tt.text)
		}
		if got := e.Format(); got != tt.format {
			t.Errorf("code %d, detail %q: format %q, want %q", tt.code, tt.detail, got, tt.format)
		}
	}
}

// Each exception must be about a code that has a text without a detail, and
// must have a place for the detail.
func TestFormatsBelongToPrefixes(t *testing.T) {
	t.Parallel()
	for code, format := range formats {
		if prefixes[code] == "" {
			t.Errorf("code %d has a format, %q, and no prefix", code, format)
		}
		if (&Error{Code: code, Detail: "\x00"}).Error() == format {
			t.Errorf("code %d: the detail has no place in %q", code, format)
		}
	}
}
