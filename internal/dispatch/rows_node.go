package dispatch

import (
	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// nodeRows are the procedures about the host.
func nodeRows() []row {
	return []row{
		quick(proto.NodeGetInfo, get((*driver.Conn).NodeGetInfo)),
		quick(proto.NodeGetCellsFreeMemory, both((*driver.Conn).NodeGetCellsFreeMemory)),
		quick(proto.NodeGetFreeMemory, get((*driver.Conn).NodeGetFreeMemory)),
		quick(proto.NodeGetSecurityModel, get((*driver.Conn).NodeGetSecurityModel)),
		quick(proto.NodeGetCPUStats, both((*driver.Conn).NodeGetCPUStats)),
		quick(proto.NodeGetMemoryStats, both((*driver.Conn).NodeGetMemoryStats)),
		quick(proto.NodeGetCPUMap, both((*driver.Conn).NodeGetCPUMap)),
		quick(proto.NodeGetFreePages, both((*driver.Conn).NodeGetFreePages)),
	}
}
