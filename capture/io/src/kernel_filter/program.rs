//! The filter itself: which frames the kernel hands to user space.
//!
//! Passed are UDP datagrams from or to a watched address, signalling by its port, and whatever may carry one inside it or can't be judged here:
//! mirror tunnels, IPv6 extension headers, IEEE 802.3 lengths, more tags than are looked through. Everything else stays
//! in the kernel. The outermost 802.1Q tag isn't in the frame: the kernel has moved it to the packet's metadata.

use silentmon_ebpf::assembler::Condition::{Equal, Less, NotEqual};
use silentmon_ebpf::assembler::Register::{FramePointer, R0, R1, R2, R3, R4, R6, R7, R8, R9};
use silentmon_ebpf::assembler::Width::{Byte, Double, Half, Word};
use silentmon_ebpf::assembler::{Assembler, AssemblyError, Function, Instruction, Label, Register};

/// File descriptors of the maps the program uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maps {
    /// From an address of 16 bytes to a [`WATCHED_VALUE`].
    pub(super) watched: i32,
    /// An array of [`TOTALS`].
    pub(super) totals: i32,
    /// From a [`PORT`] to a byte without meaning.
    pub(super) signalling: i32,
}

/// Bytes of a watched address: IPv4 ones are mapped into IPv6 (RFC 4291 section 2.5.5.2).
pub(super) const ADDRESS: usize = 16;

/// Bytes of a port of signalling: the port in network order, then the IP protocol's number as the machine writes it.
pub(super) const PORT: usize = 4;

/// What is kept of a watched address: [`INTEREST`], 4 bytes unused, datagrams from it, datagrams to it.
pub(super) const WATCHED_VALUE: usize = 24;
const INTEREST: i16 = 0;
const FROM: i16 = 8;
const TO: i16 = 16;
/// Interest in an address whose datagrams are passed; any other value only counts them.
pub(super) const PASS: u32 = 1;

/// An entry of the array of totals: two numbers of 64 bits.
pub(super) const TOTALS_VALUE: usize = 16;
/// Entries of that array.
pub(super) const TOTALS: u32 = 4;
/// The entry that switches the filter: passes all where its first number isn't 0; looks for signalling where its second
/// isn't.
pub(super) const MODE: u32 = 0;
/// The entry that counts: frames seen, and those of them with a tag in the metadata.
pub(super) const SEEN: u32 = 1;
/// The entry that counts frames to this machine, and those to all stations.
pub(super) const TO_HOST: u32 = 2;
/// The entry that counts frames to groups, and those to one other station.
pub(super) const TO_OTHERS: u32 = 3;

/// Bytes of a frame that are passed: all.
const KEEP: i32 = 0x0004_0000;

/// `pkt_type` in the kernel's `struct __sk_buff`: whom a received frame is for.
const PACKET_TYPE: i16 = 4;
/// Its values `PACKET_HOST`, `PACKET_BROADCAST`, `PACKET_MULTICAST`, `PACKET_OTHERHOST` (linux/if_packet.h), with the entry
/// and the offset of the number that counts them.
const COUNTED_BY: [(i32, u32, i16); 4] = [(0, TO_HOST, 0), (1, TO_HOST, 8), (2, TO_OTHERS, 0), (3, TO_OTHERS, 8)];
/// `vlan_present` in the kernel's `struct __sk_buff`.
const VLAN_PRESENT: i16 = 20;

// Stack: an array index, the header being looked at, a key.
const INDEX: i16 = -4;
const HEADER: i16 = -48;
const KEY: i16 = -64;
const SIGNALLING: i16 = -72;

/// Tags looked through behind the one the kernel took.
const INNER_TAGS: usize = 2;
const TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
/// EtherTypes begin at 0x0600; below they are lengths of IEEE 802.3 frames, which may carry IP behind SNAP.
const FIRST_TYPE_BYTE: i32 = 0x06;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// MPLS unicast and multicast, PPPoE session, Cisco metadata, VN-tag, E-tag, I-tag, network service header, Ethernet.
const CARRIERS: [u16; 9] = [0x8847, 0x8848, 0x8864, 0x8909, 0x8926, 0x893f, 0x88e7, 0x894f, 0x6558];

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
/// IPv4 in IP, IPv6 in IP, GRE, authentication, MPLS in IP.
const TUNNELS: [u8; 5] = [4, 41, 47, 51, 137];
/// Hop-by-hop, routing, fragment, destination options, mobility, HIP, shim6.
const EXTENSION_HEADERS: [u8; 7] = [0, 43, 44, 60, 135, 139, 140];
/// VXLAN, VXLAN on Linux of old, VXLAN-GPE, GENEVE, MPLS in UDP.
const TUNNEL_PORTS: [u16; 5] = [4789, 8472, 4790, 6081, 6635];

const ETHERTYPE_OFFSET: i32 = 12;
const IPV6_HEADER: i32 = 40;
const IPV4_HEADER: i32 = 20;

/// Assembles the program.
pub(super) fn assemble(maps: Maps) -> Result<Vec<Instruction>, AssemblyError> {
    let mut code = Assembler::default();
    let (pass, drop) = (code.label(), code.label());
    let mut filter = Filter { code, maps, pass, drop };
    filter.count_and_switch();
    let (ipv4, ipv6) = filter.ethertype();
    let (udp, tcp) = (filter.code.label(), filter.code.label());
    filter.ipv4(ipv4, udp, tcp);
    filter.ipv6(ipv6, udp, tcp);
    filter.ports(udp, tcp);
    filter.ends();
    filter.code.assemble()
}

/// The program being written. R6 is the packet, R7 where in it we are, R8 whether it is to be passed.
struct Filter {
    code: Assembler,
    maps: Maps,
    pass: Label,
    drop: Label,
}

impl Filter {
    fn count_and_switch(&mut self) {
        self.code.copy(R6, R1);
        self.look_up_total(SEEN);
        self.code.set(R1, 1);
        self.code.add_atomically(R0, 0, R1);
        let untagged = self.code.label();
        self.code.load(Word, R2, R6, VLAN_PRESENT);
        self.code.jump_if(R2, Equal, 0, untagged);
        self.code.add_atomically(R0, 8, R1);
        self.code.place(untagged);
        self.count_by_address();
        self.look_up_total(MODE);
        self.code.load(Double, R1, R0, 0);
        self.code.jump_if(R1, NotEqual, 0, self.pass);
        self.code.load(Double, R1, R0, 8);
        self.code.store(Double, FramePointer, SIGNALLING, R1);
    }

    /// Counts the frame by whom it is for; one that this machine sends isn't counted.
    fn count_by_address(&mut self) {
        for (packet_type, entry, number) in COUNTED_BY {
            let other = self.code.label();
            self.code.load(Word, R2, R6, PACKET_TYPE);
            self.code.jump_if(R2, NotEqual, packet_type, other);
            self.look_up_total(entry);
            self.code.set(R1, 1);
            self.code.add_atomically(R0, number, R1);
            self.code.place(other);
        }
    }

    /// R0 = the entry of the array of totals, which is always there but must be proved to the verifier.
    fn look_up_total(&mut self, index: u32) {
        self.code.store_value(Word, FramePointer, INDEX, index.cast_signed());
        self.look_up(self.maps.totals, INDEX);
        self.code.jump_if(R0, Equal, 0, self.pass);
    }

    /// R0 = the map's value for the key on the stack.
    fn look_up(&mut self, map: i32, key: i16) {
        self.code.load_map(R1, map);
        self.code.copy(R2, FramePointer);
        self.code.add(R2, key.into());
        self.code.call(Function::MapLookup);
    }

    /// Copies `length` bytes of the packet, from R7 on, to the stack; drops a packet that is too short to have them.
    fn load_packet(&mut self, length: i32) {
        self.code.copy(R1, R6);
        self.code.copy(R2, R7);
        self.code.copy(R3, FramePointer);
        self.code.add(R3, HEADER.into());
        self.code.set(R4, length);
        self.code.call(Function::LoadPacketBytes);
        self.code.jump_if(R0, NotEqual, 0, self.drop);
    }

    /// Looks through the tags. Answers where IPv4 and IPv6 are to be judged.
    fn ethertype(&mut self) -> (Label, Label) {
        let (ipv4, ipv6) = (self.code.label(), self.code.label());
        self.code.set(R7, ETHERTYPE_OFFSET);
        for _ in 0..=INNER_TAGS {
            let tag = self.code.label();
            self.load_packet(2);
            self.code.load(Half, R1, FramePointer, HEADER);
            self.code.add(R7, 2);
            self.jump_if_any(R1, TAGS.map(network), tag);
            self.code.jump_if(R1, Equal, network(IPV4), ipv4);
            self.code.jump_if(R1, Equal, network(IPV6), ipv6);
            self.jump_if_any(R1, CARRIERS.map(network), self.pass);
            self.code.load(Byte, R1, FramePointer, HEADER);
            self.code.jump_if(R1, Less, FIRST_TYPE_BYTE, self.pass);
            self.code.jump(self.drop);
            self.code.place(tag);
            self.code.add(R7, 2);
        }
        self.code.jump(self.pass);
        (ipv4, ipv6)
    }

    fn ipv4(&mut self, start: Label, udp: Label, tcp: Label) {
        self.code.place(start);
        self.load_packet(IPV4_HEADER);
        self.expect_version(0x40);
        self.code.load(Byte, R1, FramePointer, HEADER + 9);
        self.jump_if_any(R1, TUNNELS.map(i32::from), self.pass);
        let not_tcp = self.code.label();
        self.code.jump_if(R1, NotEqual, TCP.into(), not_tcp);
        self.ipv4_payload(self.drop, tcp);
        self.code.place(not_tcp);
        self.code.jump_if(R1, NotEqual, UDP.into(), self.drop);

        self.code.store_value(Double, FramePointer, KEY, 0);
        self.code
            .store_value(Word, FramePointer, KEY + 8, i32::from_ne_bytes([0, 0, 0xff, 0xff]));
        self.code.set(R8, 0);
        for (address, counter) in [(HEADER + 12, FROM), (HEADER + 16, TO)] {
            self.code.load(Word, R1, FramePointer, address);
            self.code.store(Word, FramePointer, KEY + 12, R1);
            self.judge_address(counter);
        }
        self.code.jump_if(R8, NotEqual, 0, self.pass);

        // What follows a first fragment that was dropped is of no use; that of signalling may have been passed.
        let later = self.code.label();
        self.ipv4_payload(later, udp);
        self.code.place(later);
        self.code.load(Double, R1, FramePointer, SIGNALLING);
        self.code.jump_if(R1, NotEqual, 0, self.pass);
        self.code.jump(self.drop);
    }

    /// R7 = what follows the IPv4 header, judged at `first`. Only a first fragment has ports: others go to `later`.
    fn ipv4_payload(&mut self, later: Label, first: Label) {
        self.code.load(Half, R1, FramePointer, HEADER + 6);
        self.code.and(R1, network(0x1fff));
        self.code.jump_if(R1, NotEqual, 0, later);
        self.code.load(Byte, R9, FramePointer, HEADER);
        self.code.and(R9, 0x0f);
        self.code.shift_left(R9, 2);
        self.code.add_register(R7, R9);
        self.code.jump(first);
    }

    fn ipv6(&mut self, start: Label, udp: Label, tcp: Label) {
        self.code.place(start);
        self.load_packet(IPV6_HEADER);
        self.expect_version(0x60);
        self.code.load(Byte, R1, FramePointer, HEADER + 6);
        self.jump_if_any(R1, TUNNELS.map(i32::from), self.pass);
        self.jump_if_any(R1, EXTENSION_HEADERS.map(i32::from), self.pass);
        let not_tcp = self.code.label();
        self.code.jump_if(R1, NotEqual, TCP.into(), not_tcp);
        self.code.add(R7, IPV6_HEADER);
        self.code.jump(tcp);
        self.code.place(not_tcp);
        self.code.jump_if(R1, NotEqual, UDP.into(), self.drop);

        self.code.set(R8, 0);
        for (address, counter) in [(HEADER + 8, FROM), (HEADER + 24, TO)] {
            for half in [0, 8] {
                self.code.load(Double, R1, FramePointer, address + half);
                self.code.store(Double, FramePointer, KEY + half, R1);
            }
            self.judge_address(counter);
        }
        self.code.jump_if(R8, NotEqual, 0, self.pass);
        self.code.add(R7, IPV6_HEADER);
        self.code.jump(udp);
    }

    /// R7 is at a UDP or TCP header: passes tunnels over UDP, and signalling.
    fn ports(&mut self, udp: Label, tcp: Label) {
        let signalling = self.code.label();
        self.code.place(udp);
        self.load_packet(4);
        self.code.load(Half, R1, FramePointer, HEADER + 2);
        self.jump_if_any(R1, TUNNEL_PORTS.map(network), self.pass);
        self.code.set(R9, UDP.into());
        self.code.jump(signalling);

        self.code.place(tcp);
        self.code.load(Double, R1, FramePointer, SIGNALLING);
        self.code.jump_if(R1, Equal, 0, self.drop);
        self.load_packet(4);
        self.code.set(R9, TCP.into());

        self.code.place(signalling);
        self.code.load(Double, R1, FramePointer, SIGNALLING);
        self.code.jump_if(R1, Equal, 0, self.drop);
        for port in [HEADER, HEADER + 2] {
            self.code.load(Half, R1, FramePointer, port);
            self.code.store(Half, FramePointer, KEY, R1);
            self.code.store(Half, FramePointer, KEY + 2, R9);
            self.look_up(self.maps.signalling, KEY);
            self.code.jump_if(R0, NotEqual, 0, self.pass);
        }
        self.code.jump(self.drop);
    }

    fn ends(&mut self) {
        for (label, answer) in [(self.drop, 0), (self.pass, KEEP)] {
            self.code.place(label);
            self.code.set(R0, answer);
            self.code.exit();
        }
    }

    fn expect_version(&mut self, version: i32) {
        self.code.load(Byte, R1, FramePointer, HEADER);
        self.code.and(R1, 0xf0);
        self.code.jump_if(R1, NotEqual, version, self.drop);
    }

    /// Counts a datagram of the address on the stack and sets R8 where it is to be passed.
    fn judge_address(&mut self, counter: i16) {
        let unknown = self.code.label();
        self.look_up(self.maps.watched, KEY);
        self.code.jump_if(R0, Equal, 0, unknown);
        self.code.set(R1, 1);
        self.code.add_atomically(R0, counter, R1);
        self.code.load(Word, R1, R0, INTEREST);
        self.code.jump_if(R1, NotEqual, PASS.cast_signed(), unknown);
        self.code.set(R8, 1);
        self.code.place(unknown);
    }

    fn jump_if_any<const N: usize>(&mut self, register: Register, values: [i32; N], label: Label) {
        for value in values {
            self.code.jump_if(register, Equal, value, label);
        }
    }
}

/// A number of the wire as a load from memory gives it.
fn network(value: u16) -> i32 {
    u16::from_ne_bytes(value.to_be_bytes()).into()
}
