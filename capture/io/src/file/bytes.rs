//! Numbers in the byte order of the machine that wrote the file.

/// The byte order a capture file (or a section of it) was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    #[inline]
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The 16-bit number at `offset`; 0 beyond the end.
    #[inline]
    pub(super) fn u16_at(self, bytes: &[u8], offset: usize) -> u16 {
        self.u16(array_at(bytes, offset))
    }

    /// The 32-bit number at `offset`; 0 beyond the end.
    #[inline]
    pub(super) fn u32_at(self, bytes: &[u8], offset: usize) -> u32 {
        self.u32(array_at(bytes, offset))
    }

    /// The signed 64-bit number at `offset`; 0 beyond the end.
    pub(super) fn i64_at(self, bytes: &[u8], offset: usize) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(array_at(bytes, offset)),
            Self::Big => i64::from_be_bytes(array_at(bytes, offset)),
        }
    }
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// The bytes as hexadecimal digits, for messages.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("0x");
    for byte in bytes {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
