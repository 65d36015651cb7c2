package domxml

import (
	"encoding/xml"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Validate is the strict reading that clients ask for with the VALIDATE flag:
// where Parse, as libvirt does, passes over elements and attributes that
// libvirt does not have, Validate refuses them with ErrXMLInvalidSchema.
//
// Known is what survives being read and written. Values that are left out when
// written because they are empty or zero are not looked at.
func Validate(doc []byte) error {
	d, err := decode(doc)
	if err != nil {
		return err
	}
	text, err := marshal(d)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	walkPaths(text, func(path string) bool { known[path] = true; return true })
	unknown := ""
	walkPaths(string(doc), func(path string) bool {
		if unknown == "" && !known[path] {
			unknown = path
		}
		return unknown == ""
	})
	if unknown != "" {
		return virerr.In(virerr.XML, libvirt.ErrXMLInvalidSchema, "'./%s' is not part of a domain's definition", unknown)
	}
	return nil
}

// emptyLeaves are the elements of libvirt that say nothing when they are empty.
var emptyLeaves = []string{
	"title", "description", "metadata", "kernel", "initrd", "cmdline", "root", "emulator",
	"source", "serial", "partition", "features",
}

// walkPaths calls visit with the path of every element and attribute of
// well-formed text below its root, until it returns false. Left out are
// <metadata>, other namespaces, and what Validate does not look at.
func walkPaths(text string, visit func(path string) bool) {
	dec := newDecoder(strings.NewReader(text))
	var path []string
	skipped := 0
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if skipped > 0 || t.Name.Space != "" || (len(path) == 1 && t.Name.Local == "metadata") {
				skipped++
				continue
			}
			path = append(path, t.Name.Local)
			for _, p := range tagPaths(path, t.Attr) {
				if !visit(p) {
					return
				}
			}
		case xml.EndElement:
			if skipped > 0 {
				skipped--
				continue
			}
			path = path[:len(path)-1]
		}
	}
}

// tagPaths are the paths of an element and of those of its attributes that
// have a value.
func tagPaths(path []string, attrs []xml.Attr) []string {
	if len(path) < 2 {
		return nil
	}
	element := strings.Join(path[1:], "/")
	var paths []string
	if len(attrs) > 0 || !slices.Contains(emptyLeaves, path[len(path)-1]) {
		paths = append(paths, element)
	}
	for _, a := range attrs {
		if a.Name.Space == "" && a.Name.Local != "xmlns" && a.Value != "" && a.Value != "0" {
			paths = append(paths, element+"/@"+a.Name.Local)
		}
	}
	return paths
}
