package domxml

import (
	"encoding/xml"

	lx "libvirt.org/go/libvirtxml"
)

// document is the tree of a <domain> document while it is read or written.
// It is libvirtxml's Domain with two changes: <os> has its <root>, which
// libvirtxml lacks, and other hypervisors' namespaces are left out. The order
// of the fields is the order in which libvirt writes the elements
// (src/conf/domain_conf.c, virDomainDefFormatInternalSetRootName).
type document struct {
	XMLName        xml.Name                 `xml:"domain"`
	Type           string                   `xml:"type,attr,omitempty"`
	ID             *int32                   `xml:"id,attr"`
	Name           string                   `xml:"name,omitempty"`
	UUID           string                   `xml:"uuid,omitempty"`
	HWUUID         string                   `xml:"hwuuid,omitempty"`
	GenID          *lx.DomainGenID          `xml:"genid"`
	Title          string                   `xml:"title,omitempty"`
	Description    string                   `xml:"description,omitempty"`
	Metadata       *metadataElement         `xml:"metadata"`
	MaximumMemory  *lx.DomainMaxMemory      `xml:"maxMemory"`
	Memory         *lx.DomainMemory         `xml:"memory"`
	CurrentMemory  *lx.DomainCurrentMemory  `xml:"currentMemory"`
	BlockIOTune    *lx.DomainBlockIOTune    `xml:"blkiotune"`
	MemoryTune     *lx.DomainMemoryTune     `xml:"memtune"`
	MemoryBacking  *lx.DomainMemoryBacking  `xml:"memoryBacking"`
	VCPU           *lx.DomainVCPU           `xml:"vcpu"`
	VCPUs          *lx.DomainVCPUs          `xml:"vcpus"`
	IOThreads      uint                     `xml:"iothreads,omitempty"`
	IOThreadIDs    *lx.DomainIOThreadIDs    `xml:"iothreadids"`
	CPUTune        *lx.DomainCPUTune        `xml:"cputune"`
	NUMATune       *lx.DomainNUMATune       `xml:"numatune"`
	Resource       *lx.DomainResource       `xml:"resource"`
	SysInfo        []lx.DomainSysInfo       `xml:"sysinfo"`
	Bootloader     string                   `xml:"bootloader,omitempty"`
	BootloaderArgs string                   `xml:"bootloader_args,omitempty"`
	OS             *osElement               `xml:"os"`
	IDMap          *lx.DomainIDMap          `xml:"idmap"`
	ThrottleGroups *lx.DomainThrottleGroups `xml:"throttlegroups"`
	Features       *lx.DomainFeatureList    `xml:"features"`
	CPU            *lx.DomainCPU            `xml:"cpu"`
	Clock          *lx.DomainClock          `xml:"clock"`
	OnPoweroff     string                   `xml:"on_poweroff,omitempty"`
	OnReboot       string                   `xml:"on_reboot,omitempty"`
	OnCrash        string                   `xml:"on_crash,omitempty"`
	PM             *lx.DomainPM             `xml:"pm"`
	Perf           *lx.DomainPerf           `xml:"perf"`
	Devices        *lx.DomainDeviceList     `xml:"devices"`
	SecLabel       []lx.DomainSecLabel      `xml:"seclabel"`
	KeyWrap        *lx.DomainKeyWrap        `xml:"keywrap"`
	LaunchSecurity *lx.DomainLaunchSecurity `xml:"launchSecurity"`
}

// osElement is <os> with the <root> of paravirtual guests.
type osElement struct {
	lx.DomainOS
	Root string `xml:"root,omitempty"`
}

// metadataElement is <metadata>, whose content is kept byte for byte.
type metadataElement struct {
	Attrs []xml.Attr `xml:",any,attr"`
	Inner string     `xml:",innerxml"`
}
