//! Pages about what `silentmon nic-test` finds of an adapter and its driver.

use super::Page;
use crate::reason::Code;

pub(super) const DRIVER_DISCARDS_TAGS: Page = Page {
    meaning: "The capture adapter's driver drops frames with an 802.1Q tag before any program can see them. Agents in a tagged voice \
        VLAN can't be heard through it.",
    recognised: "By a test that sends tagged frames to the adapter and looks whether they arrive, not in running operation.",
    evidence: "What was sent and what was seen.",
    causes: &[
        "The driver filters VLANs that aren't configured on the interface (rx-vlan-filter).",
        "A vendor's mode of the driver that takes tagged frames for itself.",
    ],
    remedies: &[
        "Turn the filter off.\n$ ethtool -K ens224 rx-vlan-filter off\n$ ethtool -K ens224 rxvlan off",
        "Windows: set \"Priority & VLAN\" of the adapter so that tags are handed over; the name of the setting is the vendor's.",
        "Use another adapter; not all drivers can.",
    ],
    related: &[Code::TagsLost, Code::OnlyOwnTraffic],
};

pub(super) const FRAMES_CUT_BY_NIC: Page = Page {
    meaning: "Long frames, of 1522 octets with a tag or 1526 with two, reach programs only in part.",
    recognised: "By a test that sends frames of all lengths and compares what arrives octet by octet.",
    evidence: "How many frames of which length were sent, and how many arrived cut.",
    causes: &[
        "The interface's MTU leaves no room for tags: 1500 means 1518 octets with one tag for some drivers, and no more.",
        "A buffer size or snap length in the driver.",
    ],
    remedies: &[
        "Raise the MTU.\n$ ip link set ens224 mtu 1508",
        "Windows: the driver's \"Jumbo Packet\".",
        "Test again.\n$ silentmon nic-test receive ens224",
    ],
    related: &[Code::FramesCutShort, Code::FramesDamaged],
};

pub(super) const FRAMES_DAMAGED: Page = Page {
    meaning: "Frames arrive with other content than they were sent with.",
    recognised: "By a test whose frames carry a checksum of their own.",
    evidence: "How many frames were sent and how many arrived damaged.",
    causes: &[
        "Cable, transceiver or port.",
        "An offload that writes into frames: segments joined, tags moved, checksums filled in.",
    ],
    remedies: &[
        "Look for errors that the adapter counts.\n$ ethtool -S ens224",
        "Try another cable and another port.",
        "Let the test turn offloads off one by one; it puts them back.\n$ silentmon nic-test receive ens224 --try-fixes",
    ],
    related: &[Code::FramesCutByNic, Code::FramesLost],
};

pub(super) const FRAMES_LOST: Page = Page {
    meaning: "Some frames of the test don't arrive, or not at the rate of many calls. Sound will have gaps that the call itself didn't have.",
    recognised: "By a test that numbers its frames and counts the loss where it happens: before the interface, at the interface, at the \
        program's socket.",
    evidence: "Frames sent, seen and lost at each place; the rate asked for and the rate reached.",
    causes: &[
        "Receive rings that are too short for bursts.",
        "One queue, and so one processor core, for all traffic; or a virtual machine whose host is busy.",
        "A generator that can't send that fast: then the result says so and nothing is proved either way.",
    ],
    remedies: &[
        "Longer receive rings.\n$ ethtool -g ens224\n$ ethtool -G ens224 rx 4096",
        "More queues.\n$ ethtool -L ens224 combined 4",
        "Give a virtual machine cores of its own, and a paravirtual adapter (vmxnet3, virtio).",
    ],
    related: &[Code::MirrorLoses, Code::FramesDamaged],
};

pub(super) const STAMPS_WRONG: Page = Page {
    meaning: "The times at which frames are said to have arrived run backwards, are far from the clock, or differ from the rhythm at \
        which the frames were sent. Delay and jitter can't be measured by them.",
    recognised: "By a test that sends frames at known distances and compares the stamps.",
    evidence: "Stamps that ran backwards, their distance from the clock, and the largest difference in spacing.",
    causes: &[
        "A clock that is set in steps while capturing (a virtual machine that was suspended, a first NTP correction).",
        "Hardware stamps of an adapter whose clock nobody synchronises.",
        "A host so busy that frames wait before they are stamped.",
    ],
    remedies: &[
        "Let the clock be corrected slowly and continuously.\n$ chronyc tracking",
        "Use the kernel's stamps, which is what silentmon asks for unless told otherwise.",
    ],
    related: &[Code::RelayLate],
};
