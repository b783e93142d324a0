//! Pages about the mirror port, the capture interface and the media on it.

use super::Page;
use crate::reason::Code;

pub(super) const NO_FRAMES: Page = Page {
    meaning: "The interface that the mirror is connected to receives nothing at all: no voice, no broadcast, nothing.",
    recognised: "No frame of any kind for 5 s, while nothing of the agent is heard. Behind a kernel filter the kernel's own count \
        of all frames is what is meant.",
    evidence: "The interface, whether it has a link, frames in all and of late, the age of the last one, frames dropped here.",
    causes: &[
        "The mirror session isn't configured, is shut down, or ends at another port.",
        "The cable is in another port, or the interface's name has changed.",
        "The mirrored port or VLAN carries no traffic now.",
        "A virtual machine whose capture adapter is on another port group than the mirror's destination.",
    ],
    remedies: &[
        "On the server: is there a link, do counters move?\n$ ip -s link show ens224\n$ tcpdump -ni ens224 -c 10",
        "On the switch: is the session up, and is its destination our port?\n$ show monitor session 1\n$ show interfaces status",
        "Cisco IOS: name sources and destination, and keep the tags.\n\
        $ monitor session 1 source interface Gi1/0/1 both\n\
        $ monitor session 1 destination interface Gi1/0/24 encapsulation replicate",
        "Use the interface's name in [capture] source, and bring it up without an address.\n$ ip link set ens224 up promisc on",
    ],
    related: &[Code::OnlyOwnTraffic, Code::AgentNotInMirror],
};

pub(super) const ONLY_OWN_TRAFFIC: Page = Page {
    meaning: "Frames arrive, but all of them are for this machine, for all stations or for groups. A mirror delivers frames for \
        others; something keeps those from us.",
    recognised: "Within the last 30 s at least 3 frames came and none of them was addressed to another station, while nothing of \
        the agent is heard. Only received frames count, by the kernel's own judgement where its filter runs.",
    evidence: "Frames to other stations, to or from this machine, to all and to groups, and over which time.",
    causes: &[
        "A virtual switch that refuses promiscuous mode: it delivers to a virtual adapter only what is addressed to it.",
        "The interface is an ordinary access port, not the mirror's destination.",
        "An adapter (SR-IOV virtual function, some USB and Wi-Fi adapters) that can't be promiscuous.",
    ],
    remedies: &[
        "VMware: set \"Promiscuous mode: Accept\" under Security on the port group AND on the virtual switch; on a distributed switch \
        on the distributed port group. The port group's own setting overrides the switch's.",
        "VMware: to see all VLANs let the port group trunk them (VLAN 4095 on a standard switch).",
        "Hyper-V: set port mirroring of the adapter to Destination, and that of the mirrored switch port to Source.\n\
        $ Set-VMNetworkAdapter -VMName silentmon -PortMirroring Destination",
        "Is the adapter promiscuous?\n$ ip -d link show ens224 | grep promiscuity",
        "Do frames for others come?\n$ tcpdump -eni ens224 -c 20 not broadcast and not multicast",
    ],
    related: &[Code::NoFrames, Code::AgentNotInMirror, Code::DriverDiscardsTags],
};

pub(super) const TAGS_LOST: Page = Page {
    meaning: "Frames arrive without their VLAN tags, and two phones in different VLANs have the same IP address. Which of them \
        is heard can't be told: it may be the wrong call.",
    recognised: "At least 3 frames of the last 30 s and none with a tag, while more than one agent, at different extensions, is said \
        to have media at the same address. The same address with tags, or no tags with distinct addresses, is no fault.",
    evidence: "Tagged and untagged frames, over which time, and the address.",
    causes: &[
        "The mirror's destination port strips tags: on Cisco IOS without `encapsulation replicate`.",
        "The mirror's destination is an access port.",
        "The adapter's driver strips tags and doesn't hand them over.",
        "A virtual switch's port group with one VLAN: it strips the tag.",
    ],
    remedies: &[
        "Cisco IOS: have the tag copied.\n$ monitor session 1 destination interface Gi1/0/24 encapsulation replicate",
        "Cisco NX-OS: make the destination a monitor port that trunks.\n$ switchport mode trunk\n$ switchport monitor",
        "VMware: VLAN 4095 (standard switch) or a trunk range (distributed switch) on the port group.",
        "See whether tags arrive.\n$ tcpdump -eni ens224 -c 20",
        "See what the driver does, and turn stripping off where it loses them.\n\
        $ ethtool -k ens224 | grep vlan\n$ ethtool -K ens224 rxvlan off",
        "Correct the address where two devices are given the same one by mistake ([devices]).",
    ],
    related: &[Code::DriverDiscardsTags, Code::AgentNotInMirror],
};

pub(super) const FRAMES_CUT_SHORT: Page = Page {
    meaning: "Whoever mirrors or captures keeps only the begin of each frame. The headers are there, and the sound behind them, or a \
        part of it, is not.",
    recognised: "By `silentmon span-check`: voice packets that announce more octets than the frame has, beside streams that are whole \
        RTP.",
    evidence: "How many voice packets are cut, their share, and whether the capture's snap length or the mirror cut them.",
    causes: &[
        "A capture file that was written with a short snap length (tcpdump -s 96).",
        "The mirror session truncates: a packet broker's slicing, ERSPAN with truncation, a monitor session with mtu or header-only.",
        "A tunnel to the capture server whose path has too small an MTU for frame and tunnel headers.",
    ],
    remedies: &[
        "Capture whole frames.\n$ tcpdump -i ens224 -s 0 -w span.pcap",
        "Turn truncation off in the mirror session, and give the tunnel's path room for 50 octets more.",
        "Look again.\n$ silentmon span-check ens224",
    ],
    related: &[Code::MirrorLoses, Code::FramesCutByNic],
};

pub(super) const AGENT_NOT_IN_MIRROR: Page = Page {
    meaning: "The mirror works and shows other calls, but no packet from or to the agent's phone. The call takes another way than \
        the one that is mirrored, or has another address there.",
    recognised: "The agent's media address is known for more than 2 s, frames arrive, and none of them carries voice from or to \
        that address.",
    evidence: "The age of the last packet of each direction; how many voice streams there are and who sends most; of how \
        many agents' phones anything is seen.",
    causes: &[
        "Another gateway is mirrored than the one the call goes through.",
        "Agent and other party are behind the same gateway or switch: their sound never crosses the mirrored port.",
        "An address translation (NAT), session border controller or media relay between the phone and the mirror.",
        "The phone's media VLAN isn't among the sources of the mirror.",
        "The address is old: a phone got another by DHCP, and [devices] wasn't changed.",
    ],
    remedies: &[
        "Compare the address with what the mirror shows (top talkers).\n$ silentmon doctor --agent ID …\n$ tcpdump -ni ens224 host 10.1.1.20",
        "See which port or VLAN is mirrored, and whether the phone's traffic crosses it.\n$ show monitor session all\n\
        $ show mac address-table address AAAA.BBBB.CCCC",
        "Behind a translation mirror the phone's side of it, or map the device to the address that the mirror shows ([devices]).",
        "A call that doesn't cross this gateway needs a capture server where it does.",
    ],
    related: &[Code::OneSideOnly, Code::NoMediaAddress, Code::NoFrames],
};

pub(super) const ONE_SIDE_ONLY: Page = Page {
    meaning: "Only the agent or only the customer is captured. That side is heard; the other isn't in the mirror.",
    recognised: "Packets of one direction come, and of the other none since the call's media began. A side that was seen in this \
        call may be quiet for 30 s before it counts as missing.",
    evidence: "Packets of each direction, and the age of the last.",
    causes: &[
        "The mirror copies one direction only (rx or tx).",
        "The two directions take different ways: another gateway, or asymmetric routing.",
        "The phone sends from another address or port than it receives at.",
        "The call itself is one-way: a firewall or codec fault that agent and customer notice too.",
    ],
    remedies: &[
        "Cisco IOS: mirror both directions.\n$ monitor session 1 source interface Gi1/0/1 both",
        "VMware distributed switch: choose traffic direction Ingress/Egress in the port mirroring session.",
        "With two gateways, mirror both into the same server.",
        "See what there is.\n$ tcpdump -ni ens224 udp and host 10.1.1.20",
    ],
    related: &[Code::AgentNotInMirror, Code::DuplicateMirror],
};

pub(super) const DUPLICATE_MIRROR: Page = Page {
    meaning: "The mirror delivers packets twice. They are heard once, so nothing sounds wrong, but the mirror port carries twice \
        the load it should and may start to lose packets.",
    recognised: "Half as many copies as packets, or more, over at least 50 packets of a session; copies are told by stream and \
        sequence number.",
    evidence: "Packets, copies and their share.",
    causes: &[
        "Two sources of the mirror overlap: both ports that a packet passes are mirrored in both directions.",
        "A VLAN is mirrored in both directions: what is switched within it is seen entering and leaving.",
        "The same packet is mirrored before and after a router.",
    ],
    remedies: &[
        "Mirror each packet at one place only: both directions of the gateway's port, or a VLAN in the receive direction.\n\
        $ monitor session 1 source vlan 200 rx",
        "See the overlap: the same packet with two TTLs was routed between, with one it was switched.\n$ tcpdump -nvi ens224 -c 20 udp",
    ],
    related: &[Code::MirrorLoses, Code::OneSideOnly],
};

pub(super) const MIRROR_LOSES: Page = Page {
    meaning: "Packets of the call are missing in the mirror that agent and customer did get. What you hear is worse than the call.",
    recognised: "1 % or more of the packets of a session are missing and were lost by the mirror: other streams have gaps at the \
        same moment, the phones' own reports admit no loss, or the capture itself counted drops then.",
    evidence: "Packets expected, lost in the mirror and lost in the call, and frames dropped by the kernel or the program of late.",
    causes: &[
        "The mirror's destination port is too slow for what is mirrored: a gigabit port in both directions makes up to 2 Gbit/s.",
        "Everything is delivered twice (SM-2112).",
        "The capture server is too slow, or its buffer too small (drops of the kernel).",
        "The switch sends mirrored frames with the lowest priority, and drops them first.",
    ],
    remedies: &[
        "Mirror less: the voice VLAN or the gateway's port alone, not a whole trunk.",
        "See the drops of the destination port.\n$ show interfaces Gi1/0/24 counters errors\n$ show interfaces Gi1/0/24 | include drops",
        "See the drops of this machine; give a larger buffer_mib where they grow.\n$ ip -s link show ens224\n$ ethtool -S ens224 | grep -i drop",
    ],
    related: &[Code::DuplicateMirror, Code::RelayLate],
};

pub(super) const ENCRYPTED: Page = Page {
    meaning: "The call's media are encrypted (SRTP). Only phone and gateway have the keys, so nothing can be heard; the program \
        doesn't play the noise and doesn't relay it.",
    recognised: "The payloads have the statistics of a cipher, which takes 1 to 6 packets to see; or the signalling in the mirror \
        announced SRTP (RTP/SAVP).",
    evidence: "What each direction carries, and which codec was told.",
    causes: &[
        "The phone's security profile is \"encrypted\".",
        "The trunk or gateway demands SRTP.",
    ],
    remedies: &[
        "Cisco Unified CM: give the phone a profile with Device Security Mode \"Non Secure\" or \"Authenticated\", and restart it. \
        Authenticated keeps the signalling signed and the media in clear.",
        "Gateway: take srtp off the dial peer or the trunk.\n$ dial-peer voice 100 voip\n$ no srtp",
        "Where encryption has to stay, mirror at a place where the call is in clear, such as behind a border controller that ends \
        SRTP.",
    ],
    related: &[Code::CodecNotBuiltIn],
};

pub(super) const CODEC_NOT_BUILT_IN: Page = Page {
    meaning: "The call's sound is coded by a codec that this program can't decode, or by one that nobody has named.",
    recognised: "By the payload type, the session description in the mirror or the CTI source's word.",
    evidence: "What each direction carries, with the payload type, and which codec was told.",
    causes: &[
        "A region or dial peer prefers G.729 or another codec with low bandwidth.",
        "A dynamic payload type (96 to 127) whose description isn't in the mirror.",
    ],
    remedies: &[
        "Choose G.711 or G.722 between the agents' phones and the gateway: in Unified CM by the regions' audio codec preference.",
        "On the gateway.\n$ dial-peer voice 100 voip\n$ codec g711ulaw",
        "Mirror the signalling too, so that dynamic payload types are described.",
        "Which codecs are built in: docs/codecs.md.",
    ],
    related: &[Code::Encrypted],
};
