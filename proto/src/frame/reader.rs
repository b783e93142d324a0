//! The reader of frames: a walk through the headers, and once more through what fragments were put together to.

use super::fragment::{Fragment, FragmentCounters, FrameLimits, Reassembly};
use super::walk::{Next, Path, Stop, Walk};
use super::{Carried, Datagram, Frame, Headers, Rejected, tcp};

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
        let next = Next::new(frame.link_type.first_layer()?, frame.bytes);
        let mut walk = Walk::on(Path::of(frame), next);
        match walk.run() {
            Ok(datagram) => Ok(datagram),
            Err(Stop::Rejected(why)) => Err(why),
            Err(Stop::Tcp(_)) => Err(Rejected::NotUdp),
            Err(Stop::Fragment(payload)) => {
                let path = &walk.path;
                self.assemble(&Fragment { path, payload })
            }
        }
    }

    /// The UDP datagram in `frame`, as [`Self::read`] finds it, or the TCP segment. Fragmented TCP isn't put together:
    /// no stack sends it.
    ///
    /// # Errors
    /// As of [`Self::read`].
    #[inline]
    pub fn read_any<'a>(&'a mut self, frame: &Frame<'a>) -> Result<Carried<'a>, Rejected> {
        let next = Next::new(frame.link_type.first_layer()?, frame.bytes);
        let mut walk = Walk::on(Path::of(frame), next);
        let ended = walk.run();
        match ended {
            Ok(datagram) => Ok(Carried::Datagram(datagram)),
            Err(stop) => self.stopped(&walk.path, stop),
        }
    }

    /// What `frame` carries, as [`Self::read_any`] finds it, and the headers on the way there, however far it went. Of a
    /// fragment: those of its own frame.
    pub fn read_headers<'a>(&'a mut self, frame: &Frame<'a>) -> (Headers<'a>, Result<Carried<'a>, Rejected>) {
        let path = Path::of(frame);
        let first = match frame.link_type.first_layer() {
            Ok(first) => first,
            Err(why) => return (Headers::of(&path, &[]), Err(why)),
        };
        let mut walk = Walk::on(path, Next::new(first, frame.bytes));
        let ended = walk.run();
        let headers = Headers::of(&walk.path, walk.ethernet);
        let carried = match ended {
            Ok(datagram) => Ok(Carried::Datagram(datagram)),
            Err(stop) => self.stopped(&walk.path, stop),
        };
        (headers, carried)
    }

    /// What a frame without a datagram carries.
    #[inline]
    fn stopped<'a>(&'a mut self, path: &Path, stop: Stop<'a>) -> Result<Carried<'a>, Rejected> {
        match stop {
            Stop::Rejected(why) => Err(why),
            Stop::Tcp(bytes) => tcp::segment(bytes, path)
                .map(Carried::Segment)
                .map_err(|why| path.blame(why)),
            Stop::Fragment(payload) => self.assemble(&Fragment { path, payload }).map(Carried::Datagram),
        }
    }

    #[cold]
    fn assemble(&mut self, fragment: &Fragment<'_>) -> Result<Datagram<'_>, Rejected> {
        let Self { reassembly, assembled } = self;
        let [outer, inner] = assembled;
        let mut walk = reassembly.add(fragment, outer)?;
        let fragment = match walk.run() {
            Ok(datagram) => return Ok(datagram),
            Err(Stop::Rejected(why)) => return Err(why),
            Err(Stop::Tcp(_)) => return Err(Rejected::NotUdp),
            Err(Stop::Fragment(payload)) => Fragment {
                path: &walk.path,
                payload,
            },
        };
        reassembly.add(&fragment, inner)?.run().map_err(|stop| match stop {
            Stop::Rejected(why) => why,
            Stop::Tcp(_) => Rejected::NotUdp,
            Stop::Fragment(..) => Rejected::TooDeep,
        })
    }

    /// What became of the fragments seen so far.
    pub const fn fragments(&self) -> FragmentCounters {
        self.reassembly.counters()
    }
}
