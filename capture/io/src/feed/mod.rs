//! From a source of frames to the event loop: one thread that captures, reads and filters, and hands datagrams over in
//! batches through a bounded channel.
//!
//! A live capture drops what the event loop can't take and counts it; a file waits. Batches come back to be filled
//! again, so that nothing is allocated per packet.

mod batch;
mod outlet;
mod stats;
mod thread;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use silentmon_capture_core::filter::MediaFilter;
use silentmon_proto::time::Instant;
use tokio::sync::mpsc;

pub use batch::Batch;
pub use stats::{CaptureStats, RejectedFrames};

use crate::file::FileError;
use crate::file::paced::{FileOrigin, Pace, PacedFile, Repeat};
use crate::kernel_filter::{AddressCounters, Interest, KernelFilter, KernelFilterError};
use crate::link;
use crate::live::{LiveCapture, LiveError, LiveOptions};
use outlet::{Outlet, Overflow};
use thread::Stop;

/// Batches on their way from a live capture: 0.6 s where one goes out every 5 ms, and never more than 24 MiB.
const LIVE_QUEUE: usize = 128;
/// Batches on their way from a file, which can wait.
const FILE_QUEUE: usize = 16;
/// Addresses the kernel's table holds: 10,000 agents with some to spare.
const KERNEL_TABLE: u32 = 16_384;

/// Where frames come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A network interface.
    Interface {
        /// Its name.
        name: String,
        /// How to capture.
        options: LiveOptions,
        /// Where datagrams are filtered.
        filtering: Filtering,
    },
    /// A capture file.
    File {
        /// The file.
        origin: FileOrigin,
        /// How fast it is read.
        pace: Pace,
        /// What comes after its end.
        repeat: Repeat,
        /// Where datagrams are filtered.
        filtering: Filtering,
    },
}

/// Where datagrams that nobody wants are sorted out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filtering {
    /// In the kernel where that is possible, and again on the capture thread.
    #[default]
    Kernel,
    /// On the capture thread.
    UserSpace,
    /// Nowhere, whoever takes the batches sees all: a script that runs in a file's time changes what is wanted between
    /// two datagrams of a batch.
    Nowhere,
}

/// Why a source can't be opened, or ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// A capture file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A network interface.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The capture thread couldn't be started, or broke down.
    #[error("the capture thread {0}")]
    Thread(String),
}

/// How a capture ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureEnd {
    /// The file was read to its end.
    EndOfFile,
    /// It was stopped, or nobody takes its batches any more.
    Stopped,
    /// The file is damaged (all before the damage was handed over), the interface is gone.
    Failed(CaptureError),
}

/// Datagrams of an address, counted in the kernel; sums since it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressCount {
    /// The address.
    pub ip: IpAddr,
    /// Datagrams it sent.
    pub from: u64,
    /// Datagrams sent to it.
    pub to: u64,
}

/// A source that is open and not yet read. Opening may take rights that reading doesn't.
#[derive(Debug)]
pub struct OpenSource {
    opened: Opened,
    filtering: Filtering,
}

enum Opened {
    Interface {
        name: String,
        capture: LiveCapture,
        kernel: Option<KernelFilter>,
    },
    File {
        file: PacedFile,
        pace: Pace,
    },
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interface { .. } => "Interface",
            Self::File { .. } => "File",
        })
    }
}

impl OpenSource {
    /// Opens a source.
    ///
    /// A kernel filter that can't be had is logged, once; the capture goes on without.
    ///
    /// # Errors
    /// Where the source can't be opened.
    pub fn open(source: Source) -> Result<Self, CaptureError> {
        let (opened, filtering) = match source {
            Source::Interface {
                name,
                options,
                filtering,
            } => {
                let capture = LiveCapture::open(&name, &options)?;
                let kernel = match filtering {
                    Filtering::Kernel => attach(&name, &capture),
                    Filtering::UserSpace | Filtering::Nowhere => None,
                };
                (Opened::Interface { name, capture, kernel }, filtering)
            }
            Source::File {
                origin,
                pace,
                repeat,
                filtering,
            } => {
                let file = PacedFile::open(origin, pace, repeat, thread::day_now())?;
                (Opened::File { file, pace }, filtering)
            }
        };
        Ok(Self { opened, filtering })
    }

    /// Whether there is a kernel filter that this process can't reach with the rights that it has now.
    pub fn kernel_filter_fails(&self) -> bool {
        match &self.opened {
            Opened::Interface { kernel, .. } => kernel.as_ref().is_some_and(|kernel| kernel.counters().is_err()),
            Opened::File { .. } => false,
        }
    }

    /// Starts the thread that reads it. What is wanted is looked up in `filter` at least once a batch; with
    /// [`Filtering::Nowhere`] only the signalling it wants at the start. Until [`CaptureHandle::watch`] is called, a
    /// kernel filter passes only what it can't judge.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(self, filter: Arc<ArcSwap<MediaFilter>>) -> Result<CaptureHandle, CaptureError> {
        let filter = filtered(self.filtering, filter);
        match self.opened {
            Opened::Interface {
                name,
                mut capture,
                kernel,
            } => {
                let stop = Stop::Live(capture.stop());
                let mut handle = CaptureHandle::spawn(LIVE_QUEUE, Overflow::Drop, stop, move |_, outlet| {
                    thread::run_live(capture, outlet, &filter)
                })?;
                handle.kernel = kernel;
                handle.interface = Some(name);
                Ok(handle)
            }
            Opened::File { file, pace } => {
                let stop = Stop::file();
                let mut handle = CaptureHandle::spawn(FILE_QUEUE, Overflow::Wait, stop, move |stop, outlet| {
                    thread::run_file(file, pace, outlet, &filter, stop)
                })?;
                handle.is_file = true;
                Ok(handle)
            }
        }
    }
}

/// A capture that runs. Dropping it stops it.
#[derive(Debug)]
pub struct CaptureHandle {
    batches: mpsc::Receiver<Batch>,
    used: SyncSender<Batch>,
    stats: Arc<Mutex<CaptureStats>>,
    stop: Stop,
    thread: Option<JoinHandle<CaptureEnd>>,
    end: Option<CaptureEnd>,
    kernel: Option<KernelFilter>,
    /// Frames the kernel had seen when it was last asked, and when they had become more.
    kernel_seen: Mutex<(u64, Option<Instant>)>,
    is_file: bool,
    /// The interface, where the source is one.
    interface: Option<String>,
}

impl CaptureHandle {
    /// Opens a source and starts its thread: [`OpenSource::open`] and [`OpenSource::start`].
    ///
    /// # Errors
    /// Where the source can't be opened.
    pub fn start(source: Source, filter: Arc<ArcSwap<MediaFilter>>) -> Result<Self, CaptureError> {
        OpenSource::open(source)?.start(filter)
    }

    fn spawn(
        queue: usize,
        overflow: Overflow,
        stop: Stop,
        run: impl FnOnce(&thread::FileStop, Outlet) -> CaptureEnd + Send + 'static,
    ) -> Result<Self, CaptureError> {
        let (sender, batches) = mpsc::channel(queue);
        let (used, returned) = sync_channel(queue);
        let stats = Arc::<Mutex<CaptureStats>>::default();
        let outlet = Outlet::new(overflow, sender, returned, Arc::clone(&stats));
        let file_stop = stop.for_thread();
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || run(&file_stop, outlet))
            .map_err(|error| CaptureError::Thread(format!("can't be started: {error}")))?;
        Ok(Self {
            batches,
            used,
            stats,
            stop,
            thread: Some(thread),
            end: None,
            kernel: None,
            kernel_seen: Mutex::default(),
            is_file: false,
            interface: None,
        })
    }

    /// The batches, to be received by whoever owns the event loop; later calls give a channel that has ended. Once the
    /// channel ends, [`Self::end`] says why.
    pub fn batches(&mut self) -> mpsc::Receiver<Batch> {
        std::mem::replace(&mut self.batches, mpsc::channel(1).1)
    }

    /// Gives a batch back to be filled again.
    pub fn recycle(&self, batch: Batch) {
        // With no thread left, or all batches back already, it is simply freed.
        let _ = self.used.try_send(batch.emptied());
    }

    /// Tells the kernel filter, where there is one, what to pass and what to count; the filter given to
    /// [`Self::start`] is the caller's to change. Failures are logged: the worst of them passes too much.
    pub fn watch(&self, monitored: &MediaFilter, known: &MediaFilter) {
        let Some(kernel) = &self.kernel else { return };
        if let Err(error) = kernel.set_signalling(monitored.signalling()) {
            tracing::warn!(%error, "the kernel filter can't be told of signalling");
        }
        let changed = match (monitored.ips(), known.ips()) {
            (None, _) => kernel.pass_everything(),
            (Some(monitored), known) => {
                let known = known.into_iter().flatten().map(|ip| (ip, Interest::Count));
                kernel.set_watched(known.chain(monitored.into_iter().map(|ip| (ip, Interest::Pass))))
            }
        };
        if let Err(error) = changed {
            tracing::warn!(%error, "the kernel filter can't be changed");
        }
    }

    /// Tells the kernel filter, where there is one, to count datagrams of more addresses until [`Self::watch`] is called next.
    pub fn count(&self, more: &BTreeSet<IpAddr>) {
        let counted = self.kernel.as_ref().map(|kernel| kernel.count(more));
        if let Some(Err(error)) = counted {
            tracing::warn!(%error, "the kernel filter can't count more addresses");
        }
    }

    /// Whether datagrams of known addresses that aren't passed are counted in the kernel.
    pub fn counts_in_kernel(&self) -> bool {
        self.kernel.is_some()
    }

    /// What the kernel counted of each known address; empty without a kernel filter.
    pub fn address_counts(&self) -> Vec<AddressCount> {
        self.counts(KernelFilter::address_counters)
    }

    /// The same of these addresses, as far as they are known.
    pub fn address_counts_of(&self, addresses: &BTreeSet<IpAddr>) -> Vec<AddressCount> {
        self.counts(|kernel| kernel.address_counters_of(addresses))
    }

    fn counts(
        &self,
        read: impl FnOnce(&KernelFilter) -> Result<Vec<(IpAddr, AddressCounters)>, KernelFilterError>,
    ) -> Vec<AddressCount> {
        let counts = match self.kernel.as_ref().map(read) {
            None => return Vec::new(),
            Some(Ok(counts)) => counts,
            Some(Err(error)) => {
                tracing::warn!(%error, "the kernel filter can't be asked");
                return Vec::new();
            }
        };
        let count = |(ip, counters): (IpAddr, AddressCounters)| AddressCount {
            ip,
            from: counters.from,
            to: counters.to,
        };
        counts.into_iter().map(count).collect()
    }

    /// Whether the source is a capture file.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// What was seen so far, and what became of it.
    pub fn stats(&self) -> CaptureStats {
        let mut stats = *lock(&self.stats);
        stats.carrier = self.interface.as_deref().and_then(link::carrier);
        if let Some(addressed) = self.kernel.as_ref().and_then(|kernel| kernel.addressed().ok()) {
            stats.addressed = addressed;
        }
        if let Some(counters) = self.kernel.as_ref().and_then(|kernel| kernel.counters().ok()) {
            stats.seen = counters.seen;
            stats.seen_tagged = counters.tagged;
            let mut last = lock(&self.kernel_seen);
            if last.0 != counters.seen {
                *last = (counters.seen, Some(thread::day_now()));
            }
            stats.last_frame = stats.last_frame.max(last.1);
        }
        stats
    }

    /// Ends the capture, an idle one too. What it has handed over can still be received.
    pub fn stop(&self) {
        self.stop.stop(self.thread.as_ref());
    }

    /// Waits for the thread and says how the capture ended. To be called when the batches have ended; before that, a
    /// file's thread may wait for ever for its batches to be taken.
    pub fn end(&mut self) -> CaptureEnd {
        if let Some(thread) = self.thread.take() {
            let broken = |_| CaptureEnd::Failed(CaptureError::Thread("broke down".to_owned()));
            self.end = Some(thread.join().unwrap_or_else(broken));
        }
        self.end.clone().unwrap_or(CaptureEnd::Stopped)
    }
}

impl Drop for CaptureHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

fn attach(name: &str, capture: &LiveCapture) -> Option<KernelFilter> {
    match capture.attach_kernel_filter(KERNEL_TABLE) {
        Ok(kernel) => Some(kernel),
        Err(error) => {
            tracing::warn!(interface = name, %error, "no kernel filter: all traffic comes to user space");
            None
        }
    }
}

/// The filter the thread looks into.
fn filtered(filtering: Filtering, filter: Arc<ArcSwap<MediaFilter>>) -> Arc<ArcSwap<MediaFilter>> {
    match filtering {
        Filtering::Kernel | Filtering::UserSpace => filter,
        Filtering::Nowhere => {
            let signalling = filter.load().signalling().clone();
            Arc::new(ArcSwap::from_pointee(
                MediaFilter::everything().with_signalling(signalling),
            ))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
