//! Reading numbers off the front of a packet's content, knowing how many bytes would have been needed.

/// The first `N` bytes and the rest, or `N` where there are fewer.
pub(super) fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), usize> {
    bytes.split_first_chunk().ok_or(N)
}

/// As many words as asked for; those that aren't there are 0.
pub(super) fn words<const N: usize>(bytes: &[[u8; 4]]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// The first four bytes as a number, and the rest.
pub(super) fn word(bytes: &[u8]) -> Result<(u32, &[u8]), usize> {
    let (word, rest) = split::<4>(bytes)?;
    Ok((u32::from_be_bytes(*word), rest))
}
