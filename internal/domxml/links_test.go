package domxml

import (
	"fmt"
	"strings"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func links(content string) string {
	return "<l:links xmlns:l='urn:virtumld:links'>" + content + "</l:links>"
}

func TestReadLinks(t *testing.T) {
	got, err := ReadLinks("<other xmlns='urn:x'><link delay='x'/></other>" + links(
		"<l:link interface='vec0' delay='20' jitter='5.5' loss='0.01'/>\n"+
			"<!-- far --><l:link interface='52:54:00:AA:00:01' loss='1'/><l:link/>"))
	want := []Link{
		{"vec0", 20 * time.Millisecond, 5500 * time.Microsecond, 0.01},
		{"52:54:00:aa:00:01", 0, 0, 1},
		{},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for content, part := range map[string]string{
		"<l:link delay='soon'/>":                                     "delay='soon' is not a time",
		"<l:link delay='-1'/>":                                       "delay='-1'",
		"<l:link delay='NaN'/>":                                      "delay='NaN'",
		"<l:link delay='10001'/>":                                    "from 0 to 10000 milliseconds",
		"<l:link delay='1' jitter='2'/>":                             "is more than the delay",
		"<l:link loss='1.1'/>":                                       "loss='1.1' is not a share",
		"<l:link loss='nan'/>":                                       "loss='nan'",
		"<l:link loss='10%'/>":                                       "loss='10%'",
		"<l:link interface='eth0'/>":                                 "interface='eth0' is neither",
		"<l:link interface='vec32'/>":                                "interface='vec32'",
		"<l:link interface='vec01'/>":                                "interface='vec01'",
		"<l:link rate='5'/>":                                         "the attribute rate is not available",
		"<l:wire/>":                                                  "<wire> is not available",
		"<l:link><l:link/></l:link>":                                 "<link> is not available",
		"<l:link interface='vec1'/><l:link interface='vec1'/>":       "there are two for interface='vec1'",
		"<l:link loss='1'/><l:link interface='vec1'/><l:link x=''/>": "attribute x",
	} {
		if _, err := ReadLinks(links(content)); !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %q", content, err, part)
		}
	}
}

// A link that names the interface goes before one for all, wherever it stands.
func TestLinksOfInterfaces(t *testing.T) {
	const document = `<domain type='uml'><name>d</name><memory>65536</memory><os><type>uml</type><kernel>/k</kernel></os>
	<metadata>%s</metadata><devices>
	<interface type='user'><mac address='52:54:00:00:00:01'/></interface>
	<interface type='user'><mac address='52:54:00:00:00:02'/></interface>
	<interface type='user'><mac address='52:54:00:00:00:03'/></interface></devices></domain>`
	def, err := Parse(fmt.Appendf(nil, document, links(`<l:link interface='vec1' delay='1'/><l:link delay='2'/>
		<l:link interface='52:54:00:00:00:03' delay='3'/><l:link interface='vec9' delay='9'/>`)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{2, 1, 3} {
		if got := def.Interfaces[i].Link.Delay; got != want*time.Millisecond {
			t.Errorf("interface %d has a delay of %v", i, got)
		}
	}
	if _, err := Parse(fmt.Appendf(nil, document, links("<l:link loss='2'/>"))); !virerr.Is(err, libvirt.ErrConfigUnsupported) {
		t.Errorf("a domain with a bad link: %v", err)
	}
	if _, err := def.WithMetadata(MetadataElement, "<links><link loss='x'/></links>", "l", LinksNamespace); !virerr.Is(err, libvirt.ErrConfigUnsupported) {
		t.Errorf("a bad link by metadata: %v", err)
	}
}
