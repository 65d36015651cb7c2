package dispatch

import (
	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// storageRows are the procedures about storage pools and volumes. What looks
// at a volume asks its file, and so is not quick; neither is what finds a pool
// by its name, which may make the pool "default".
func storageRows() []row {
	return []row{
		quick(proto.ConnectNumOfStoragePools, get((*driver.Conn).ConnectNumOfStoragePools)),
		quick(proto.ConnectListStoragePools, both((*driver.Conn).ConnectListStoragePools)),
		quick(proto.ConnectNumOfDefinedStoragePools, get((*driver.Conn).ConnectNumOfDefinedStoragePools)),
		quick(proto.ConnectListDefinedStoragePools, both((*driver.Conn).ConnectListDefinedStoragePools)),
		quick(proto.ConnectFindStoragePoolSources, both((*driver.Conn).ConnectFindStoragePoolSources)),
		call(proto.StoragePoolCreateXML, both((*driver.Conn).StoragePoolCreateXML)),
		call(proto.StoragePoolDefineXML, both((*driver.Conn).StoragePoolDefineXML)),
		call(proto.StoragePoolCreate, do((*driver.Conn).StoragePoolCreate)),
		call(proto.StoragePoolBuild, do((*driver.Conn).StoragePoolBuild)),
		call(proto.StoragePoolDestroy, do((*driver.Conn).StoragePoolDestroy)),
		call(proto.StoragePoolDelete, do((*driver.Conn).StoragePoolDelete)),
		call(proto.StoragePoolUndefine, do((*driver.Conn).StoragePoolUndefine)),
		call(proto.StoragePoolRefresh, do((*driver.Conn).StoragePoolRefresh)),
		call(proto.StoragePoolLookupByName, both((*driver.Conn).StoragePoolLookupByName)),
		quick(proto.StoragePoolLookupByUUID, both((*driver.Conn).StoragePoolLookupByUUID)),
		call(proto.StoragePoolLookupByVolume, both((*driver.Conn).StoragePoolLookupByVolume)),
		quick(proto.StoragePoolGetInfo, both((*driver.Conn).StoragePoolGetInfo)),
		quick(proto.StoragePoolGetXMLDesc, both((*driver.Conn).StoragePoolGetXMLDesc)),
		quick(proto.StoragePoolGetAutostart, both((*driver.Conn).StoragePoolGetAutostart)),
		call(proto.StoragePoolSetAutostart, do((*driver.Conn).StoragePoolSetAutostart)),
		quick(proto.StoragePoolNumOfVolumes, both((*driver.Conn).StoragePoolNumOfVolumes)),
		quick(proto.StoragePoolListVolumes, both((*driver.Conn).StoragePoolListVolumes)),
		call(proto.StorageVolCreateXML, both((*driver.Conn).StorageVolCreateXML)),
		call(proto.StorageVolDelete, do((*driver.Conn).StorageVolDelete)),
		call(proto.StorageVolLookupByName, both((*driver.Conn).StorageVolLookupByName)),
		call(proto.StorageVolLookupByKey, both((*driver.Conn).StorageVolLookupByKey)),
		call(proto.StorageVolLookupByPath, both((*driver.Conn).StorageVolLookupByPath)),
		call(proto.StorageVolGetInfo, both((*driver.Conn).StorageVolGetInfo)),
		call(proto.StorageVolGetXMLDesc, both((*driver.Conn).StorageVolGetXMLDesc)),
		call(proto.StorageVolGetPath, both((*driver.Conn).StorageVolGetPath)),
		call(proto.StorageVolCreateXMLFrom, both((*driver.Conn).StorageVolCreateXMLFrom)),
		quick(proto.StoragePoolIsActive, both((*driver.Conn).StoragePoolIsActive)),
		quick(proto.StoragePoolIsPersistent, both((*driver.Conn).StoragePoolIsPersistent)),
		call(proto.StorageVolWipe, do((*driver.Conn).StorageVolWipe)),
		upload(proto.StorageVolUpload, (*driver.Conn).StorageVolUpload),
		download(proto.StorageVolDownload, (*driver.Conn).StorageVolDownload),
		call(proto.StorageVolWipePattern, do((*driver.Conn).StorageVolWipePattern)),
		call(proto.StorageVolResize, do((*driver.Conn).StorageVolResize)),
		quick(proto.ConnectListAllStoragePools, both((*driver.Conn).ConnectListAllStoragePools)),
		quick(proto.StoragePoolListAllVolumes, both((*driver.Conn).StoragePoolListAllVolumes)),
		register(proto.ConnectStoragePoolEventRegisterAny, both((*driver.Conn).ConnectStoragePoolEventRegisterAny)),
		register(proto.ConnectStoragePoolEventDeregisterAny, do((*driver.Conn).ConnectStoragePoolEventDeregisterAny)),
		call(proto.StorageVolGetInfoFlags, both((*driver.Conn).StorageVolGetInfoFlags)),
		quick(proto.StoragePoolLookupByTargetPath, both((*driver.Conn).StoragePoolLookupByTargetPath)),
		quick(proto.ConnectGetStoragePoolCapabilities, both((*driver.Conn).ConnectGetStoragePoolCapabilities)),
	}
}
