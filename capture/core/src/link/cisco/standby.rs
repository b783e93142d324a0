//! Active and standby side from version 24: taking over, and handing over for maintenance (protocol sheet 1.2).

use std::time::Duration;

use silentmon_proto::cti::ged188::{
    ActiveMaintenanceEvent, ActiveMaintenanceReq, ActiveMaintenanceResp, SessionType, StoppingRequestsToThisSideInd,
};
use silentmon_proto::time::Instant;
use tracing::info;

use super::CiscoLink;
use super::side::Role;

/// How long the standby side may take to take over before the link counts as down.
const HANDOVER: Duration = Duration::from_secs(10);

impl CiscoLink {
    /// Events come from one side only: the one that says so, else the one that was first.
    pub(super) fn settle_roles(&mut self, opened: usize, session_type: SessionType) {
        let active = Some(Role::Active);
        let is_other_active = (0..self.sides.len()).any(|other| other != opened && self.role(other) == active);
        if self.role(opened) != active || !is_other_active {
            return;
        }
        if session_type == SessionType::ACTIVE {
            self.make_active(opened);
        } else if let Some(side) = self.sides.get_mut(opened) {
            side.set_role(Role::Standby);
        }
    }

    fn make_active(&mut self, index: usize) {
        for (other, side) in self.sides.iter_mut().enumerate() {
            if other == index {
                side.set_role(Role::Active);
            } else if side.role() == Some(Role::Active) {
                side.set_role(Role::Leaving);
            }
        }
    }

    /// The standby side took over.
    pub(super) fn took_over(&mut self, index: usize, now: Instant) {
        if self.role(index).is_none() {
            return;
        }
        self.make_active(index);
        info!(link = %self.settings.link, side = index, "the standby side took over");
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
