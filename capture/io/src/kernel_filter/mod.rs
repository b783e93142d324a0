//! A filter in the kernel that keeps the calls nobody monitors out of user space: an eBPF program on the capture's
//! socket with a table of watched addresses.
//!
//! libpcap's own filters won't do: changing one loses packets of the calls that go on, compiling one for hundreds of
//! addresses takes seconds, and more than a few hundred the kernel refuses. Changing an entry of the table loses none.
//! Frames the program can't judge are passed, so whoever reads them must filter again.

mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use silentmon_capture_core::addressing::AddressCounts;
use silentmon_capture_core::filter::SignallingPorts;
use silentmon_ebpf::sys::{Map, MapKind, Program, ProgramKind};
use silentmon_proto::frame::LinkType;

/// What is wanted of an address's datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interest {
    /// That they are counted and kept from user space.
    Count,
    /// That they are counted and passed.
    Pass,
}

/// UDP datagrams seen of an address, passed or not. IPv6 datagrams with extension headers aren't among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressCounters {
    /// Those it sent.
    pub from: u64,
    /// Those sent to it.
    pub to: u64,
}

/// Frames the filter has judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelCounters {
    /// All frames seen on the interface.
    pub seen: u64,
    /// Those of them that came with an 802.1Q tag.
    pub tagged: u64,
}

/// Why there is no filter in the kernel; the capture works without, by the filter in user space.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelFilterError {
    /// The process may not use bpf(2).
    #[error("expected to be allowed to load a kernel filter (CAP_BPF and CAP_NET_ADMIN, or root): {0}")]
    NotPermitted(Error),
    /// The kernel refused a step.
    #[error("expected the kernel to {step}: {error}")]
    Refused {
        /// The step.
        step: &'static str,
        /// Its answer.
        error: Error,
    },
    /// More addresses are to be watched than the table holds: everything is passed now.
    #[error("expected at most {capacity} watched addresses, found {found}: all traffic is passed to user space")]
    Full {
        /// Addresses the table holds.
        capacity: u32,
        /// Addresses to be watched.
        found: usize,
    },
    /// The interface's frames don't begin as the program expects.
    #[error("expected an interface with Ethernet frames for a kernel filter, found {0:?}")]
    LinkType(LinkType),
    /// The program itself is wrong.
    #[error("the kernel filter can't be assembled: {0}")]
    Assembly(String),
}

/// The filter on a capture's socket. It stays on the socket when this is dropped, with the addresses it has then.
#[derive(Debug)]
pub struct KernelFilter {
    watched: Map<{ program::ADDRESS }, { program::WATCHED_VALUE }>,
    totals: Map<4, { program::TOTALS_VALUE }>,
    signalling: Map<{ program::PORT }, 1>,
    /// What the kernel's table of ports holds.
    ports: Mutex<BTreeSet<[u8; program::PORT]>>,
    /// What the switch says.
    mode: Mutex<(Mode, Looking)>,
    capacity: u32,
    /// What the kernel's table holds.
    table: Mutex<BTreeMap<IpAddr, Interest>>,
    program: Program,
}

/// Whether watched addresses decide or everything is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Watched,
    Everything,
}

/// Whether signalling is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking {
    Nowhere,
    AtPorts,
}

/// Ports of signalling the table holds.
const MOST_PORTS: u32 = 64;

impl KernelFilter {
    /// Puts the filter on a packet socket that delivers whole Ethernet frames, with a table for `capacity` addresses.
    /// At first no address is watched: only what the program can't judge is passed.
    ///
    /// # Errors
    /// Where the process isn't permitted to, or the kernel refuses; the socket is then as it was.
    pub fn attach(socket: &impl AsRawFd, capacity: u32) -> Result<Self, KernelFilterError> {
        let filter = Self::load(capacity)?;
        filter
            .program
            .attach(socket)
            .map_err(refused("attach the filter to the capture's socket"))?;
        Ok(filter)
    }

    fn load(capacity: u32) -> Result<Self, KernelFilterError> {
        let watched = Map::create(MapKind::Hash, capacity.max(1)).map_err(refused("make a table of addresses"))?;
        let totals = Map::create(MapKind::Array, program::TOTALS).map_err(refused("make a table of counters"))?;
        let signalling = Map::create(MapKind::Hash, MOST_PORTS).map_err(refused("make a table of ports"))?;
        let maps = program::Maps {
            watched: watched.number(),
            totals: totals.number(),
            signalling: signalling.number(),
        };
        let code = program::assemble(maps).map_err(|error| KernelFilterError::Assembly(error.to_string()))?;
        Ok(Self {
            program: Program::load(ProgramKind::SocketFilter, &code).map_err(refused("load the filter"))?,
            watched,
            totals,
            signalling,
            ports: Mutex::default(),
            mode: Mutex::new((Mode::Watched, Looking::Nowhere)),
            capacity,
            table: Mutex::default(),
        })
    }

    /// Watches these addresses and no others. An address that stays keeps its counters, and none of its packets is
    /// lost; the stricter interest loses against [`Interest::Pass`] where an address comes twice.
    ///
    /// # Errors
    /// Where there are more than the table holds, all traffic is passed until fewer are watched. Where the kernel
    /// refuses a change, what was changed before stays.
    pub fn set_watched(
        &self,
        addresses: impl IntoIterator<Item = (IpAddr, Interest)>,
    ) -> Result<(), KernelFilterError> {
        let mut wanted = BTreeMap::new();
        for (address, interest) in addresses {
            let entry = wanted.entry(address.to_canonical()).or_insert(interest);
            *entry = interest.max(*entry);
        }
        if wanted.len() > self.capacity as usize {
            self.switch_mode(Mode::Everything)?;
            return Err(KernelFilterError::Full {
                capacity: self.capacity,
                found: wanted.len(),
            });
        }
        let mut table = self.table();
        self.forget_all_but(&wanted, &mut table)?;
        for (address, interest) in wanted {
            if table.get(&address) != Some(&interest) {
                self.watch(address, interest)?;
                table.insert(address, interest);
            }
        }
        self.switch_mode(Mode::Watched)
    }

    /// Counts datagrams of these addresses, too, as far as the table has room; what is watched stays so.
    ///
    /// # Errors
    /// Where the kernel refuses a change, what was changed before stays.
    pub fn count(&self, more: &BTreeSet<IpAddr>) -> Result<(), KernelFilterError> {
        let mut table = self.table();
        for address in more.iter().map(IpAddr::to_canonical) {
            if table.len() < self.capacity as usize && !table.contains_key(&address) {
                self.watch(address, Interest::Count)?;
                table.insert(address, Interest::Count);
            }
        }
        Ok(())
    }

    /// Passes signalling at these ports and no others, from and to any address, besides what is watched.
    ///
    /// # Errors
    /// Where there are more than 64 or the kernel refuses a change, what was changed before stays.
    pub fn set_signalling(&self, ports: &SignallingPorts) -> Result<(), KernelFilterError> {
        let udp = ports.sip.iter().map(|port| port_key(program::UDP, *port));
        let tcp = ports.sip.iter().chain(&ports.sccp);
        let wanted: BTreeSet<_> = udp.chain(tcp.map(|port| port_key(program::TCP, *port))).collect();
        let mut held = lock(&self.ports);
        if *held != wanted {
            for gone in held.difference(&wanted) {
                self.signalling.delete(*gone).map_err(refused("forget a port"))?;
            }
            held.retain(|port| wanted.contains(port));
            for port in &wanted {
                self.signalling
                    .update(*port, [0])
                    .map_err(refused("look for signalling at a port"))?;
                held.insert(*port);
            }
        }
        let looking = if held.is_empty() {
            Looking::Nowhere
        } else {
            Looking::AtPorts
        };
        drop(held);
        let mode = self.mode().0;
        self.switch(mode, looking)
    }

    /// Passes all traffic, whatever is watched, until [`Self::set_watched`] is called again.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn pass_everything(&self) -> Result<(), KernelFilterError> {
        self.switch_mode(Mode::Everything)
    }

    /// Frames judged so far.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn counters(&self) -> Result<KernelCounters, KernelFilterError> {
        let [seen, tagged] = self.total(program::SEEN)?;
        Ok(KernelCounters { seen, tagged })
    }

    /// Frames received so far, by whom they are for.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn addressed(&self) -> Result<AddressCounts, KernelFilterError> {
        let [own, broadcast] = self.total(program::TO_HOST)?;
        let [multicast, foreign] = self.total(program::TO_OTHERS)?;
        Ok(AddressCounts {
            foreign,
            own,
            broadcast,
            multicast,
        })
    }

    fn total(&self, entry: u32) -> Result<[u64; 2], KernelFilterError> {
        let value = self.totals.lookup(entry.to_ne_bytes());
        let value = value.map_err(refused("read its counters"))?.unwrap_or_default();
        Ok([number_at(&value, 0), number_at(&value, 8)])
    }

    /// Datagrams of each watched address since it is watched, in the order of addresses.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn address_counters(&self) -> Result<Vec<(IpAddr, AddressCounters)>, KernelFilterError> {
        let watched: Vec<IpAddr> = self.table().keys().copied().collect();
        self.counters_of(watched)
    }

    /// The same of these addresses, as far as they are watched.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn address_counters_of(
        &self,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Vec<(IpAddr, AddressCounters)>, KernelFilterError> {
        let watched: Vec<IpAddr> = {
            let table = self.table();
            let canonical = addresses.iter().map(IpAddr::to_canonical);
            canonical.filter(|address| table.contains_key(address)).collect()
        };
        self.counters_of(watched)
    }

    fn counters_of(&self, watched: Vec<IpAddr>) -> Result<Vec<(IpAddr, AddressCounters)>, KernelFilterError> {
        let read = |address| Ok((address, self.counted(address)?));
        watched.into_iter().map(read).collect()
    }

    fn counted(&self, address: IpAddr) -> Result<AddressCounters, KernelFilterError> {
        let value = self
            .watched
            .lookup(key(address))
            .map_err(refused("read an address's counters"))?;
        let value = value.unwrap_or_default();
        Ok(AddressCounters {
            from: number_at(&value, 8),
            to: number_at(&value, 16),
        })
    }

    fn forget_all_but(
        &self,
        wanted: &BTreeMap<IpAddr, Interest>,
        table: &mut BTreeMap<IpAddr, Interest>,
    ) -> Result<(), KernelFilterError> {
        let gone: Vec<_> = table
            .keys()
            .filter(|address| !wanted.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            self.watched
                .delete(key(address))
                .map_err(refused("forget an address"))?;
            table.remove(&address);
        }
        Ok(())
    }

    /// A change of interest takes the counters along, but for datagrams of the very microsecond.
    fn watch(&self, address: IpAddr, interest: Interest) -> Result<(), KernelFilterError> {
        let counters = self.counted(address)?;
        let mut value = [0; program::WATCHED_VALUE];
        let parts = [
            match interest {
                Interest::Count => 0,
                Interest::Pass => program::PASS.into(),
            },
            counters.from,
            counters.to,
        ];
        for (room, part) in value.chunks_exact_mut(8).zip(parts) {
            room.copy_from_slice(&part.to_ne_bytes());
        }
        // The interest is a number of 32 bits in the first half of its 8 bytes, on either kind of machine.
        if cfg!(target_endian = "big") {
            value.copy_within(4..8, 0);
        }
        self.watched
            .update(key(address), value)
            .map_err(refused("watch an address"))
    }

    fn switch_mode(&self, mode: Mode) -> Result<(), KernelFilterError> {
        let looking = self.mode().1;
        self.switch(mode, looking)
    }

    fn switch(&self, mode: Mode, looking: Looking) -> Result<(), KernelFilterError> {
        let mut value = [0; program::TOTALS_VALUE];
        let numbers = [
            u64::from(mode == Mode::Everything),
            u64::from(looking == Looking::AtPorts),
        ];
        for (room, number) in value.chunks_exact_mut(8).zip(numbers) {
            room.copy_from_slice(&number.to_ne_bytes());
        }
        self.totals
            .update(program::MODE.to_ne_bytes(), value)
            .map_err(refused("switch the filter"))?;
        *self.mode() = (mode, looking);
        Ok(())
    }

    fn mode(&self) -> MutexGuard<'_, (Mode, Looking)> {
        lock(&self.mode)
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Interest>> {
        lock(&self.table)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn port_key(protocol: u8, port: u16) -> [u8; program::PORT] {
    let [first, second] = port.to_be_bytes();
    let [third, fourth] = u16::from(protocol).to_ne_bytes();
    [first, second, third, fourth]
}

fn key(address: IpAddr) -> [u8; program::ADDRESS] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn number_at(value: &[u8], offset: usize) -> u64 {
    let bytes = value.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn refused(step: &'static str) -> impl Fn(Error) -> KernelFilterError {
    move |error| match error.kind() {
        ErrorKind::PermissionDenied if error.raw_os_error() == Some(libc::EPERM) => {
            KernelFilterError::NotPermitted(error)
        }
        _ => KernelFilterError::Refused { step, error },
    }
}

#[cfg(test)]
mod tests;
