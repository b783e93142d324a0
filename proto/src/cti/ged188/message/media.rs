//! Where a phone's media come and go: the RTP events (protocol sheet 1.5).

use std::net::IpAddr;

use super::fixed::messages;
use crate::cti::ged188::{
    ConnectionCallId, ConnectionDeviceIdType, Floating, MediaPayloadType, MonitorId, PeripheralId, RtpDirection,
    RtpType, Tag,
};
use crate::ids::MediaAddress;

messages! {
    /// A phone's media started, one event for each direction.
    RtpStartedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        /// The RTP port that belongs to the client address.
        client_port: u32;
        direction: RtpDirection;
        rtp_type: RtpType;
        /// G.723 only.
        bit_rate: u32;
        echo_cancellation: bool;
        /// Milliseconds.
        packet_size: u32;
        payload_type: MediaPayloadType;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
    }

    /// A phone's media stopped: on hold and at the end.
    RtpStoppedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        /// The RTP port that belongs to the client address.
        client_port: u32;
        direction: RtpDirection;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
    }
}

macro_rules! media_addresses {
    ($($event:ident),*) => {
        $(impl $event {
            /// The client address with its port. With `INPUT` and `BIDIRECTIONAL` it is where the phone receives; with
            /// `OUTPUT` a hint only.
            pub fn client_address(&self) -> Option<MediaAddress> {
                let ip = address(&self.floating, Tag::CLIENT_ADDRESS, Tag::CLIENT_ADDRESS_IPV6)?;
                let port = u16::try_from(self.client_port).ok().filter(|port| *port != 0);
                Some(MediaAddress { ip, port })
            }

            /// Where the phone sends its media to, from version 14.
            pub fn sending_address(&self) -> Option<MediaAddress> {
                let ip = address(&self.floating, Tag::SENDING_ADDRESS, Tag::SENDING_ADDRESS_IPV6)?;
                let port = self.floating.port(Tag::SENDING_PORT).filter(|port| *port != 0);
                Some(MediaAddress { ip, port })
            }
        })*
    };
}

media_addresses!(RtpStartedEvent, RtpStoppedEvent);

/// The address as text, or as bytes of its own IPv6 field (versions 14 to 18). All zeros is none.
fn address(floating: &Floating, text: Tag, ipv6: Tag) -> Option<IpAddr> {
    [text, ipv6]
        .into_iter()
        .filter_map(|tag| floating.address(tag))
        .find(|address| !address.is_unspecified())
}
