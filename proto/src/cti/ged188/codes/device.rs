//! What devices, connections and peripherals are.

use crate::cti::ged188::wire::number;

number! {
    /// What a device id names; "none" is read as absent.
    DeviceIdType: u16 {
        DEVICE_IDENTIFIER = 0, TRUNK_IDENTIFIER = 70, TRUNK_GROUP_IDENTIFIER = 71, IP_PHONE_MAC = 72, CTI_PORT = 73,
        ROUTE_POINT = 74, EXTERNAL = 75, AGENT_DEVICE = 76, QUEUE = 77, NON_ACD_DEVICE = 78, SHARED_DEVICE = 79,
    }
}

number! {
    /// How a connection's device id was given out; "none" is read as absent.
    ConnectionDeviceIdType: u16 {
        STATIC = 0, DYNAMIC = 1,
    }
}

number! {
    /// What kind of switch a peripheral is.
    PeripheralType: u16 {
        ASPECT = 1, MERIDIAN = 2, G2 = 3, DEFINITY_NON_EAS = 4, DEFINITY_EAS = 5, GALAXY = 6, SPECTRUM = 7, VRU = 8,
        DMS_100 = 10, ALCATEL = 13, NEC = 14, SYMPOSIUM = 16, ENTERPRISE_AGENT = 17, MD_110 = 18, MEDIA_ROUTING = 19,
        GENERIC = 20, ACMI_CRS = 21, ACMI_IPCC = 22, SIMPLIFIED_IPCC = 23, ARS = 24, ACMI_ERS = 25,
        EXPERT_ADVISOR = 26,
    }
}

number! {
    /// What kind of device a SNAPSHOT_DEVICE_REQ asks for.
    SnapshotDeviceType: u16 {
        STATION = 0,
    }
}
