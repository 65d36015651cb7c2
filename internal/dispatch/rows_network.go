package dispatch

import (
	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// networkRows are the procedures about virtual networks. What asks a network's
// process, such as for leases and ports, is not quick.
func networkRows() []row {
	return []row{
		quick(proto.ConnectNumOfNetworks, get((*driver.Conn).ConnectNumOfNetworks)),
		quick(proto.ConnectListNetworks, both((*driver.Conn).ConnectListNetworks)),
		quick(proto.ConnectNumOfDefinedNetworks, get((*driver.Conn).ConnectNumOfDefinedNetworks)),
		quick(proto.ConnectListDefinedNetworks, both((*driver.Conn).ConnectListDefinedNetworks)),
		quick(proto.ConnectListAllNetworks, both((*driver.Conn).ConnectListAllNetworks)),
		quick(proto.NetworkLookupByName, both((*driver.Conn).NetworkLookupByName)),
		quick(proto.NetworkLookupByUUID, both((*driver.Conn).NetworkLookupByUUID)),
		quick(proto.NetworkGetXMLDesc, both((*driver.Conn).NetworkGetXMLDesc)),
		quick(proto.NetworkGetBridgeName, both((*driver.Conn).NetworkGetBridgeName)),
		quick(proto.NetworkGetAutostart, both((*driver.Conn).NetworkGetAutostart)),
		quick(proto.NetworkIsActive, both((*driver.Conn).NetworkIsActive)),
		quick(proto.NetworkIsPersistent, both((*driver.Conn).NetworkIsPersistent)),
		call(proto.NetworkSetAutostart, do((*driver.Conn).NetworkSetAutostart)),
		call(proto.NetworkDefineXML, both((*driver.Conn).NetworkDefineXML)),
		call(proto.NetworkDefineXMLFlags, both((*driver.Conn).NetworkDefineXMLFlags)),
		call(proto.NetworkCreateXML, both((*driver.Conn).NetworkCreateXML)),
		call(proto.NetworkCreateXMLFlags, both((*driver.Conn).NetworkCreateXMLFlags)),
		call(proto.NetworkCreate, do((*driver.Conn).NetworkCreate)),
		call(proto.NetworkDestroy, do((*driver.Conn).NetworkDestroy)),
		call(proto.NetworkUndefine, do((*driver.Conn).NetworkUndefine)),
		call(proto.NetworkUpdate, do((*driver.Conn).NetworkUpdate)),
		call(proto.NetworkGetDhcpLeases, both((*driver.Conn).NetworkGetDhcpLeases)),
		quick(proto.NetworkGetMetadata, both((*driver.Conn).NetworkGetMetadata)),
		call(proto.NetworkSetMetadata, do((*driver.Conn).NetworkSetMetadata)),
		register(proto.ConnectNetworkEventRegisterAny, both((*driver.Conn).ConnectNetworkEventRegisterAny)),
		register(proto.ConnectNetworkEventDeregisterAny, do((*driver.Conn).ConnectNetworkEventDeregisterAny)),
		call(proto.NetworkListAllPorts, both((*driver.Conn).NetworkListAllPorts)),
		call(proto.NetworkPortLookupByUUID, both((*driver.Conn).NetworkPortLookupByUUID)),
		call(proto.NetworkPortGetXMLDesc, both((*driver.Conn).NetworkPortGetXMLDesc)),
		call(proto.NetworkPortGetParameters, both((*driver.Conn).NetworkPortGetParameters)),
		quick(proto.NetworkPortCreateXML, both((*driver.Conn).NetworkPortCreateXML)),
		quick(proto.NetworkPortSetParameters, do((*driver.Conn).NetworkPortSetParameters)),
		quick(proto.NetworkPortDelete, do((*driver.Conn).NetworkPortDelete)),
	}
}
