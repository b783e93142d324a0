//! Ids of GED-188, one type each, so that two kinds of number can't be mixed.

use super::wire::number;

number! {
    /// Pairs a confirmation with its request.
    InvokeId: u32 {}
}

number! {
    /// A monitor started by this client; 0 with All Events.
    MonitorId: u32 {}
}

number! {
    /// A peripheral (one ACD or PBX) of the installation.
    PeripheralId: u32 {}
}

number! {
    /// A call of one peripheral.
    ConnectionCallId: u32 {}
}

number! {
    /// A client's session at the CTI Server; 0 for none.
    SessionId: u32 {}
}

number! {
    /// The unique key of an agent (his skill target id).
    IcmAgentId: u32 {}
}

number! {
    /// An agent team.
    TeamId: u32 {}
}

number! {
    /// A media routing domain.
    MrdId: u32 {
        VOICE = 1,
    }
}
