package dhcp

import "strings"

const maxLabel = 63

// cleanName is the first label of a name that a client gives itself, in lower
// case, or "" when it is no host name (RFC 1123).
func cleanName(name string) string {
	name, _, _ = strings.Cut(strings.TrimRight(name, "\x00"), ".")
	name = strings.ToLower(name)
	if name == "" || len(name) > maxLabel || name[0] == '-' || name[len(name)-1] == '-' {
		return ""
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return ""
		}
	}
	return name
}

// sameName compares a lease's host name, which the settings may have given
// with a domain, to one label.
func sameName(hostname, label string) bool {
	first, _, _ := strings.Cut(hostname, ".")
	return label != "" && strings.EqualFold(first, label)
}
