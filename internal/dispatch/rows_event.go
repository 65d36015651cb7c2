package dispatch

import (
	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// eventRows are the procedures about event callbacks.
func eventRows() []row {
	return []row{
		register(proto.ConnectDomainEventRegister, get((*driver.Conn).ConnectDomainEventRegister)),
		register(proto.ConnectDomainEventDeregister, get((*driver.Conn).ConnectDomainEventDeregister)),
		register(proto.ConnectDomainEventRegisterAny, do((*driver.Conn).ConnectDomainEventRegisterAny)),
		register(proto.ConnectDomainEventDeregisterAny, do((*driver.Conn).ConnectDomainEventDeregisterAny)),
		register(proto.ConnectDomainEventCallbackRegisterAny, both((*driver.Conn).ConnectDomainEventCallbackRegisterAny)),
		register(proto.ConnectDomainEventCallbackDeregisterAny, do((*driver.Conn).ConnectDomainEventCallbackDeregisterAny)),
	}
}
