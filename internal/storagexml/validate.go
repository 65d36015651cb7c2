package storagexml

import (
	"encoding/xml"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const (
	permissionsPaths = " permissions permissions/mode permissions/owner permissions/group permissions/label"
	timesPaths       = " timestamps timestamps/atime timestamps/btime timestamps/ctime timestamps/mtime"
)

// poolPaths are the elements and attributes that libvirt's schema
// (storagepool.rng, "pooldir") has for a pool of type "dir".
var poolPaths = slices.Concat(
	strings.Fields("@type name uuid capacity capacity/@unit allocation allocation/@unit available available/@unit "+
		"features features/cow features/cow/@state "+
		"source source/vendor source/vendor/@name source/product source/product/@name target target/path"),
	below("target", permissionsPaths))

// volumePaths are those that it has for a volume (storagevol.rng).
var volumePaths = slices.Concat(
	strings.Fields("@type name key capacity capacity/@unit allocation allocation/@unit physical physical/@unit "+
		"source source/device source/device/@path source/device/extent source/device/extent/@start source/device/extent/@end "+
		"target backingStore"),
	below("target", "path format format/@type compat nocow clusterSize clusterSize/@unit "+
		"features features/lazy_refcounts features/extended_l2 "+
		"encryption encryption/@format encryption/@engine encryption/secret encryption/secret/@type "+
		"encryption/secret/@uuid encryption/secret/@usage "+
		"encryption/cipher encryption/cipher/@name encryption/cipher/@size encryption/cipher/@mode encryption/cipher/@hash "+
		"encryption/ivgen encryption/ivgen/@name encryption/ivgen/@hash"+permissionsPaths+timesPaths),
	below("backingStore", "path format format/@type"+permissionsPaths+timesPaths))

func below(element, paths string) []string {
	var result []string
	for path := range strings.FieldsSeq(paths) {
		result = append(result, element+"/"+path)
	}
	return result
}

// ValidatePool is the strict reading that clients ask for with the VALIDATE
// flag: where ParsePool, as libvirt does, passes over elements and attributes
// that libvirt does not have, it refuses them with ErrXMLInvalidSchema. What
// is in known elements is for ParsePool to check, and so are pools of another
// type and text that is no XML.
func ValidatePool(document string) error { return poolKind.validate(document, poolPaths) }

// ValidateVolume is ValidatePool for volumes.
func ValidateVolume(document string) error { return volumeKind.validate(document, volumePaths) }

// validate refuses what known does not list; paths begin below the root.
func (k kind) validate(document string, known []string) error {
	dec := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(document, "\ufeff")))
	dec.CharsetReader = asciiOnly
	var path []string
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return nil // its end, or no XML
		}
		switch t := tok.(type) {
		case xml.StartElement:
			path = append(path, fullName(t.Name))
			for _, p := range tagPaths(path, t.Attr) {
				if !slices.Contains(known, p) {
					return virerr.In(virerr.XML, libvirt.ErrXMLInvalidSchema,
						"'./%s' is not part of a %s's definition", p, k.root)
				}
			}
		case xml.EndElement:
			if len(path) == 0 {
				return nil // no XML
			}
			path = path[:len(path)-1]
		}
	}
}

// tagPaths are the paths of an element, unless it is the root, and of its
// attributes.
func tagPaths(path []string, attrs []xml.Attr) []string {
	element, prefix := strings.Join(path[1:], "/"), "@"
	var paths []string
	if element != "" {
		paths, prefix = append(paths, element), element+"/@"
	}
	for _, a := range attrs {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			paths = append(paths, prefix+fullName(a.Name))
		}
	}
	return paths
}

// fullName is a name as the document has it; no other namespace is known.
func fullName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}
