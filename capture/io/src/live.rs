//! Live capture from a network interface through libpcap.
//!
//! Nothing is ever sent on the interface. Frames come in blocks: libpcap's immediate mode costs fifteen times as much
//! per packet. A block is delivered when it is full or after [`Delivery::Within`], and on an idle link never: libpcap
//! polls on after each time-out, so [`LiveStop`] is the only way out of [`LiveCapture::read`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pcap::{Active, BreakLoop, Capture, Device, Precision};
use silentmon_proto::frame::{Frame, LinkType, MacAddress};
use silentmon_proto::time::Instant;

use crate::kernel_filter::{KernelFilter, KernelFilterError};
use crate::link::LinkFacts;

/// How to capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveOptions {
    /// Size of the buffer the kernel fills, in bytes. 32 MiB hold 1.4 s of the audio of 1,000 calls.
    pub buffer_size: u32,
    /// Bytes of a frame that are captured.
    pub snap_length: u32,
    /// Which frames the interface takes.
    pub promiscuity: Promiscuity,
    /// Which way frames go.
    pub direction: Direction,
    /// When frames are delivered.
    pub delivery: Delivery,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            buffer_size: 32 << 20,
            snap_length: 65_535,
            promiscuity: Promiscuity::Promiscuous,
            direction: Direction::Both,
            delivery: Delivery::Within(Duration::from_millis(5)),
        }
    }
}

/// Which frames an interface takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promiscuity {
    /// Every frame on the wire: what a mirror port delivers is addressed to others.
    Promiscuous,
    /// Those for this machine: a capture on the agent's own computer.
    OwnFrames,
}

/// Which way captured frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To and from this machine.
    Both,
    /// Received ones only.
    In,
}

/// When captured frames are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In blocks, none older than this (whole milliseconds, at least one).
    Within(Duration),
    /// Each at once. Dear for all the traffic of a mirror, cheap behind a kernel filter.
    AtOnce,
}

/// Why an interface can't be captured from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// There is no such interface.
    #[error("expected a network interface, found none called '{interface}' (there are: {})", present.join(", "))]
    NoSuchInterface {
        /// The name asked for.
        interface: String,
        /// The interfaces there are.
        present: Vec<String>,
    },
    /// `any` and other devices that aren't one network interface.
    #[error("expected one network interface, found '{interface}': there VLAN tags and directions are lost")]
    NotOneInterface {
        /// The name asked for.
        interface: String,
    },
    /// The process may not capture.
    #[error("expected to be allowed to capture on '{interface}' (CAP_NET_RAW, or root): {reason}")]
    NotPermitted {
        /// The interface.
        interface: String,
        /// What libpcap says.
        reason: String,
    },
    /// The interface isn't up.
    #[error("expected interface '{interface}' to be up, found it down (ip link set {interface} up)")]
    Down {
        /// The interface.
        interface: String,
    },
    /// Its frames are of a kind that isn't read.
    #[error("expected interface '{interface}' to deliver Ethernet or IP, found {found}")]
    LinkType {
        /// The interface.
        interface: String,
        /// What it delivers.
        found: String,
    },
    /// The interface went away, or the kernel failed, while capturing.
    #[error("the capture on '{interface}' ended: {reason}")]
    Ended {
        /// The interface.
        interface: String,
        /// What libpcap says.
        reason: String,
    },
    /// Anything else.
    #[error("can't capture on '{interface}': {reason}")]
    Other {
        /// The interface.
        interface: String,
        /// What libpcap says.
        reason: String,
    },
}

/// What the kernel counted of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounters {
    /// Frames that passed the kernel filter, dropped ones included.
    pub received: u64,
    /// Frames dropped because the buffer was full.
    pub dropped: u64,
    /// Frames the interface itself dropped, as far as its driver says.
    pub dropped_by_interface: u64,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveRead {
    /// This many frames were handed over.
    Frames(usize),
    /// The capture was stopped.
    Stopped,
}

/// A capture on an interface.
pub struct LiveCapture {
    interface: String,
    capture: Capture<Active>,
    link_type: LinkType,
    stopped: Arc<AtomicBool>,
    counters: Counters,
}

/// Ends a capture from another thread, an idle one too.
pub struct LiveStop {
    stopped: Arc<AtomicBool>,
    wake: BreakLoop,
}

/// libpcap counts in 32 bits, which 612,000 packets a second fill in two hours.
#[derive(Debug, Default)]
struct Counters {
    last: [u32; 3],
    total: [u64; 3],
}

/// Devices libpcap lists that aren't network interfaces.
const NOT_INTERFACES: [&str; 6] = ["any", "nflog", "nfqueue", "usbmon", "bluetooth", "dbus-"];

impl LiveCapture {
    /// Opens an interface.
    ///
    /// # Errors
    /// Where there is no such interface, it is down, its frames aren't read here, or the process may not capture.
    pub fn open(interface: &str, options: &LiveOptions) -> Result<Self, LiveError> {
        if is_no_interface(interface) {
            return Err(LiveError::NotOneInterface {
                interface: interface.to_owned(),
            });
        }
        let mut capture = activate(interface, options).map_err(|error| explain(interface, &error))?;
        if options.direction == Direction::In {
            capture
                .direction(pcap::Direction::In)
                .map_err(|error| explain(interface, &error))?;
        }
        let link_type = read_link_type(interface, &mut capture)?;
        Ok(Self {
            interface: interface.to_owned(),
            capture,
            link_type,
            stopped: Arc::default(),
            counters: Counters::default(),
        })
    }

    /// How the bytes of the interface's frames begin.
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// The interface's own MAC address, where it has one and the system tells it.
    pub fn own_address(&self) -> Option<MacAddress> {
        LinkFacts::of(&self.interface).own()
    }

    /// What ends this capture.
    pub fn stop(&mut self) -> LiveStop {
        LiveStop {
            stopped: Arc::clone(&self.stopped),
            wake: self.capture.breakloop_handle(),
        }
    }

    /// Puts a filter into the kernel, with a table for `capacity` addresses. Until addresses are watched, frames pass
    /// only where the kernel can't judge them. Frames already buffered are still delivered unfiltered.
    ///
    /// # Errors
    /// Where the process isn't permitted to, the kernel refuses, or the interface doesn't deliver Ethernet. The capture
    /// goes on without.
    pub fn attach_kernel_filter(&self, capacity: u32) -> Result<KernelFilter, KernelFilterError> {
        if self.link_type != LinkType::Ethernet {
            return Err(KernelFilterError::LinkType(self.link_type));
        }
        KernelFilter::attach(&self.capture, capacity)
    }

    /// Waits for frames and hands over those that are there, at most `limit` of them.
    ///
    /// # Errors
    /// Where the capture ended: the interface is gone, the kernel failed.
    pub fn read(&mut self, limit: usize, mut on_frame: impl FnMut(Frame<'_>)) -> Result<LiveRead, LiveError> {
        if self.stopped.load(Ordering::Acquire) {
            return Ok(LiveRead::Stopped);
        }
        let link_type = self.link_type;
        let read = self.capture.dispatch(Some(limit), |packet| {
            on_frame(Frame {
                link_type,
                captured: stamp(packet.header),
                bytes: packet.data,
                wire_length: packet.header.len,
            });
        });
        // libpcap says "stopped" as an error without a text, so our own flag is the truth.
        match read {
            _ if self.stopped.load(Ordering::Acquire) => Ok(LiveRead::Stopped),
            Ok(count) => Ok(LiveRead::Frames(count)),
            Err(error) => Err(LiveError::Ended {
                interface: self.interface.clone(),
                reason: text(&error),
            }),
        }
    }

    /// What the kernel has counted so far.
    pub fn counters(&mut self) -> LiveCounters {
        // Fails only where the interface is gone, and then the last figures stand.
        if let Ok(stat) = self.capture.stats() {
            self.counters.update([stat.received, stat.dropped, stat.if_dropped]);
        }
        let [received, dropped, dropped_by_interface] = self.counters.total;
        LiveCounters {
            received,
            dropped,
            dropped_by_interface,
        }
    }
}

impl LiveStop {
    /// Ends the capture: the read in progress, or the next one, answers [`LiveRead::Stopped`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake.breakloop();
    }
}

impl Counters {
    fn update(&mut self, now: [u32; 3]) {
        for ((total, last), now) in self.total.iter_mut().zip(&mut self.last).zip(now) {
            *total += u64::from(now.wrapping_sub(*last));
            *last = now;
        }
    }
}

fn activate(interface: &str, options: &LiveOptions) -> Result<Capture<Active>, pcap::Error> {
    let bytes = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let capture = Capture::from_device(interface)?
        .promisc(options.promiscuity == Promiscuity::Promiscuous)
        .snaplen(bytes(options.snap_length))
        .buffer_size(bytes(options.buffer_size))
        .precision(Precision::Nano);
    match options.delivery {
        Delivery::AtOnce => capture.immediate_mode(true),
        Delivery::Within(time) => capture
            .immediate_mode(false)
            .timeout(i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1)),
    }
    .open()
}

fn read_link_type(interface: &str, capture: &mut Capture<Active>) -> Result<LinkType, LiveError> {
    let found = capture.get_datalink();
    let link_type = u16::try_from(found.0).map_or(LinkType::Other(u16::MAX), LinkType::from_pcap);
    if let LinkType::Other(_) = link_type {
        let name = found.get_description().or_else(|_| found.get_name());
        return Err(LiveError::LinkType {
            interface: interface.to_owned(),
            found: name.unwrap_or_else(|_| format!("link type {}", found.0)),
        });
    }
    Ok(link_type)
}

/// The kernel's stamp; with nanosecond precision libpcap puts nanoseconds where microseconds would be.
fn stamp(header: &pcap::PacketHeader) -> Instant {
    let seconds = u64::try_from(header.ts.tv_sec).unwrap_or(0);
    Instant::from_parts(seconds, u32::try_from(header.ts.tv_usec).unwrap_or(0))
}

fn is_no_interface(name: &str) -> bool {
    NOT_INTERFACES.iter().any(|prefix| match *prefix {
        "any" => name == "any",
        prefix => name.starts_with(prefix),
    })
}

/// Network interfaces of this machine.
fn interfaces() -> Vec<String> {
    let devices = Device::list().unwrap_or_default();
    let mut names: Vec<_> = devices.into_iter().map(|device| device.name).collect();
    names.retain(|name| !is_no_interface(name));
    names.sort();
    names
}

/// Sorts libpcap's errors, which are only told apart by their texts.
fn explain(interface: &str, error: &pcap::Error) -> LiveError {
    let interface = interface.to_owned();
    let reason = text(error);
    if reason.contains("CAP_NET_RAW") || reason.contains("ermission") || reason.contains("not permitted") {
        return LiveError::NotPermitted { interface, reason };
    }
    if reason.contains("not up") || reason.contains("Network is down") {
        return LiveError::Down { interface };
    }
    let present = interfaces();
    if !present.contains(&interface) {
        return LiveError::NoSuchInterface { interface, present };
    }
    LiveError::Other { interface, reason }
}

fn text(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_devices_that_are_not_one_interface() {
        for name in ["any", "nflog", "usbmon0"] {
            let refused = LiveCapture::open(name, &LiveOptions::default()).err();
            let interface = name.to_owned();
            assert_eq!(refused, Some(LiveError::NotOneInterface { interface }));
        }
    }

    #[test]
    fn counts_on_when_libpcap_counts_over() {
        let mut counters = Counters::default();
        counters.update([u32::MAX - 1, 5, 0]);
        counters.update([3, 5, 1]);
        assert_eq!(counters.total, [u64::from(u32::MAX) + 4, 5, 1]);
    }

    #[test]
    fn tells_errors_apart_by_what_libpcap_says() {
        let of = |text: &str| explain("eth9", &pcap::Error::PcapError(text.to_owned()));
        assert!(matches!(
            of("eth9: You don't have permission to perform this capture on that device"),
            LiveError::NotPermitted { .. }
        ));
        assert!(matches!(of("eth9: That device is not up"), LiveError::Down { .. }));
        assert!(matches!(
            of("eth9: No such device exists"),
            LiveError::NoSuchInterface { .. }
        ));
    }
}
