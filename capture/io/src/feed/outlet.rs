//! The capture thread's side of the hand-over: frames in, batches of wanted datagrams out.

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use silentmon_capture_core::filter::{Carrier, MediaFilter};
use silentmon_capture_core::resolver::Signalling;
use silentmon_proto::frame::{Carried, Datagram, Frame, FrameReader, MacAddress, Rejected, Segment};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::{Batch, CaptureStats};

/// What happens to a batch for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// It is dropped and counted: a live capture can't wait, the kernel would drop instead.
    Drop,
    /// The thread waits: a file can.
    Wait,
}

/// Turns frames into batches.
pub(super) struct Outlet {
    reader: FrameReader,
    batch: Batch,
    stats: CaptureStats,
    overflow: Overflow,
    /// The interface's address.
    own: Option<MacAddress>,
    round: u32,
    batches: Sender<Batch>,
    /// Batches that come back empty.
    used: Receiver<Batch>,
    /// Where others read the figures.
    published: Arc<Mutex<CaptureStats>>,
}

/// The event loop doesn't take batches any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

impl Outlet {
    pub(super) fn new(
        overflow: Overflow,
        batches: Sender<Batch>,
        used: Receiver<Batch>,
        published: Arc<Mutex<CaptureStats>>,
    ) -> Self {
        Self {
            reader: FrameReader::default(),
            batch: Batch::default(),
            stats: CaptureStats::default(),
            overflow,
            own: None,
            round: 0,
            batches,
            used,
            published,
        }
    }

    /// Takes a frame; its datagram or signalling joins the batch if the filter wants it.
    #[inline]
    pub(super) fn take(&mut self, frame: &Frame<'_>, filter: &MediaFilter) -> Result<(), Closed> {
        self.stats.count(frame, self.own);
        let Self {
            reader, batch, stats, ..
        } = self;
        match reader.read_any(frame) {
            Ok(Carried::Datagram(datagram)) => take_datagram(&datagram, filter, batch, stats),
            Ok(Carried::Segment(segment)) => take_segment(&segment, filter, batch, stats),
            Err(reason) => stats.rejected.count(reason),
        }
        if self.batch.is_full() {
            return self.flush();
        }
        Ok(())
    }

    /// Frames from and to this address are the machine's own.
    pub(super) const fn set_own(&mut self, own: Option<MacAddress>) {
        self.own = own;
    }

    /// A batch holds datagrams of one round through a file only.
    pub(super) fn begin_round(&mut self, round: u32) -> Result<(), Closed> {
        if self.batch.round() == round {
            return Ok(());
        }
        let flushed = self.flush();
        self.round = round;
        self.batch.set_round(round);
        flushed
    }

    /// Hands the batch over and makes the figures known.
    pub(super) fn flush(&mut self) -> Result<(), Closed> {
        let sent = if self.batch.is_empty() { Ok(()) } else { self.send() };
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = self.stats;
        sent
    }

    /// The figures, to be completed.
    pub(super) fn stats(&mut self) -> &mut CaptureStats {
        &mut self.stats
    }

    fn send(&mut self) -> Result<(), Closed> {
        let empty = self.used.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, empty);
        self.batch.set_round(self.round);
        match self.overflow {
            Overflow::Wait => self.batches.blocking_send(batch).map_err(|_| Closed),
            Overflow::Drop => match self.batches.try_send(batch) {
                Ok(()) => Ok(()),
                Err(TrySendError::Closed(_)) => Err(Closed),
                Err(TrySendError::Full(batch)) => {
                    self.stats.dropped_handover += batch.len() as u64;
                    self.batch = batch.emptied();
                    Ok(())
                }
            },
        }
    }
}

#[inline]
fn take_datagram(datagram: &Datagram<'_>, filter: &MediaFilter, batch: &mut Batch, stats: &mut CaptureStats) {
    if is_signalling(filter, Carrier::Udp, datagram.source, datagram.destination) {
        stats.signalling += 1;
        batch.push_signalling(&Signalling::from(datagram));
    }
    if filter.wants(datagram.source, datagram.destination) {
        stats.passed += 1;
        batch.push(datagram);
    } else {
        stats.unwanted += 1;
    }
}

fn take_segment(segment: &Segment<'_>, filter: &MediaFilter, batch: &mut Batch, stats: &mut CaptureStats) {
    if !is_signalling(filter, Carrier::Tcp, segment.source, segment.destination) {
        return stats.rejected.count(Rejected::NotUdp);
    }
    stats.signalling += 1;
    if !segment.payload.is_empty() || segment.opens || segment.closes {
        batch.push_signalling(&Signalling::from(segment));
    }
}

#[inline]
fn is_signalling(filter: &MediaFilter, carrier: Carrier, source: SocketAddr, destination: SocketAddr) -> bool {
    let ports = filter.signalling();
    !ports.is_empty() && ports.protocol(carrier, source, destination).is_some()
}
