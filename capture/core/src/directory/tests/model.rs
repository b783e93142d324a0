//! The directory against a simple model: many agents' histories, interleaved at random, told twice, in other words and in
//! another order than they happened.
//!
//! A history is a row of moments. A moment is what the source tells at about the same time, in any order; the model knows
//! what the agent's calls and media are after it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happened to an agent.
#[derive(Debug, Clone, Copy)]
enum Episode {
    /// A call, maybe held in between; at its end the media event may be lost.
    Plain { hold: bool, stop_is_lost: bool },
    /// A call with a consult call, that ends in a conference or a transfer.
    Consult { conference: bool },
}

/// How an event is told.
#[derive(Debug, Clone, Copy)]
struct Manner {
    naming: Naming,
    swapped: bool,
    repeated: bool,
}

#[derive(Debug, Clone, Copy)]
enum Naming {
    Agent,
    Extension,
    Phone,
    Both,
}

#[derive(Debug, Clone)]
enum Said {
    Call(CallId, CallEventKind),
    Start(CallId, u16),
    Stop(CallId),
    Renamed(CallId, CallId),
    Ended(CallId),
}

/// What is true of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Truth {
    calls: BTreeSet<CallId>,
    media: BTreeMap<CallId, u16>,
}

#[derive(Debug, Clone)]
struct History {
    number: usize,
    manners: Vec<Manner>,
    told: usize,
    truth: Truth,
    moments: Vec<(Vec<CtiEvent>, Truth)>,
    port: u16,
    /// Until he signs in nobody knows which names mean one phone: the source has to name the extension each time.
    one_name: bool,
}

/// Agents 0 and 1 share an extension; then their events name them. Agents 2 and 3 are on the same calls.
const SHARED_LINE: std::ops::Range<usize> = 0..2;
const SHARED_CALLS: std::ops::Range<usize> = 2..4;

impl History {
    fn new(number: usize, episodes: &[Episode], manners: Vec<Manner>, late: usize) -> Self {
        let mut history = Self {
            number,
            manners,
            told: 0,
            truth: Truth::default(),
            moments: Vec::new(),
            port: 2000,
            one_name: late > 0,
        };
        for (at, episode) in episodes.iter().enumerate() {
            match *episode {
                Episode::Consult { conference } if !SHARED_CALLS.contains(&number) => history.consult(at, conference),
                Episode::Consult { .. } => history.plain(at, true, false),
                Episode::Plain { hold, stop_is_lost } => history.plain(at, hold, stop_is_lost),
            }
        }
        let signs_in = late.min(history.moments.len());
        let truth = signs_in
            .checked_sub(1)
            .map_or_else(Truth::default, |at| history.moments[at].1.clone());
        history.moments.insert(signs_in, (vec![history.sign_in()], truth));
        history
    }

    fn agent(&self) -> AgentId {
        AgentId::new(format!("a{}", self.number))
    }

    fn extension(&self) -> Extension {
        let number = if SHARED_LINE.contains(&self.number) {
            0
        } else {
            self.number
        };
        Extension::new(format!("30{number}"))
    }

    fn phone(&self) -> Extension {
        Extension::new(format!("SEP{}", self.number))
    }

    fn sign_in(&self) -> CtiEvent {
        CtiEvent::from(AgentUpdate {
            extension: Some(self.extension()),
            device: Some(self.phone()),
            ..AgentUpdate::new(self.agent(), AgentState::Talking)
        })
    }

    fn call_id(&self, episode: usize, part: &str) -> CallId {
        let whose = if SHARED_CALLS.contains(&self.number) {
            99
        } else {
            self.number
        };
        CallId::new(format!("{whose}-{episode}{part}"))
    }

    fn plain(&mut self, episode: usize, hold: bool, stop_is_lost: bool) {
        let call = self.call_id(episode, "");
        self.begin(&call, CallEventKind::Delivered);
        if hold {
            self.hold(&call);
            self.talk(&call, CallEventKind::Retrieved);
        }
        let mut end = vec![Said::Call(call.clone(), CallEventKind::ConnectionCleared)];
        if !stop_is_lost {
            end.push(Said::Stop(call.clone()));
        }
        self.truth.calls.remove(&call);
        self.truth.media.remove(&call);
        self.moment(end);
        if !SHARED_CALLS.contains(&self.number) {
            self.moment(vec![Said::Ended(call)]);
        }
    }

    fn consult(&mut self, episode: usize, conference: bool) {
        let (call, consult) = (self.call_id(episode, ""), self.call_id(episode, "c"));
        self.begin(&call, CallEventKind::Delivered);
        self.hold(&call);
        self.begin(&consult, CallEventKind::Originated);
        self.truth.calls.remove(&consult);
        self.truth.media.remove(&consult);
        let renamed = Said::Renamed(consult.clone(), call.clone());
        self.moment_in_order(vec![Said::Stop(consult.clone())]);
        if conference {
            self.port += 2;
            self.truth.media.insert(call.clone(), self.port);
            let conferenced = Said::Call(call.clone(), CallEventKind::Conferenced);
            self.moment(vec![renamed, conferenced, Said::Start(call.clone(), self.port)]);
            self.moment(vec![Said::Ended(consult)]);
            self.truth = Truth::default();
            self.moment(vec![
                Said::Stop(call.clone()),
                Said::Call(call.clone(), CallEventKind::ConnectionCleared),
            ]);
        } else {
            self.truth = Truth::default();
            self.moment(vec![renamed, Said::Call(call.clone(), CallEventKind::Transferred)]);
        }
        self.moment(vec![Said::Ended(call)]);
    }

    fn begin(&mut self, call: &CallId, kind: CallEventKind) {
        self.truth.calls.insert(call.clone());
        self.moment(vec![Said::Call(call.clone(), kind)]);
        self.talk(call, CallEventKind::Established);
    }

    fn hold(&mut self, call: &CallId) {
        self.truth.media.remove(call);
        self.moment(vec![
            Said::Call(call.clone(), CallEventKind::Held),
            Said::Stop(call.clone()),
        ]);
    }

    fn talk(&mut self, call: &CallId, kind: CallEventKind) {
        self.port += 2;
        self.truth.media.insert(call.clone(), self.port);
        self.moment(vec![
            Said::Call(call.clone(), kind),
            Said::Start(call.clone(), self.port),
        ]);
    }

    /// Before the two calls of a consultation merge, both are still there.
    fn moment_in_order(&mut self, said: Vec<Said>) {
        let merging = said.iter().filter_map(|said| match said {
            Said::Stop(call) => Some(call.clone()),
            _ => None,
        });
        let mut truth = self.truth.clone();
        truth.calls.extend(merging);
        let events = said.into_iter().map(|said| self.event(said)).collect();
        self.moments.push((events, truth));
    }

    fn moment(&mut self, mut said: Vec<Said>) {
        let manner = self.manner();
        if manner.swapped {
            said.reverse();
        }
        if manner.repeated {
            said.extend(said.clone());
        }
        let events = said.into_iter().map(|said| self.event(said)).collect();
        self.moments.push((events, self.truth.clone()));
    }

    fn manner(&mut self) -> Manner {
        self.told += 1;
        self.manners[self.told % self.manners.len()]
    }

    fn event(&mut self, said: Said) -> CtiEvent {
        let (agent, device) = self.names();
        match said {
            Said::Call(call, kind) => CtiEvent::from(CallEvent {
                agent,
                device,
                ..CallEvent::of_device("", call, kind)
            }),
            Said::Start(call, port) => CtiEvent::from(MediaStarted {
                agent,
                device,
                call: Some(call),
                ..MediaStarted::at(address(self.number, port))
            }),
            Said::Stop(call) => CtiEvent::from(MediaStopped {
                agent,
                device,
                call: Some(call),
                address: None,
                direction: None,
            }),
            Said::Renamed(from, call) => CallRenamed { from, call }.into(),
            Said::Ended(call) => CtiEvent::from(CallEnded {
                call,
                controlling_party: None,
            }),
        }
    }

    fn names(&mut self) -> (Option<AgentId>, Option<Extension>) {
        let (agent, extension, phone) = (Some(self.agent()), Some(self.extension()), Some(self.phone()));
        let phone = if self.one_name { extension.clone() } else { phone };
        match self.manner().naming {
            Naming::Agent if !self.one_name => (agent, None),
            Naming::Agent | Naming::Both => (agent, phone),
            Naming::Extension | Naming::Phone if SHARED_LINE.contains(&self.number) => (agent, extension),
            Naming::Extension => (None, extension),
            Naming::Phone => (None, phone),
        }
    }
}

fn address(number: usize, port: u16) -> MediaAddress {
    format!("10.0.0.{}:{port}", number + 1).parse().expect("an address")
}

fn episode() -> impl Strategy<Value = Episode> {
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(hold, stop_is_lost)| Episode::Plain { hold, stop_is_lost }),
        any::<bool>().prop_map(|conference| Episode::Consult { conference }),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    let naming = prop_oneof![
        Just(Naming::Agent),
        Just(Naming::Extension),
        Just(Naming::Phone),
        Just(Naming::Both)
    ];
    (naming, any::<bool>(), any::<bool>()).prop_map(|(naming, swapped, repeated)| Manner {
        naming,
        swapped,
        repeated,
    })
}

fn history(number: usize) -> impl Strategy<Value = (History, usize)> {
    let episodes = prop::collection::vec(episode(), 1..5);
    let manners = prop::collection::vec(manner(), 1..8);
    (episodes, manners, 0..6_usize, any::<prop::sample::Index>()).prop_map(move |(episodes, manners, late, cut)| {
        // On a shared line somebody must have said who is who.
        let late = if SHARED_LINE.contains(&number) { 0 } else { late };
        let history = History::new(number, &episodes, manners, late);
        let known = late.min(history.moments.len() - 1) + 1;
        let cut = known + cut.index(history.moments.len() - known + 1);
        (history, cut)
    })
}

fn truth_of(directory: &AgentDirectory, history: &History) -> (BTreeSet<CallId>, BTreeSet<MediaAddress>) {
    let id = history.agent();
    let agent = directory.agent(&id).expect("known");
    let calls = agent.calls().iter().map(|call| call.id.clone()).collect();
    (calls, directory.media(&id).iter().map(|leg| leg.address).collect())
}

fn nobody_has_anothers_media(directory: &AgentDirectory, histories: &[(History, usize)]) -> Result<(), TestCaseError> {
    for (history, _) in histories {
        let own = address(history.number, 1).ip;
        let media = directory.media(&history.agent());
        prop_assert!(
            media.iter().all(|leg| leg.address.ip == own),
            "{}: {media:?}",
            history.number
        );
    }
    Ok(())
}

fn histories() -> impl Strategy<Value = Vec<(History, usize)>> {
    (0..6_usize).map(history).collect::<Vec<_>>()
}

/// What another directory knows to whom this one told everything again.
fn retold(directory: &AgentDirectory) -> AgentDirectory {
    let mut other = AgentDirectory::default();
    other.handle_retelling(&directory.retell(), NOW);
    for (id, agent) in directory.agents() {
        let calls = |agent: &Agent| -> BTreeSet<_> {
            let told = |call: &Call| (call.id.clone(), format!("{:?}", call.state), call.counts_as_acd());
            agent.calls().iter().map(told).collect()
        };
        let media = |directory: &AgentDirectory| -> Vec<_> {
            let mut media = directory.media(id);
            media.sort_by_key(|leg| leg.address);
            media
                .into_iter()
                .map(|leg| (leg.call, leg.address, leg.remote, leg.codec))
                .collect()
        };
        let again = other.agent(id).expect("told again");
        assert_eq!(calls(again), calls(agent), "{id}");
        assert_eq!(media(&other), media(directory), "{id}");
        assert_eq!(other.devices(id), directory.devices(id), "{id}");
        assert_eq!((again.state, &again.team), (agent.state, &agent.team), "{id}");
    }
    other
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn agents_have_their_own_calls_and_media_however_their_histories_interleave(
        histories in histories(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 400),
        moved_at in 0..200_usize,
    ) {
        let mut directory = AgentDirectory::default();
        let mut queues: Vec<std::collections::VecDeque<CtiEvent>> = histories
            .iter()
            .map(|(history, cut)| history.moments[..*cut].iter().flat_map(|(events, _)| events.clone()).collect())
            .collect();
        let mut picks = picks.iter().cycle();
        let mut told = 0;
        while queues.iter().any(|queue| !queue.is_empty()) {
            let waiting: Vec<usize> = (0..queues.len()).filter(|&at| !queues[at].is_empty()).collect();
            let at = *picks.next().expect("a cycle").get(&waiting);
            let event = queues[at].pop_front().expect("one waits");
            directory.handle_event(&event, NOW);
            told += 1;
            if told == moved_at {
                directory = retold(&directory);
            }
            nobody_has_anothers_media(&directory, &histories)?;
        }
        for (history, cut) in &histories {
            let truth = &history.moments[cut - 1].1;
            let media: BTreeSet<_> = truth.media.values().map(|&port| address(history.number, port)).collect();
            prop_assert_eq!(truth_of(&directory, history), (truth.calls.clone(), media), "agent {}", history.number);
        }
    }
}
