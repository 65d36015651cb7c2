package proto

import libvirt "github.com/digitalocean/go-libvirt"

// The features a client asks for by ConnectSupportsFeature, as far as the
// answer is yes somewhere in virtumld (libvirt's src/libvirt_internal.h,
// VIR_DRV_FEATURE_*).
const (
	FeatureTypedParamString   = 9
	FeatureProgramKeepalive   = 10
	FeatureXMLMigratable      = 11
	FeatureEventCallback      = 14
	FeatureCloseCallback      = 15
	FeatureNetworkUpdateOrder = 16
)

// The authentication types (libvirt's remote_auth_type).
const (
	AuthTypeNone   libvirt.AuthType = 0
	AuthTypeSASL   libvirt.AuthType = 1
	AuthTypePolkit libvirt.AuthType = 2
)
