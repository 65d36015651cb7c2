package main

import (
	"regexp"
	"strings"
)

// spelling is how one word of a procedure's C name is spelt in the API
// function's name where a capital first letter is not enough. A word changes
// only when it ends as the pattern says: OS but OsType's Os too, since each
// word is looked at alone.
var spelling = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`^Nwfilter`), "NWFilter"},
	{regexp.MustCompile(`^Xml(2?)$`), "XML$1"},
	{regexp.MustCompile(`^Uri$`), "URI"},
	{regexp.MustCompile(`^Uuid$`), "UUID"},
	{regexp.MustCompile(`^Id$`), "ID"},
	{regexp.MustCompile(`^Mac$`), "MAC"},
	{regexp.MustCompile(`^Cpu$`), "CPU"},
	{regexp.MustCompile(`^Os$`), "OS"},
	{regexp.MustCompile(`^Nmi$`), "NMI"},
	{regexp.MustCompile(`^Pm`), "PM"},
	{regexp.MustCompile(`^Fstrim$`), "FSTrim"},
	{regexp.MustCompile(`^Fsfreeze$`), "FSFreeze"},
	{regexp.MustCompile(`^Fsthaw$`), "FSThaw"},
	{regexp.MustCompile(`^Fsinfo$`), "FSInfo"},
	{regexp.MustCompile(`^Iothread$`), "IOThread"},
	{regexp.MustCompile(`^Scsi$`), "SCSI"},
	{regexp.MustCompile(`^Wwn$`), "WWN"},
	{regexp.MustCompile(`^Dhcp$`), "DHCP"},
	{regexp.MustCompile(`^Fd$`), "FD"},
	{regexp.MustCompile(`^Sev$`), "SEV"},
	{regexp.MustCompile(`^Ssh$`), "SSH"},
}

// exceptions are API functions whose name does not follow from the
// procedure's.
var exceptions = map[string]string{
	"CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY":   "virConnectDomainEventRegisterAny",
	"CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY": "virConnectDomainEventDeregisterAny",
}

// remoteAPI returns the public function behind a procedure of the remote
// program, as it stands in libvirt's src/libvirt_public.syms.
func remoteAPI(cName string) string {
	if name, ok := exceptions[cName]; ok {
		return name
	}
	var b strings.Builder
	b.WriteString("vir")
	for word := range strings.SplitSeq(cName, "_") {
		word = word[:1] + strings.ToLower(word[1:])
		for _, s := range spelling {
			word = s.pattern.ReplaceAllString(word, s.replacement)
		}
		b.WriteString(word)
	}
	return b.String()
}

// qemuAPI is remoteAPI for the qemu program (src/libvirt_qemu.syms).
func qemuAPI(cName string) string {
	name := remoteAPI(cName)
	return strings.Replace(name, "Domain", "DomainQemu", 1)
}
