package dispatch

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// secondaryRows serve the parts of libvirt that this daemon keeps nothing of:
// lists are empty and counts 0, so that clients which ask for everything at
// their start carry on.
func secondaryRows() []row {
	return []row{
		quick(proto.NodeNumOfDevices, nothing[libvirt.NodeNumOfDevicesArgs, libvirt.NodeNumOfDevicesRet]()),
		quick(proto.NodeListDevices, nothing[libvirt.NodeListDevicesArgs, libvirt.NodeListDevicesRet]()),
		quick(proto.NodeDeviceLookupByName, both((*driver.Conn).NodeDeviceLookupByName)),
		quick(proto.ConnectNumOfInterfaces, noneOf[libvirt.ConnectNumOfInterfacesRet]()),
		quick(proto.ConnectListInterfaces, nothing[libvirt.ConnectListInterfacesArgs, libvirt.ConnectListInterfacesRet]()),
		quick(proto.InterfaceLookupByName, both((*driver.Conn).InterfaceLookupByName)),
		quick(proto.InterfaceLookupByMacString, both((*driver.Conn).InterfaceLookupByMacString)),
		quick(proto.ConnectNumOfDefinedInterfaces, noneOf[libvirt.ConnectNumOfDefinedInterfacesRet]()),
		quick(proto.ConnectListDefinedInterfaces, nothing[libvirt.ConnectListDefinedInterfacesArgs, libvirt.ConnectListDefinedInterfacesRet]()),
		quick(proto.ConnectNumOfSecrets, noneOf[libvirt.ConnectNumOfSecretsRet]()),
		quick(proto.ConnectListSecrets, nothing[libvirt.ConnectListSecretsArgs, libvirt.ConnectListSecretsRet]()),
		quick(proto.SecretLookupByUUID, both((*driver.Conn).SecretLookupByUUID)),
		quick(proto.SecretLookupByUsage, both((*driver.Conn).SecretLookupByUsage)),
		quick(proto.NwfilterLookupByName, both((*driver.Conn).NwfilterLookupByName)),
		quick(proto.NwfilterLookupByUUID, both((*driver.Conn).NwfilterLookupByUUID)),
		quick(proto.ConnectNumOfNwfilters, noneOf[libvirt.ConnectNumOfNwfiltersRet]()),
		quick(proto.ConnectListNwfilters, nothing[libvirt.ConnectListNwfiltersArgs, libvirt.ConnectListNwfiltersRet]()),
		quick(proto.DomainSnapshotNum, both((*driver.Conn).DomainSnapshotNum)),
		quick(proto.DomainHasCurrentSnapshot, both((*driver.Conn).DomainHasCurrentSnapshot)),
		quick(proto.DomainListAllSnapshots, both((*driver.Conn).DomainListAllSnapshots)),
		quick(proto.ConnectListAllInterfaces, nothing[libvirt.ConnectListAllInterfacesArgs, libvirt.ConnectListAllInterfacesRet]()),
		quick(proto.ConnectListAllNodeDevices, nothing[libvirt.ConnectListAllNodeDevicesArgs, libvirt.ConnectListAllNodeDevicesRet]()),
		quick(proto.ConnectListAllNwfilters, nothing[libvirt.ConnectListAllNwfiltersArgs, libvirt.ConnectListAllNwfiltersRet]()),
		quick(proto.ConnectListAllSecrets, nothing[libvirt.ConnectListAllSecretsArgs, libvirt.ConnectListAllSecretsRet]()),
		quick(proto.ConnectListAllNwfilterBindings, nothing[libvirt.ConnectListAllNwfilterBindingsArgs, libvirt.ConnectListAllNwfilterBindingsRet]()),
	}
}
