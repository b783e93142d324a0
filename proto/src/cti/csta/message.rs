//! One document from a switch.

use super::error::MessageError;
use super::event::{Event, MonitorCrossRefId};
use super::response::{Response, SnapshotEntry, SystemStatus, cross_ref_in, entries_in};
use crate::cti::xml::{self, Element};

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Something happened to a monitored device.
    Event {
        /// Under which monitor it is told.
        cross_ref: MonitorCrossRefId,
        /// What happened.
        event: Event,
    },
    /// The answer to a request of ours.
    Response(Response),
    /// `SystemStatus`: the switch tells its state and wants `SystemStatusResponse`.
    SystemStatus(SystemStatus),
    /// `MonitorStop`: the switch ends a monitor.
    MonitorStop(MonitorCrossRefId),
    /// `SnapshotDeviceData`: a part of a snapshot that was too long for one answer.
    SnapshotSegment {
        /// Names the snapshot (`serviceCrossRefID`).
        cross_ref: String,
        /// Its next connections.
        entries: Vec<SnapshotEntry>,
        /// Whether no more follow.
        last: bool,
    },
    /// `ApplicationSessionTerminated`: the switch ends the session (ECMA-354).
    SessionTerminated,
    /// Something else, by its name.
    Unknown(String),
}

impl Message {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it: not XML, or without an element it can't do without.
    pub fn parse(document: &[u8]) -> Result<Self, MessageError> {
        Self::of(&xml::parse(document)?)
    }

    fn of(element: &Element) -> Result<Self, MessageError> {
        if let Some(event) = Event::of(element)? {
            let cross_ref = cross_ref_in(element);
            return Ok(Self::Event {
                cross_ref: cross_ref.ok_or_else(|| MessageError::missing(element, "monitorCrossRefID"))?,
                event,
            });
        }
        if let Some(response) = Response::of(element)? {
            return Ok(Self::Response(response));
        }
        Ok(match element.name.as_str() {
            "SystemStatus" => Self::SystemStatus(SystemStatus::of(element)),
            "MonitorStop" => {
                let cross_ref = cross_ref_in(element);
                Self::MonitorStop(cross_ref.ok_or_else(|| MessageError::missing(element, "monitorCrossRefID"))?)
            }
            "SnapshotDeviceData" => {
                let cross_ref = element.child_text("serviceCrossRefID");
                Self::SnapshotSegment {
                    cross_ref: cross_ref
                        .ok_or_else(|| MessageError::missing(element, "serviceCrossRefID"))?
                        .to_owned(),
                    entries: entries_in(element),
                    last: element.child_text("lastSegment").is_none_or(|last| last == "true"),
                }
            }
            "ApplicationSessionTerminated" => Self::SessionTerminated,
            name => Self::Unknown(name.chars().take(64).collect()),
        })
    }
}
