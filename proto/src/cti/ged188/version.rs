//! The protocol version of a session and what depends on it throughout (protocol sheet 1.1).

use super::wire::number;

number! {
    /// Protocol version, the same for client and server throughout a session.
    ProtocolVersion: u32 {}
}

impl ProtocolVersion {
    /// The lowest version whose RTP events are documented (ICM 7.0).
    pub const LOWEST: Self = Self(9);
    /// The highest version known (release 15.0).
    pub const HIGHEST: Self = Self(25);
    /// DepartmentID in fixed parts, IPv6 addresses as text (release 10.5).
    pub const DEPARTMENTS: Self = Self(19);
    /// Tags and field lengths of two bytes (release 11.5).
    pub const WIDE_TAGS: Self = Self(20);
    /// Active and standby sessions (release 12.6).
    pub const ACTIVE_STANDBY: Self = Self(24);
    /// The order in which a client tries versions when a server refuses one (status `INVALID_VERSION`).
    pub const LADDER: [Self; 10] = [
        Self(24),
        Self(23),
        Self(22),
        Self(21),
        Self(20),
        Self(19),
        Self(16),
        Self(15),
        Self(14),
        Self(13),
    ];

    /// Bytes of a floating field's tag, and of its length.
    pub const fn tag_width(self) -> usize {
        if self.0 < Self::WIDE_TAGS.0 { 1 } else { 2 }
    }

    /// The next lower version worth trying; absent at the bottom of the ladder.
    pub fn next_lower(self) -> Option<Self> {
        Self::LADDER.into_iter().find(|version| *version < self)
    }
}
