//! What to do about a reason, on Linux and on Windows, and how to make it permanent.

use silentmon_proto::reason::Code;

/// Sentences for a code; `interface` goes into the commands.
pub fn on(code: Code, interface: &str) -> Vec<String> {
    match code {
        Code::NoFrames => vec![
            format!("Check the cable, the interface's name, the MAC address given to the generator, and `ip link show {interface}`."),
            "This says nothing about the driver: repeat the test once the untagged control arrives.".to_owned(),
        ],
        Code::DriverDiscardsTags => vec![
            format!("Linux: ethtool -K {interface} rx-vlan-filter off; where that doesn't help, ethtool -K {interface} rxvlan off."),
            permanently(interface, "ReceiveVLANCTAGFilter=no and ReceiveVLANCTAGHardwareAcceleration=no"),
            windows_tags(),
            "A switch in between must carry VLAN 85 on the port: test with a direct cable first.".to_owned(),
        ],
        Code::TagsLost => vec![
            format!("Linux: ethtool -K {interface} rxvlan off, so that the hardware leaves tags in the frames."),
            permanently(interface, "ReceiveVLANCTAGHardwareAcceleration=no"),
            windows_tags(),
            "A switch in between must send VLAN 85 tagged (trunk, not access port).".to_owned(),
        ],
        Code::OnlyOwnTraffic => vec![
            "Virtual machine: set promiscuous mode (and forged transmits at the generator) to Accept on virtual switch and port \
             group (ESXi), or port mirroring mode Destination on the adapter (Hyper-V)."
                .to_owned(),
            format!("Real hardware: ip link set {interface} promisc on must show PROMISC in ip link; if frames are missing still, ethtool -K {interface} rx-vlan-filter off, or another driver."),
        ],
        Code::FramesCutByNic => vec![
            format!("Raise what the interface takes: ip link set {interface} mtu 1508; look for a snap length or buffer size in the driver's options (modinfo, ethtool --show-priv-flags {interface})."),
            permanently(interface, "MTUBytes=1508"),
            "Windows: the driver's \"Jumbo Packet\" and \"Receive Buffers\".".to_owned(),
        ],
        Code::FramesDamaged => vec![format!(
            "Cable, port or transceiver: look at ethtool -S {interface} for CRC and alignment errors, and try another cable; then turn off offloads one by one (--try-fixes)."
        )],
        Code::FramesLost => vec![
            format!("Longer receive rings (ethtool -g {interface} shows the limit, ethtool -G {interface} rx N sets it) and more queues (ethtool -L {interface} combined N)."),
            permanently(interface, "RxBufferSize=max"),
            "Windows: the driver's \"Receive Buffers\" to their maximum, \"Interrupt Moderation\" on.".to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// How to set what `--try-fixes` found to help, and how to keep it.
pub fn on_setting(setting: &str, to: &str, interface: &str) -> Vec<String> {
    let link_key = match setting {
        "rx-vlan-offload" => "ReceiveVLANCTAGHardwareAcceleration=no",
        "rx-vlan-filter" => "ReceiveVLANCTAGFilter=no",
        "rx-gro" => "GenericReceiveOffload=no",
        "rx-lro" => "LargeReceiveOffload=no",
        "mtu" => "MTUBytes=1508",
        _ => return Vec::new(),
    };
    let command = match setting {
        "mtu" => format!("ip link set {interface} mtu {to}"),
        "rx-gro" => format!("ethtool -K {interface} gro {to}"),
        "rx-lro" => format!("ethtool -K {interface} lro {to}"),
        setting => format!("ethtool -K {interface} {setting} {to}"),
    };
    vec![
        format!("{setting} {to} helped, and was put back. Now: {command}."),
        permanently(interface, link_key),
    ]
}

fn permanently(interface: &str, key: &str) -> String {
    format!(
        "For good: a file /etc/systemd/network/10-{interface}.link with [Match] PermanentMACAddress=… (the interface's) and \
         [Link] {key}; in effect after udevadm trigger or a restart."
    )
}

fn windows_tags() -> String {
    "Windows: in the adapter's advanced properties \"Priority & VLAN\" (or \"Packet Priority & VLAN\") Disabled; Intel: the \
     registry value MonitorModeEnabled = 1 (MonitorMode = 1 on older drivers) under the adapter's class key; Broadcom: \
     PreserveVlanInfoInRxPacket = 1; then restart the adapter."
        .to_owned()
}
