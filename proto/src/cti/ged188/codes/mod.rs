//! Codes and masks of GED-188 (protocol sheet 1.3 to 1.5): numbers with names, unknown values survive.

mod agent;
mod call;
mod device;
mod mask;
mod media;
mod session;
mod status;

pub use agent::{AgentAvailabilityStatus, AgentFlags, AgentState, CallDirection, ConfigOperation};
pub use call::{CallType, Disposition, EventCause, LineType, LocalConnectionState, is_acd};
pub use device::{ConnectionDeviceIdType, DeviceIdType, PeripheralType, SnapshotDeviceType};
pub use mask::{AgentStateMask, CallMessageMask, ConfigMessageMask, PgStatus, ServiceMask};
pub use media::{MediaPayloadType, RtpDirection, RtpType};
pub use session::{
    ClientEventState, MessageDistribution, SessionType, SilentMonitorStatus, SupervisoryAction, SystemEventId,
};
pub use status::{ControlFailureCode, Reaction, Status};
