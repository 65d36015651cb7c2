package uml

import "virtumld/internal/domain"

var (
	_ domain.Machine    = (*Machine)(nil)
	_ domain.Networking = (*Machine)(nil)
	_ domain.Plug       = (*guest)(nil)
)
