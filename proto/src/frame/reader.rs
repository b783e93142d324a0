//! The reader of frames: a walk through the headers, and once more through what fragments were put together to.

use super::fragment::{FragmentCounters, FrameLimits, Reassembly};
use super::walk::{Found, Walk};
use super::{Datagram, Frame, Rejected};

/// Reads frames; keeps fragments until their datagrams are whole, within [`FrameLimits`].
#[derive(Debug, Default)]
pub struct FrameReader {
    reassembly: Reassembly,
    /// Where a datagram and, if that was a tunnel's, the fragmented one in it are put together.
    assembled: [Vec<u8>; 2],
}

impl FrameReader {
    /// A reader that keeps fragments within `limits`.
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            reassembly: Reassembly::new(limits),
            assembled: Default::default(),
        }
    }

    /// The UDP datagram in `frame`, or the one that its fragment completes.
    ///
    /// # Errors
    /// [`Rejected`] where there is none to hand back: a reason to count, not a failure.
    #[inline]
    pub fn read<'a>(&'a mut self, frame: &Frame<'a>) -> Result<Datagram<'a>, Rejected> {
        match Walk::of(frame)?.run()? {
            Found::Datagram(datagram) => Ok(datagram),
            Found::Fragment(fragment) => {
                let Self { reassembly, assembled } = self;
                let [outer, inner] = assembled;
                let whole = reassembly.add(&fragment, outer)?;
                match whole.run()? {
                    Found::Datagram(datagram) => Ok(datagram),
                    Found::Fragment(fragment) => match reassembly.add(&fragment, inner)?.run()? {
                        Found::Datagram(datagram) => Ok(datagram),
                        Found::Fragment(_) => Err(Rejected::TooDeep),
                    },
                }
            }
        }
    }

    /// What became of the fragments seen so far.
    pub const fn fragments(&self) -> FragmentCounters {
        self.reassembly.counters()
    }
}
