//! Raw sockets and interface ioctls, made safe. The only module of this crate with `unsafe`; each block says why it is sound.
#![allow(unsafe_code)]

use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Frames read or sent in one call.
const BATCH: usize = 128;
/// Bytes kept of each frame: more than the longest of a test.
const SNAP: usize = 2048;
/// Words for control messages of each frame.
const CONTROL: usize = 16;

/// A raw socket on one interface.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// Room for received frames.
pub(super) struct Buffers {
    frames: Box<[[u8; SNAP]]>,
    control: Box<[[u64; CONTROL]]>,
    senders: Box<[libc::sockaddr_ll]>,
}

impl Default for Buffers {
    fn default() -> Self {
        // SAFETY: sockaddr_ll is plain numbers, for which zeroes are valid.
        let sender = unsafe { std::mem::zeroed() };
        Self {
            frames: vec![[0; SNAP]; BATCH].into_boxed_slice(),
            control: vec![[0; CONTROL]; BATCH].into_boxed_slice(),
            senders: vec![sender; BATCH].into_boxed_slice(),
        }
    }
}

/// A received frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) bytes: &'a [u8],
    /// Seconds and nanoseconds since 1970.
    pub(super) stamp: Option<(u64, u32)>,
    /// Tag control information beside the frame, and its TPID where the kernel says it.
    pub(super) tag: Option<(Option<u16>, u16)>,
}

fn check(answer: libc::c_int) -> Result<libc::c_int, Error> {
    if answer < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(answer)
    }
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

fn new_socket(domain: libc::c_int, kind: libc::c_int) -> Result<OwnedFd, Error> {
    // SAFETY: no addresses are passed.
    let descriptor: RawFd = check(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made it for us and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

impl Socket {
    /// Opens it with stamps, tags in the metadata and promiscuous mode, without frames this computer sends.
    pub(super) fn open(interface: i32, receive_buffer: i32) -> Result<Self, Error> {
        // Protocol 0: nothing is received before the socket is bound to its interface.
        let socket = Self(new_socket(libc::AF_PACKET, libc::SOCK_RAW)?);
        socket.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
        socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &receive_buffer)?;
        // Since Linux 4.20; older kernels mark such frames, and `receive` leaves them out.
        let _ = socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1);
        // Without a queue's locks; a driver that can't leaves it out.
        let _ = socket.set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1);
        let membership = libc::packet_mreq {
            mr_ifindex: interface,
            mr_type: libc::c_ushort::try_from(libc::PACKET_MR_PROMISC).unwrap_or_default(),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        socket.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
        socket.bind(interface)?;
        Ok(socket)
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> Result<(), Error> {
        // SAFETY: the value is valid for its size for the length of the call, and the kernel only reads it.
        check(unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                length_of::<T>(),
            )
        })
        .map(drop)
    }

    fn bind(&self, interface: i32) -> Result<(), Error> {
        // SAFETY: plain numbers, for which zeroes are valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
        address.sll_ifindex = interface;
        // SAFETY: the address is a sockaddr_ll of the length said, and the kernel only reads it.
        check(unsafe {
            libc::bind(
                self.0.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                length_of::<libc::sockaddr_ll>(),
            )
        })
        .map(drop)
    }

    pub(super) fn send(&self, frame: &[u8]) -> Result<(), Error> {
        // SAFETY: the frame is valid for its length and only read.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends frames of one length that lie one after the other, at most [`BATCH`]; answers how many went out.
    pub(super) fn send_many(&self, frames: &[u8], length: usize) -> Result<usize, Error> {
        let mut pieces = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        let mut count = 0;
        for (piece, frame) in pieces.iter_mut().zip(frames.chunks_exact(length.max(1))) {
            // The kernel only reads it, though the type doesn't say so.
            piece.iov_base = frame.as_ptr().cast_mut().cast();
            piece.iov_len = frame.len();
            count += 1;
        }
        // SAFETY: mmsghdr is numbers and pointers, for which zeroes are valid.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (message, piece) in messages.iter_mut().zip(&mut pieces) {
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
        }
        let count = libc::c_uint::try_from(count).unwrap_or_default();
        // SAFETY: the first `count` messages each point to one piece, which points into `frames`; all outlive the call.
        let sent = check(unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) })?;
        Ok(usize::try_from(sent).unwrap_or_default())
    }

    /// Waits for frames, at most this long, and hands over those that are there.
    pub(super) fn receive(
        &self,
        buffers: &mut Buffers,
        wait: Duration,
        mut on_frame: impl FnMut(Received<'_>),
    ) -> Result<(), Error> {
        if !self.wait_readable(wait)? {
            return Ok(());
        }
        // SAFETY: numbers and pointers, for which zeroes are valid.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut pieces = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: SNAP,
        }; BATCH];
        let places = buffers
            .frames
            .iter_mut()
            .zip(&mut buffers.control)
            .zip(&mut buffers.senders);
        for ((message, piece), ((frame, control), sender)) in messages.iter_mut().zip(&mut pieces).zip(places) {
            piece.iov_base = frame.as_mut_ptr().cast();
            let header = &mut message.msg_hdr;
            header.msg_iov = piece;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(control) as _;
            header.msg_name = std::ptr::from_mut(sender).cast();
            header.msg_namelen = length_of::<libc::sockaddr_ll>();
        }
        // SAFETY: each message points to its own piece, control room and address, of the lengths said; all outlive the
        // call. No time-out is passed.
        let read = check(unsafe {
            libc::recvmmsg(
                self.0.as_raw_fd(),
                messages.as_mut_ptr(),
                libc::c_uint::try_from(BATCH).unwrap_or_default(),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        });
        let read = match read {
            Ok(read) => usize::try_from(read).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        let places = buffers.frames.iter().zip(&buffers.control).zip(&buffers.senders);
        for (message, ((frame, control), sender)) in messages.iter().zip(places).take(read) {
            if sender.sll_pkttype == libc::PACKET_OUTGOING {
                continue;
            }
            let length = usize::try_from(message.msg_len).unwrap_or(SNAP).min(SNAP);
            #[allow(clippy::useless_conversion, reason = "its type differs among C libraries")]
            let control_length = usize::try_from(message.msg_hdr.msg_controllen).unwrap_or_default();
            let mut received = Received {
                bytes: frame.get(..length).unwrap_or_default(),
                stamp: None,
                tag: None,
            };
            let control: [[u8; 8]; CONTROL] = control.map(u64::to_ne_bytes);
            read_control(
                control.as_flattened().get(..control_length).unwrap_or_default(),
                &mut received,
            );
            on_frame(received);
        }
        Ok(())
    }

    fn wait_readable(&self, wait: Duration) -> Result<bool, Error> {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let wait = libc::timespec {
            tv_sec: wait.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        // SAFETY: one pollfd and a timespec, both valid for the length of the call; no signal mask.
        match check(unsafe { libc::ppoll(&raw mut poll, 1, &raw const wait, std::ptr::null()) }) {
            Ok(ready) => Ok(ready > 0),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Frames dropped since this was last asked.
    pub(super) fn drops(&self) -> Result<u32, Error> {
        let mut stats = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = length_of::<libc::tpacket_stats>();
        // SAFETY: the kernel writes at most `length` bytes to a structure of that size.
        check(unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut stats).cast(),
                &raw mut length,
            )
        })?;
        Ok(stats.tp_drops)
    }
}

/// Reads control messages (cmsg(3)): a header of length, level and type, then data, each padded to a word.
fn read_control(mut bytes: &[u8], received: &mut Received<'_>) {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const WORD: usize = size_of::<usize>();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER) {
        let Some((length, kind)) = header.split_first_chunk::<WORD>() else {
            return;
        };
        let length = usize::from_ne_bytes(*length);
        let number = |at| {
            kind.get(at..at + 4)
                .and_then(|word| word.try_into().ok())
                .map(i32::from_ne_bytes)
        };
        let (Some(level), Some(kind)) = (number(0), number(4)) else {
            return;
        };
        let Some(message) = length.checked_sub(HEADER).and_then(|length| rest.get(..length)) else {
            return;
        };
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => received.stamp = read_stamp(message),
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => received.tag = read_tag(message),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(WORD)..).unwrap_or_default();
    }
}

/// `struct timespec`: two numbers of a word each.
fn read_stamp(message: &[u8]) -> Option<(u64, u32)> {
    let (seconds, rest) = message.split_first_chunk::<{ size_of::<usize>() }>()?;
    let (nanoseconds, _) = rest.split_first_chunk::<{ size_of::<usize>() }>()?;
    let [seconds, nanoseconds] = [seconds, nanoseconds].map(|word| usize::from_ne_bytes(*word));
    Some((seconds.try_into().ok()?, nanoseconds.try_into().ok()?))
}

/// `struct tpacket_auxdata`: status, two lengths of 32 bits, two offsets of 16, tag control information and TPID.
fn read_tag(message: &[u8]) -> Option<(Option<u16>, u16)> {
    let status = u32::from_ne_bytes(message.get(..4)?.try_into().ok()?);
    let tci = u16::from_ne_bytes(message.get(16..18)?.try_into().ok()?);
    let tpid = u16::from_ne_bytes(message.get(18..20)?.try_into().ok()?);
    let tpid = (status & libc::TP_STATUS_VLAN_TPID_VALID != 0).then_some(tpid);
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some((tpid, tci))
}

/// Asks the kernel about an interface.
#[derive(Debug)]
pub(super) struct Control {
    name: String,
    socket: OwnedFd,
}

/// What a driver says of itself.
#[derive(Debug, Default)]
pub(super) struct Driver {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) firmware: String,
    pub(super) bus: String,
}

/// A feature of an interface.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) is_on: bool,
    pub(super) changeable: bool,
}

// Commands of linux/ethtool.h.
const GET_SETTINGS: u32 = 0x01;
const GET_DRIVER: u32 = 0x03;
const GET_LINK: u32 = 0x0a;
const GET_STRINGS: u32 = 0x1b;
const GET_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
/// The set of strings that names features.
const FEATURES: u32 = 4;
/// Bytes of a string.
const STRING: usize = 32;
/// Words of `struct ethtool_drvinfo` and `struct ethtool_cmd`.
const DRIVER_WORDS: usize = 49;
const SETTINGS_WORDS: usize = 11;

impl Control {
    /// # Errors
    /// `InvalidInput` where no interface can have that name.
    pub(super) fn of(name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            name: name.to_owned(),
            socket: new_socket(libc::AF_INET, libc::SOCK_DGRAM)?,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: numbers and a pointer, for which zeroes are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // The name is shorter than its place, so a zero ends it.
        for (place, byte) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        request
    }

    /// # Safety
    /// The command takes an ifreq, and what its union holds is what the command expects there.
    unsafe fn ask(&self, command: libc::Ioctl, request: &mut libc::ifreq) -> Result<(), Error> {
        // SAFETY: the request is valid for the length of the call; the caller vouches for the rest.
        check(unsafe { libc::ioctl(self.socket.as_raw_fd(), command, std::ptr::from_mut(request)) }).map(drop)
    }

    pub(super) fn index(&self) -> Result<i32, Error> {
        let mut request = self.request();
        // SAFETY: the kernel writes an index.
        unsafe { self.ask(libc::SIOCGIFINDEX as _, &mut request) }?;
        // SAFETY: it did.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex })
    }

    pub(super) fn is_up(&self) -> Result<bool, Error> {
        let mut request = self.request();
        // SAFETY: the kernel writes flags.
        unsafe { self.ask(libc::SIOCGIFFLAGS as _, &mut request) }?;
        // SAFETY: it did.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Ok(i32::from(flags) & libc::IFF_UP != 0)
    }

    /// # Errors
    /// Where the interface isn't one of Ethernet.
    pub(super) fn hardware_address(&self) -> Result<[u8; 6], Error> {
        let mut request = self.request();
        // SAFETY: the kernel writes an address.
        unsafe { self.ask(libc::SIOCGIFHWADDR as _, &mut request) }?;
        // SAFETY: it did.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        if address.sa_family != libc::ARPHRD_ETHER {
            return Err(ErrorKind::Unsupported.into());
        }
        let octets = address.sa_data.first_chunk().copied().unwrap_or_default();
        Ok(octets.map(|octet: libc::c_char| u8::from_ne_bytes(octet.to_ne_bytes())))
    }

    pub(super) fn mtu(&self) -> Result<u32, Error> {
        let mut request = self.request();
        // SAFETY: the kernel writes an MTU.
        unsafe { self.ask(libc::SIOCGIFMTU as _, &mut request) }?;
        // SAFETY: it did.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        u32::try_from(mtu).map_err(Error::other)
    }

    pub(super) fn set_mtu(&self, mtu: u32) -> Result<(), Error> {
        let mut request = self.request();
        request.ifr_ifru.ifru_mtu = i32::try_from(mtu).map_err(Error::other)?;
        // SAFETY: the kernel reads an MTU.
        unsafe { self.ask(libc::SIOCSIFMTU as _, &mut request) }
    }

    /// # Safety
    /// The first word is a command of ethtool, and the kernel reads and writes no more for it than these words.
    unsafe fn ethtool(&self, words: &mut [u32]) -> Result<(), Error> {
        let mut request = self.request();
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: the kernel follows the address into `words`; the caller vouches for their length.
        unsafe { self.ask(libc::SIOCETHTOOL as _, &mut request) }
    }

    pub(super) fn driver(&self) -> Result<Driver, Error> {
        let mut words = [0; DRIVER_WORDS];
        words[0] = GET_DRIVER;
        // SAFETY: struct ethtool_drvinfo has 196 bytes.
        unsafe { self.ethtool(&mut words) }?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let text = |number: usize| text(bytes.get(4 + number * STRING..).unwrap_or_default());
        Ok(Driver {
            name: text(0),
            version: text(1),
            firmware: text(2),
            bus: text(3),
        })
    }

    pub(super) fn has_link(&self) -> Result<bool, Error> {
        let mut words = [GET_LINK, 0];
        // SAFETY: struct ethtool_value has two words.
        unsafe { self.ethtool(&mut words) }?;
        Ok(words[1] != 0)
    }

    /// Megabits a second; `None` where it isn't known.
    pub(super) fn speed_mbit(&self) -> Result<Option<u32>, Error> {
        let mut words = [0; SETTINGS_WORDS];
        words[0] = GET_SETTINGS;
        // SAFETY: struct ethtool_cmd has 44 bytes.
        unsafe { self.ethtool(&mut words) }?;
        // `speed` and `speed_hi` are the halves at bytes 12 and 28.
        let half = |word: u32| {
            let [a, b, ..] = word.to_ne_bytes();
            u32::from(u16::from_ne_bytes([a, b]))
        };
        let speed = half(words[7]) << 16 | half(words[3]);
        Ok((speed != 0 && speed != u32::MAX && speed != 0xffff).then_some(speed))
    }

    fn feature_names(&self) -> Result<Vec<String>, Error> {
        let mut info = [GET_SET_INFO, 0, 0, 0, 0];
        // A mask of 64 bits in the machine's order.
        info[if cfg!(target_endian = "little") { 2 } else { 3 }] = 1 << FEATURES;
        // SAFETY: struct ethtool_sset_info with room for one count, and one set is asked for.
        unsafe { self.ethtool(&mut info) }?;
        let count = usize::try_from(info[4]).map_err(Error::other)?;
        let mut words = vec![0; 3 + count * STRING / 4];
        if let [command, set, length, ..] = words.as_mut_slice() {
            (*command, *set, *length) = (GET_STRINGS, FEATURES, info[4]);
        }
        // SAFETY: struct ethtool_gstrings with room for as many strings as the kernel said it has.
        unsafe { self.ethtool(&mut words) }?;
        let bytes: Vec<u8> = words.iter().skip(3).flat_map(|word| word.to_ne_bytes()).collect();
        Ok(bytes.chunks_exact(STRING).map(text).collect())
    }

    /// The features the kernel knows, as they are on this interface.
    pub(super) fn features(&self) -> Result<Vec<Feature>, Error> {
        let names = self.feature_names()?;
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; 2 + blocks * 4];
        if let [command, size, ..] = words.as_mut_slice() {
            (*command, *size) = (GET_FEATURES, u32::try_from(blocks).map_err(Error::other)?);
        }
        // SAFETY: struct ethtool_gfeatures with room for the blocks said, of which the kernel writes no more.
        unsafe { self.ethtool(&mut words) }?;
        // A block: available, requested, active, never changed.
        let bit = |number: usize, word: usize| {
            let word = words.get(2 + number / 32 * 4 + word).copied().unwrap_or(0);
            word >> (number % 32) & 1 != 0
        };
        let feature = |(number, name)| Feature {
            name,
            is_on: bit(number, 2),
            changeable: bit(number, 0) && !bit(number, 3),
        };
        Ok(names.into_iter().enumerate().map(feature).collect())
    }

    pub(super) fn set_feature(&self, name: &str, on: bool) -> Result<(), Error> {
        let names = self.feature_names()?;
        let number = names
            .iter()
            .position(|known| known == name)
            .ok_or(ErrorKind::Unsupported)?;
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; 2 + blocks * 2];
        if let [command, size, ..] = words.as_mut_slice() {
            (*command, *size) = (SET_FEATURES, u32::try_from(blocks).map_err(Error::other)?);
        }
        // A block: valid, requested.
        if let Some([valid, requested]) = words
            .get_mut(2 + number / 32 * 2..)
            .and_then(|block| block.first_chunk_mut())
        {
            *valid = 1 << (number % 32);
            *requested = u32::from(on) << (number % 32);
        }
        // SAFETY: struct ethtool_sfeatures with the blocks said, which the kernel only reads.
        unsafe { self.ethtool(&mut words) }?;
        // The kernel may answer that it will do so later, or not: what counts is what it does.
        let done = self
            .features()?
            .into_iter()
            .any(|feature| feature.name == name && feature.is_on == on);
        if done {
            Ok(())
        } else {
            Err(ErrorKind::Unsupported.into())
        }
    }
}

/// A text that ends with a zero or with its place.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.get(..STRING).unwrap_or(bytes);
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}
