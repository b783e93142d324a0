//! Tags between the link layer and IP: IEEE 802.1Q and 802.1ad, and those of switch vendors that stand beside them.

use etherparse::SingleVlanHeaderSlice;

use super::Rejected;
use super::walk::{Layer, Next, Path, Step, split};

/// An 802.1Q or 802.1ad tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanTag {
    /// VLAN identifier, 0 (priority tag) to 4095.
    pub id: u16,
    /// Priority code point, 0 to 7.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
}

impl VlanTag {
    /// The tag as its tag control information writes it (IEEE 802.1Q clause 9.6).
    pub const fn from_tci(tci: u16) -> Self {
        Self {
            id: tci & 0x0fff,
            pcp: (tci >> 13) as u8,
            dei: tci & 0x1000 != 0,
        }
    }

    /// Its tag control information (IEEE 802.1Q clause 9.6).
    pub const fn to_tci(self) -> u16 {
        ((self.pcp as u16) << 13) | ((self.dei as u16) << 12) | (self.id & 0x0fff)
    }
}

/// The VLAN identifiers of a frame, outermost first; tags beyond the eighth are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VlanStack {
    len: u8,
    ids: [u16; Self::MAX],
}

impl VlanStack {
    /// Most identifiers kept.
    pub const MAX: usize = 8;

    /// That of an untagged frame.
    pub const EMPTY: Self = Self {
        len: 0,
        ids: [0; Self::MAX],
    };

    /// Adds a tag inside those already there.
    pub fn push(&mut self, id: u16) {
        if let Some(slot) = self.ids.get_mut(usize::from(self.len)) {
            *slot = id;
            self.len += 1;
        }
    }

    /// The identifiers, outermost first.
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl FromIterator<u16> for VlanStack {
    fn from_iter<T: IntoIterator<Item = u16>>(ids: T) -> Self {
        let mut stack = Self::default();
        ids.into_iter().for_each(|id| stack.push(id));
        stack
    }
}

/// An 802.1Q or 802.1ad tag after its EtherType: goes onto the stack of `path`.
#[inline]
pub(super) fn tag<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    let header = SingleVlanHeaderSlice::from_slice(bytes).map_err(|_| Rejected::Truncated)?;
    let rest = bytes.get(header.slice().len()..).unwrap_or_default();
    path.vlan.push(header.vlan_identifier().value());
    path.priority = header.priority_code_point().value();
    match header.ether_type().0 {
        length @ ..=1500 => Ok(Next::new(Layer::Llc, rest.get(..usize::from(length)).unwrap_or(rest))),
        ether_type => Ok(Next::ether_type(ether_type, rest)),
    }
}

/// Cisco metadata (EtherType 0x8909), carrying the security group tag: version, length in words, options, EtherType.
pub(super) fn cisco_metadata(bytes: &[u8]) -> Step<'_> {
    let ([_version, words], rest) = split::<2>(bytes)?;
    let options = usize::from(*words).max(1) * 4;
    ether_type_after(options, rest)
}

/// Cisco VNTag (EtherType 0x8926): four bytes.
pub(super) fn vn_tag(bytes: &[u8]) -> Step<'_> {
    ether_type_after(4, bytes)
}

/// E-TAG (IEEE 802.1BR, EtherType 0x893f): six bytes.
pub(super) fn e_tag(bytes: &[u8]) -> Step<'_> {
    ether_type_after(6, bytes)
}

/// I-TAG (IEEE 802.1ah, EtherType 0x88e7): service instance, then the customer's own Ethernet frame.
pub(super) fn i_tag(bytes: &[u8]) -> Step<'_> {
    let (_, rest) = split::<4>(bytes)?;
    Ok(Next::new(Layer::Ethernet, rest))
}

fn ether_type_after(skipped: usize, bytes: &[u8]) -> Step<'_> {
    let ([high, low], rest) = split::<2>(bytes.get(skipped..).ok_or(Rejected::Truncated)?)?;
    Ok(Next::ether_type(u16::from_be_bytes([*high, *low]), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_tag_control_information() {
        let tag = VlanTag {
            id: 4094,
            pcp: 5,
            dei: true,
        };
        assert_eq!(tag.to_tci(), 0xbffe);
        assert_eq!(VlanTag::from_tci(0xbffe), tag);
    }

    #[test]
    fn keeps_the_outermost_eight_of_too_many_tags() {
        let stack: VlanStack = (1..=10).collect();
        assert_eq!(stack.ids(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
