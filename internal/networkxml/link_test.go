package networkxml

import (
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
)

func TestLink(t *testing.T) {
	links := func(content string) string {
		return document("<metadata><l:links xmlns:l='urn:virtumld:links'>" + content + "</l:links></metadata>")
	}
	n, err := Parse(links("<l:link delay='20' loss='0.5'/>"))
	if err != nil || n.Link.Delay != 20*time.Millisecond || n.Link.Loss != 0.5 {
		t.Errorf("%+v, %v", n, err)
	}
	_, err = Parse(links("<l:link delay='x'/>"))
	wrong(t, err, libvirt.ErrConfigUnsupported, "delay='x'")
	_, err = Parse(links("<l:link interface='vec0' delay='1'/>"))
	wrong(t, err, libvirt.ErrConfigUnsupported, "a network has one for all its ports")
}
