//! Who may have a session on whom: role, team, exclusions, hours and purpose. What depends on other sessions is the
//! engine's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use silentmon_proto::ids::{AgentId, Extension, SupervisorName, TeamName};

use super::{Means, Policy, Principal, Refusal, Role, Rule, WeekMinute, Who};
use crate::directory::{Agent, AgentDirectory};

/// Names that have another role than their certificates say. A password user's role is that of the users' file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Quality management.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<SupervisorName>,
    /// Administrators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub administrator: Vec<SupervisorName>,
}

/// What administrators may do besides seeing how things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Administrators {
    /// Nothing.
    #[default]
    See,
    /// Listen, as supervisors of every team.
    Listen,
}

/// Which teams quality management hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"all\" or a list of teams")]
pub enum QualityTeams {
    /// Every one; agents without a team too.
    All(AllTeams),
    /// These.
    Listed(BTreeSet<TeamName>),
}

/// The word for every team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllTeams {
    /// Every team.
    All,
}

impl Default for QualityTeams {
    /// None.
    fn default() -> Self {
        Self::Listed(BTreeSet::new())
    }
}

/// Whom nobody hears.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Excluded {
    /// Agents.
    pub agents: BTreeSet<AgentId>,
    /// Devices or extensions, whoever uses them.
    pub devices: BTreeSet<Extension>,
}

/// Which agents a supervisor is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryView {
    /// Those of the teams that he hears.
    #[default]
    Own,
    /// All.
    All,
}

impl Policy {
    /// What somebody may be here: the role he proved, unless `[roles]` gives his name another.
    pub fn role_of(&self, principal: &Principal) -> Role {
        let named = |names: &Vec<SupervisorName>| names.contains(&principal.name);
        match principal.role {
            // The role of who signs in, by password or by an identity provider, is the operator's word already.
            role if principal.means != Means::Certificate => role,
            Role::Supervisor if named(&self.roles.quality) => Role::Quality,
            Role::Supervisor if named(&self.roles.administrator) => Role::Administrator,
            role => role,
        }
    }

    /// Whether `principal` may have a session on `agent`, whatever the purpose and whoever else listens. `local`: the
    /// minute of the week where the hours are said.
    ///
    /// # Errors
    /// The first rule that stands against it.
    pub fn authorise(
        &self,
        principal: &Principal,
        agent: &AgentId,
        directory: &AgentDirectory,
        local: Option<WeekMinute>,
    ) -> Result<(), Refusal> {
        let Some(known) = directory.agent(agent) else {
            let text = format!("Agent {agent} is not known here: no CTI event has named him yet.");
            return Err(Rule::UnknownAgent.refuses(text));
        };
        self.admit_role(principal, agent, known, directory)?;
        self.admit_agent(agent, directory)?;
        self.admit_hour(local)
    }

    /// Whether an agent may be heard by anyone, as far as he and his phones are concerned.
    ///
    /// # Errors
    /// `SM-1001` where he or his phone is excluded.
    pub fn admit_agent(&self, agent: &AgentId, directory: &AgentDirectory) -> Result<(), Refusal> {
        if self.excluded.agents.contains(agent) {
            let text = format!("You may not listen to agent {agent}: he is excluded from listening.");
            return Err(Rule::ExcludedAgents.refuses(text));
        }
        if self.excluded.devices.is_empty() {
            return Ok(());
        }
        let mut devices = directory.devices(agent).into_iter();
        let Some(device) = devices.find(|device| self.excluded.devices.contains(device)) else {
            return Ok(());
        };
        let text = format!("You may not listen to agent {agent} at {device}: that phone is excluded from listening.");
        Err(Rule::ExcludedDevices.refuses(text))
    }

    /// Whether anyone may listen now.
    ///
    /// # Errors
    /// `SM-1003` outside the hours.
    pub fn admit_hour(&self, local: Option<WeekMinute>) -> Result<(), Refusal> {
        if self.hours.allow(local) {
            return Ok(());
        }
        let now = local.map_or_else(
            || "the local time is not known".to_owned(),
            |local| format!("it is {local}"),
        );
        let text = format!("Listening is allowed only within {}; {now}.", self.hours);
        Err(Rule::Hours.refuses(text))
    }

    /// Whether a session may be for this purpose.
    ///
    /// # Errors
    /// `SM-1003` where one of a list is wanted and none of it was named.
    pub fn admit_purpose(&self, purpose: Option<&str>) -> Result<(), Refusal> {
        if self.purposes.is_empty() || purpose.is_some_and(|purpose| self.purposes.iter().any(|known| known == purpose))
        {
            return Ok(());
        }
        let found = purpose.map_or_else(
            || "none was named".to_owned(),
            |purpose| format!("\"{purpose}\" is none of them"),
        );
        let known = self.purposes.join(", ");
        Err(Rule::Purposes.refuses(format!("A purpose is required ({known}); {found}.")))
    }

    /// Whether somebody is shown an agent, and what is known of his calls and hops.
    pub fn shows(&self, principal: &Principal, agent: &AgentId, directory: &AgentDirectory) -> bool {
        let everyone = self.directory == DirectoryView::All || self.role_of(principal) == Role::Administrator;
        everyone
            || directory
                .agent(agent)
                .is_some_and(|known| self.admit_role(principal, agent, known, directory).is_ok())
    }

    fn admit_role(
        &self,
        principal: &Principal,
        agent: &AgentId,
        known: &Agent,
        directory: &AgentDirectory,
    ) -> Result<(), Refusal> {
        let refused = |rule: Rule, why: &str| {
            let team = directory
                .team(agent, known)
                .map_or_else(|| "no team".to_owned(), |team| format!("team \"{team}\""));
            Err(rule.refuses(format!("You may not listen to agent {agent} ({team}){why}.")))
        };
        match self.role_of(principal) {
            Role::Administrator if self.administrators == Administrators::Listen => Ok(()),
            Role::Administrator => refused(Rule::Administrators, ": administrators see, and don't listen here"),
            Role::Quality => match &self.quality_teams {
                QualityTeams::All(AllTeams::All) => Ok(()),
                QualityTeams::Listed(teams) if directory.teams(agent, known).any(|team| teams.contains(team)) => Ok(()),
                QualityTeams::Listed(_) => refused(Rule::QualityTeams, ": not a team of the role quality"),
            },
            Role::Supervisor if self.who == Who::AnySupervisor => Ok(()),
            Role::Supervisor if self.leads_team_of(&principal.name, agent, known, directory) => Ok(()),
            Role::Supervisor => refused(Rule::Teams, ""),
        }
    }

    /// By `[teams]`, or because the CTI source flags him as supervisor of a team of the agent's.
    fn leads_team_of(
        &self,
        supervisor: &SupervisorName,
        agent: &AgentId,
        known: &Agent,
        directory: &AgentDirectory,
    ) -> bool {
        let listed = |team| self.teams.get(team).is_some_and(|leaders| leaders.contains(supervisor));
        let as_agent = self
            .supervisors
            .get(supervisor)
            .cloned()
            .unwrap_or_else(|| AgentId::new(supervisor.as_str()));
        directory.teams(agent, known).any(listed) || directory.supervises(&as_agent, agent, known)
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::cti::{AgentState, AgentUpdate, CtiEvent, TeamMember, TeamOperation, TeamUpdate};
    use silentmon_proto::reason::Code;
    use silentmon_proto::time::Instant;

    use super::*;
    use crate::policy::Disclosure;

    fn policy() -> Policy {
        Policy {
            teams: [("claims".into(), vec!["anna".into()])].into(),
            ..Policy::new(Disclosure::Never)
        }
    }

    fn principal(name: &str, role: Role) -> Principal {
        Principal {
            name: name.into(),
            role,
            from: [10, 1, 9, 1].into(),
            means: Means::Certificate,
        }
    }

    /// Agent 4711 of team claims at 3001, agent 4712 of team sales at 3002, agent 4713 of none.
    fn directory() -> AgentDirectory {
        let mut directory = AgentDirectory::default();
        for (agent, team, extension) in [
            ("4711", Some("claims"), "3001"),
            ("4712", Some("sales"), "3002"),
            ("4713", None, "3003"),
        ] {
            let update = AgentUpdate {
                team: team.map(Into::into),
                extension: Some(extension.into()),
                ..AgentUpdate::new(agent, AgentState::Talking)
            };
            directory.handle_event(&CtiEvent::from(update), Instant::EPOCH);
        }
        directory
    }

    type Change<'a> = &'a dyn Fn(&mut Policy);

    /// Who is refused by which rule: agents 4711, 4712, 4713.
    fn refusals(policy: &Policy, who: &Principal) -> [Option<Rule>; 3] {
        let directory = directory();
        ["4711", "4712", "4713"].map(|agent| {
            let admitted = policy.authorise(who, &agent.into(), &directory, None);
            admitted.err().map(|refusal| refusal.rule)
        })
    }

    #[test]
    fn each_role_hears_what_policy_gives_it() {
        let open = |policy: &mut Policy| policy.who = Who::AnySupervisor;
        let quality = |policy: &mut Policy| policy.quality_teams = QualityTeams::Listed(["sales".into()].into());
        let all = |policy: &mut Policy| policy.quality_teams = QualityTeams::All(AllTeams::All);
        let listening = |policy: &mut Policy| policy.administrators = Administrators::Listen;
        let nothing = |_: &mut Policy| {};
        let (team, admin, teams) = (Some(Rule::Teams), Some(Rule::Administrators), Some(Rule::QualityTeams));
        let cases: [(&str, Role, Change<'_>, [Option<Rule>; 3]); 9] = [
            ("anna", Role::Supervisor, &nothing, [None, team, team]),
            ("bert", Role::Supervisor, &nothing, [team; 3]),
            ("bert", Role::Supervisor, &open, [None; 3]),
            ("nina", Role::Quality, &nothing, [teams; 3]),
            ("nina", Role::Quality, &quality, [teams, None, teams]),
            ("nina", Role::Quality, &all, [None; 3]),
            ("root", Role::Administrator, &nothing, [admin; 3]),
            ("root", Role::Administrator, &open, [admin; 3]),
            ("root", Role::Administrator, &listening, [None; 3]),
        ];
        for (name, role, change, expected) in cases {
            let mut policy = policy();
            change(&mut policy);
            assert_eq!(refusals(&policy, &principal(name, role)), expected, "{name} {role}");
        }
    }

    #[test]
    fn a_role_in_the_configuration_stands_above_a_supervisors_certificate_only() {
        let policy = Policy {
            roles: Roles {
                quality: vec!["anna".into()],
                administrator: vec!["bert".into()],
            },
            ..policy()
        };
        let role = |name, role| policy.role_of(&principal(name, role));
        assert_eq!(role("anna", Role::Supervisor), Role::Quality);
        assert_eq!(role("bert", Role::Supervisor), Role::Administrator);
        assert_eq!(role("anna", Role::Administrator), Role::Administrator);
        assert_eq!(role("carla", Role::Supervisor), Role::Supervisor);
    }

    #[test]
    fn a_refusal_names_team_and_rule() {
        let refusal = policy()
            .authorise(&principal("anna", Role::Supervisor), &"4712".into(), &directory(), None)
            .expect_err("another team");
        assert_eq!(refusal.reason.code, Code::NotAuthorised);
        assert!(refusal.reason.text.contains("(team \"sales\")"), "{}", refusal.reason);
        assert_eq!(refusal.reason.evidence.get("rule"), Some("policy.who"));
    }

    #[test]
    fn an_agent_nobody_spoke_of_is_refused_by_his_own_code() {
        let refusal = policy()
            .authorise(&principal("anna", Role::Supervisor), &"9".into(), &directory(), None)
            .expect_err("unknown");
        assert_eq!(refusal.reason.code, Code::AgentNotSignedIn);
    }

    #[test]
    fn nobody_hears_excluded_agents_and_phones() {
        let mut policy = Policy {
            who: Who::AnySupervisor,
            administrators: Administrators::Listen,
            ..policy()
        };
        policy.excluded.agents.insert("4711".into());
        policy.excluded.devices.insert("3002".into());
        for role in [Role::Supervisor, Role::Administrator] {
            let expected = [Some(Rule::ExcludedAgents), Some(Rule::ExcludedDevices), None];
            assert_eq!(refusals(&policy, &principal("anna", role)), expected, "{role}");
        }
    }

    #[test]
    fn outside_the_hours_nobody_listens() {
        let policy = Policy {
            hours: vec!["Mon-Fri 08:00-18:00".parse().expect("a window")].into(),
            ..policy()
        };
        let at = |local| {
            let anna = principal("anna", Role::Supervisor);
            policy.authorise(&anna, &"4711".into(), &directory(), local)
        };
        assert_eq!(at(WeekMinute::new(0, 9, 0)), Ok(()));
        let refusal = at(WeekMinute::new(6, 9, 0)).expect_err("Sunday");
        assert_eq!(refusal.reason.code, Code::ExcludedByPolicy);
        let text = "Listening is allowed only within Mon-Fri 08:00-18:00; it is Sun 09:00.";
        assert_eq!(refusal.reason.text, text);
        assert!(at(None).is_err(), "an unknown hour is none that is allowed");
    }

    #[test]
    fn a_purpose_is_one_of_the_list_where_there_is_one() {
        let listed = Policy {
            purposes: vec!["coaching".to_owned(), "complaint".to_owned()],
            ..policy()
        };
        assert_eq!(policy().admit_purpose(None), Ok(()));
        assert_eq!(listed.admit_purpose(Some("coaching")), Ok(()));
        for (purpose, found) in [
            (None, "none was named"),
            (Some("curiosity"), "\"curiosity\" is none of them"),
        ] {
            let refusal = listed.admit_purpose(purpose).expect_err("refused");
            let text = format!("A purpose is required (coaching, complaint); {found}.");
            assert_eq!(
                (refusal.reason.code, refusal.reason.text),
                (Code::ExcludedByPolicy, text)
            );
        }
    }

    #[test]
    fn a_supervisor_is_shown_the_agents_of_his_teams_and_an_administrator_all() {
        let directory = directory();
        let shown = |policy: &Policy, name, role| {
            ["4711", "4712", "4713"].map(|agent| policy.shows(&principal(name, role), &agent.into(), &directory))
        };
        assert_eq!(shown(&policy(), "anna", Role::Supervisor), [true, false, false]);
        assert_eq!(shown(&policy(), "bert", Role::Supervisor), [false; 3]);
        assert_eq!(shown(&policy(), "root", Role::Administrator), [true; 3]);
        let all = Policy {
            directory: DirectoryView::All,
            ..policy()
        };
        assert_eq!(shown(&all, "bert", Role::Supervisor), [true; 3]);
    }

    #[test]
    fn a_supervisor_whom_the_cti_source_knows_hears_his_team_under_whatever_name() {
        let mut directory = directory();
        let team = TeamUpdate {
            team: "claims".into(),
            operation: TeamOperation::Replace,
            members: vec![TeamMember {
                agent: "9001".into(),
                supervisor: true,
            }],
        };
        directory.handle_event(&team.into(), Instant::EPOCH);
        let may = |policy: &Policy, name| {
            let who = principal(name, Role::Supervisor);
            policy.authorise(&who, &"4711".into(), &directory, None).is_ok()
        };
        assert!(may(&policy(), "9001"));
        assert!(!may(&policy(), "carla"));
        let mapped = Policy {
            supervisors: [("carla".into(), "9001".into())].into(),
            ..policy()
        };
        assert!(may(&mapped, "carla"));
    }
}
