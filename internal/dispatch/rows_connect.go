package dispatch

import (
	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// connectRows are the procedures about the hypervisor connection.
func connectRows() []row {
	return []row{
		quick(proto.ConnectGetType, get((*driver.Conn).ConnectGetType)),
		call(proto.ConnectGetVersion, get((*driver.Conn).ConnectGetVersion)),
		call(proto.ConnectGetMaxVcpus, both((*driver.Conn).ConnectGetMaxVcpus)),
		call(proto.ConnectGetCapabilities, get((*driver.Conn).ConnectGetCapabilities)),
		quick(proto.ConnectGetHostname, get((*driver.Conn).ConnectGetHostname)),
		quick(proto.ConnectGetUri, get((*driver.Conn).ConnectGetURI)),
		quick(proto.ConnectIsSecure, get((*driver.Conn).ConnectIsSecure)),
		quick(proto.ConnectGetLibVersion, get((*driver.Conn).ConnectGetLibVersion)),
		call(proto.ConnectGetDomainCapabilities, both((*driver.Conn).ConnectGetDomainCapabilities)),
		call(proto.ConnectDomainXMLToNative, both((*driver.Conn).ConnectDomainXMLToNative)),
		call(proto.ConnectDomainXMLFromNative, both((*driver.Conn).ConnectDomainXMLFromNative)),
	}
}
