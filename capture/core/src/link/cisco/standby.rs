//! Active and standby side from version 24: taking over, and handing over for maintenance (protocol sheet 1.2).

use std::time::Duration;

use silentmon_proto::cti::ged188::{
    ActiveMaintenanceEvent, ActiveMaintenanceReq, ActiveMaintenanceResp, StoppingRequestsToThisSideInd,
};
use silentmon_proto::time::Instant;
use tracing::info;

use super::CiscoLink;
use super::side::Role;

/// How long the standby side may take to take over before the link counts as down.
const HANDOVER: Duration = Duration::from_secs(10);

impl CiscoLink {
    /// The standby side took over.
    pub(super) fn took_over(&mut self, index: usize, now: Instant) {
        for side in &mut self.sides {
            if side.role() == Some(Role::Active) {
                side.set_role(Role::Leaving);
            }
        }
        if let Some(side) = self.sides.get_mut(index) {
            info!(link = %self.settings.link, side = side.name(), "the standby side took over");
            side.set_role(Role::Active);
        }
        self.activated(index, now);
    }

    /// The active side may hand over where the other one is there to take over.
    pub(super) fn answer_maintenance(&mut self, index: usize, request: &ActiveMaintenanceReq) {
        let standby = Some(Role::Standby);
        let accepted = (0..self.sides.len()).any(|other| other != index && self.role(other) == standby);
        let answer = ActiveMaintenanceResp {
            invoke_id: request.invoke_id,
            accepted,
            ..ActiveMaintenanceResp::default()
        };
        if let Some(side) = self.sides.get_mut(index) {
            info!(link = %self.settings.link, side = side.name(), accepted, "asked whether maintenance may begin");
            side.send(&answer.into());
        }
    }

    pub(super) fn handle_maintenance(&mut self, index: usize, event: &ActiveMaintenanceEvent, now: Instant) {
        if !event.proceed || self.role(index) != Some(Role::Active) {
            return;
        }
        self.handover_until = Some(now + HANDOVER);
        if let Some(side) = self.sides.get_mut(index) {
            side.set_role(Role::Leaving);
        }
    }

    /// A side that is active no longer is told so once it has answered everything.
    pub(super) fn leave_sides(&mut self) {
        if self.requests.is_outstanding() {
            return;
        }
        for side in &mut self.sides {
            if side.role() == Some(Role::Leaving) {
                side.send(&StoppingRequestsToThisSideInd::default().into());
                side.set_role(Role::Standby);
            }
        }
    }
}
