package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// LinksNamespace is that of what <metadata> says of links: how they are to be
// bad, which libvirt's documents have no words for. It is one element with one
// <link> an interface, or in a network's document one for all ports:
//
//	<l:links xmlns:l='urn:virtumld:links'>
//	  <l:link interface='vec0' delay='20' jitter='5' loss='0.01'/>
//	</l:links>
const LinksNamespace = "urn:virtumld:links"

// maxDelay bounds delay and jitter: the frames that are on their way have to be
// kept.
const maxDelay = 10 * time.Second

// Link is what is done to the frames of an interface, in each direction.
type Link struct {
	// Interface is the guest's name of it or its MAC address in lower case;
	// "" is every one.
	Interface string
	// Delay holds each frame back, Jitter varies that by at most so much.
	Delay, Jitter time.Duration
	// Loss is the share of frames that are dropped, from 0 to 1.
	Loss float64
}

// Or is l, or other where l says nothing.
func (l Link) Or(other Link) Link {
	if l == (Link{}) {
		return other
	}
	return l
}

// readLinks gives the interfaces what <metadata> says of them. A link whose
// interface is not there waits for it to be attached.
func readLinks(d *document, def *Definition) error {
	if d.Metadata == nil {
		return nil
	}
	links, err := ReadLinks(d.Metadata.Inner)
	if err != nil {
		return err
	}
	for i := range def.Interfaces {
		n := &def.Interfaces[i]
		for _, l := range links {
			// One that names the interface goes before one for all.
			if l.Interface == n.Device() || l.Interface == n.MAC || l.Interface == "" && n.Link == (Link{}) {
				n.Link = l
			}
		}
	}
	return nil
}

// ReadLinks takes the links out of the content of a <metadata>. What is wrong
// with them is ErrConfigUnsupported, naming it.
func ReadLinks(inner string) ([]Link, error) {
	children, err := metadataChildren(inner)
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, c := range children {
		if c.space != LinksNamespace {
			continue
		}
		found, err := readLinkList(c.text)
		if err != nil {
			return nil, err
		}
		links = append(links, found...)
	}
	seen := make(map[string]bool)
	for _, l := range links {
		if seen[l.Interface] {
			return nil, badLinks("there are two for interface='%s'", l.Interface)
		}
		seen[l.Interface] = true
	}
	return links, nil
}

func badLinks(format string, args ...any) error {
	return unsupported("element <metadata>, <link>: "+format, args...)
}

// readLinkList takes one <links>, with whatever namespaces its text has.
func readLinkList(text string) ([]Link, error) {
	var links []Link
	dec := newDecoder(strings.NewReader(text))
	for depth := 0; ; {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return links, nil
		}
		if err != nil {
			return nil, metadataError(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if want := [...]string{"links", "link"}; depth >= len(want) || tok.Name.Local != want[depth] {
				return nil, badLinks("<%s> is not available; write <links> with a <link> an interface in it", tok.Name.Local)
			}
			if depth++; depth == 2 {
				l, err := readLinkAttributes(tok.Attr)
				if err != nil {
					return nil, err
				}
				links = append(links, l)
			}
		case xml.EndElement:
			depth--
		}
	}
}

func readLinkAttributes(attrs []xml.Attr) (l Link, err error) {
	for _, a := range attrs {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		switch a.Name.Local {
		case "interface":
			l.Interface, err = linkInterface(a.Value)
		case "delay":
			l.Delay, err = linkTime(a)
		case "jitter":
			l.Jitter, err = linkTime(a)
		case "loss":
			if l.Loss, err = strconv.ParseFloat(a.Value, 64); err != nil || !(l.Loss >= 0 && l.Loss <= 1) {
				err = badLinks("loss='%s' is not a share from 0 to 1", a.Value)
			}
		default:
			err = badLinks("the attribute %s is not available; there are interface, delay, jitter and loss", a.Name.Local)
		}
		if err != nil {
			return Link{}, err
		}
	}
	if l.Jitter > l.Delay {
		return Link{}, badLinks("a jitter of %v is more than the delay of %v that it varies", l.Jitter, l.Delay)
	}
	return l, nil
}

// linkInterface takes vecN or a MAC address.
func linkInterface(text string) (string, error) {
	digits, isVec := strings.CutPrefix(text, "vec")
	if unit, err := strconv.Atoi(digits); isVec && err == nil && unit >= 0 && unit < MaxInterfaces && vecName(unit) == text {
		return text, nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", badLinks("interface='%s' is neither vec0 to vec%d nor a MAC address", text, MaxInterfaces-1)
	}
	return mac.String(), nil
}

// linkTime takes milliseconds, which may be fractions.
func linkTime(a xml.Attr) (time.Duration, error) {
	ms, err := strconv.ParseFloat(a.Value, 64)
	if err != nil || math.IsNaN(ms) || ms < 0 || ms > float64(maxDelay/time.Millisecond) {
		return 0, badLinks("%s='%s' is not a time from 0 to %d milliseconds", a.Name.Local, a.Value, maxDelay/time.Millisecond)
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}
