//! Labels and sessions of provider networks: MPLS (RFC 3032), pseudowires in it (RFC 4448) and PPPoE (RFC 2516).
//!
//! An MPLS stack doesn't say what it carries; the bytes after it have to tell.

use super::walk::{Layer, Next, Path, Step, split};
use super::{Rejected, Tunnel};

/// The rest of an MPLS label stack.
pub(super) fn mpls<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    path.tunnel = Some(Tunnel::Mpls);
    carried_by_mpls(label_stack(bytes)?)
}

/// Most labels in a stack; real ones have up to about six.
const MAX_LABELS: usize = 16;

/// The bytes after the bottom of the stack.
fn label_stack(bytes: &[u8]) -> Result<&[u8], Rejected> {
    let mut rest = bytes;
    for _ in 0..MAX_LABELS {
        let ([_, _, class_and_bottom, _], after) = split::<4>(rest)?;
        rest = after;
        if class_and_bottom & 1 == 1 {
            return Ok(rest);
        }
    }
    Err(Rejected::Malformed)
}

/// IP tells itself by its version, a control word by a first nibble of zero (RFC 4385); Ethernet without one may look like
/// either, so a known EtherType decides.
fn carried_by_mpls(bytes: &[u8]) -> Step<'_> {
    let first = bytes.first().ok_or(Rejected::Truncated)?;
    if is_ip(bytes) {
        return super::ip::any(bytes);
    }
    if first >> 4 == 0
        && let Some(after_control_word) = bytes.get(4..)
        && is_ethernet(after_control_word)
    {
        return Ok(Next::new(Layer::Ethernet, after_control_word));
    }
    if is_ethernet(bytes) {
        return Ok(Next::new(Layer::Ethernet, bytes));
    }
    super::ip::any(bytes)
}

/// Whether an IP header fits the bytes. Its length decides where they could be Ethernet as well; a capture may have cut
/// them, so that a length beyond the end alone is nothing to hold against it.
fn is_ip(bytes: &[u8]) -> bool {
    declared_ip_length(bytes).is_some_and(|length| length <= bytes.len() || !is_ethernet(bytes))
}

/// Length in bytes of the IP packet that the bytes begin with, by its own header.
fn declared_ip_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [first @ 0x45..=0x4f, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            (length >= usize::from(first & 0x0f) * 4).then_some(length)
        }
        [0x60..=0x6f, _, _, _, high, low, ..] => Some(40 + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Whether a UDP payload is an MPLS stack (RFC 7510). RTP sent to the same port would pass for labels, so what they carry
/// must fill the payload to the byte or be Ethernet.
pub(super) fn is_mpls_in_udp(payload: &[u8], truncated: bool) -> bool {
    let Ok(carried) = label_stack(payload) else {
        return false;
    };
    let fills = |length: usize| length == carried.len() || (truncated && length > carried.len());
    declared_ip_length(carried).is_some_and(fills)
        || is_ethernet(carried)
        || carried.first().is_some_and(|first| first >> 4 == 0) && carried.get(4..).is_some_and(is_ethernet)
}

/// Whether the bytes are an Ethernet frame of a kind that is read here.
fn is_ethernet(bytes: &[u8]) -> bool {
    let Some([high, low]) = bytes.get(12..14) else {
        return false;
    };
    matches!(
        u16::from_be_bytes([*high, *low]),
        0x0800 | 0x0806 | 0x86dd | 0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x8847 | 0x8848 | 0x8864 | 0x8909
    )
}

/// A PPPoE session after its EtherType (0x8864).
pub(super) fn pppoe<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    const VERSION_1_TYPE_1: u8 = 0x11;
    const SESSION: u8 = 0x00;
    let ([version_type, code, _, _, high, low], rest) = split::<6>(bytes)?;
    if (*version_type, *code) != (VERSION_1_TYPE_1, SESSION) {
        return Err(Rejected::Malformed);
    }
    path.tunnel = Some(Tunnel::Pppoe);
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    Ok(Next::new(Layer::Ppp, rest.get(..length).unwrap_or(rest)))
}
