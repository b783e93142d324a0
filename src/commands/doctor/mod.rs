//! `silentmon doctor`: walks the way from the supervisor's certificate to his loudspeaker and names the first hop that is
//! broken.
//!
//! `certificate` looks at what this machine shows, `server` asks the capture servers, whose own chain of hops comes first
//! hand, `desk` asks the playback service on this machine, `sound` tries relay and loudspeaker.

mod certificate;
mod desk;
mod server;
mod sound;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use silentmon_playback_io::sink::Output;
use silentmon_proto::ids::{AgentId, SessionId};
use silentmon_proto::reason::{Code, Evidence, Hop, Outcome};

use crate::config::{self, playback::PlaybackConfig};
use crate::exit::{ExitKind, Failure};
use crate::tls::IdentityFiles;
use crate::{output, tls};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The agent who isn't heard; without one only what all agents share is looked at.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// A session, by the id that the playback service's status shows: its agent is looked at. Needs --config.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Goes on behind the first broken hop.
    #[arg(long)]
    all: bool,
    /// Has the relay tested by listening for a few seconds, which the server's journal records. Nothing is played.
    #[arg(long)]
    listen: bool,
    /// Why, for the server's audit; some servers want one of a list.
    #[arg(
        long,
        visible_alias = "purpose",
        value_name = "TEXT",
        default_value = "silentmon doctor",
        requires = "listen"
    )]
    reason: String,
    /// A JSON array of the hops.
    #[arg(long)]
    json: bool,
    /// Capture server; all are tried.
    #[arg(long = "server", value_name = "HOST:PORT")]
    servers: Vec<String>,
    /// Certificate chain and key of the supervisor.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The authority that both sides' certificates come from.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Its revocation list.
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// Where the sound is to go: default, DEVICE or null.
    #[arg(long, value_name = "OUTPUT")]
    output: Option<String>,
    /// The playback service's configuration: what isn't said here is taken from it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is to be looked at, and with what.
struct Patient {
    agent: Option<AgentId>,
    session: Option<SessionId>,
    listen: bool,
    reason: String,
    servers: Vec<String>,
    identity: PathBuf,
    ca: PathBuf,
    crl: Option<PathBuf>,
    output: Output,
    desk: Option<config::playback::PlaybackSection>,
}

/// Walks.
///
/// # Errors
/// `Usage` where it isn't said which servers and certificates are meant, `BadConfig` where the configuration is wrong.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let patient = Patient::of(args)?;
    let mut walk = Walk::new(args);
    tokio::runtime::Runtime::new()?.block_on(examine(patient, &mut walk))?;
    walk.finish()
}

async fn examine(mut patient: Patient, walk: &mut Walk) -> anyhow::Result<()> {
    walk.add(certificate::own(&patient));
    if !walk.goes_on() {
        return Ok(());
    }
    let desk = match desk::ask(&patient) {
        Some(Ok(desk)) => Some(desk),
        Some(Err(hop)) => {
            walk.add(hop);
            None
        }
        None => None,
    };
    if !walk.goes_on() {
        return Ok(());
    }
    patient.agent = desk.as_ref().and_then(desk::Desk::agent).or(patient.agent);
    // A certificate that is broken can't be used, whatever else there is to be seen.
    if let Ok(tls) = tls::client(&patient.files()) {
        server::ask(&patient, &tls, walk).await?;
        if !walk.goes_on() {
            return Ok(());
        }
        let relay = match &desk {
            Some(desk) => desk.relay(),
            None => sound::relay(&patient, tls, walk).await?,
        };
        walk.add(relay);
        if !walk.goes_on() {
            return Ok(());
        }
    }
    walk.add(match &desk {
        Some(desk) => desk.sound(),
        None => sound::output(&patient.output),
    });
    Ok(())
}

impl Patient {
    fn files(&self) -> IdentityFiles {
        IdentityFiles {
            identity: self.identity.clone(),
            ca: self.ca.clone(),
            crl: self.crl.clone(),
        }
    }

    fn of(args: &DoctorArgs) -> anyhow::Result<Self> {
        let file = args.config.as_deref().map(config::load::<PlaybackConfig>).transpose()?;
        let desk = file.map(|file| file.playback);
        let usage = |sentence: &str| Failure::error(ExitKind::Usage, sentence);
        let from = |said: &Option<PathBuf>, configured: Option<&PathBuf>, option: &str| {
            let path = said.as_ref().or(configured).cloned();
            path.ok_or_else(|| usage(&format!("expected {option} FILE, or --config FILE")))
        };
        let servers = match (&args.servers[..], &desk) {
            ([], Some(desk)) => desk.servers.clone(),
            ([], None) => return Err(usage("expected --server HOST:PORT, or --config FILE")),
            (said, _) => said.to_vec(),
        };
        if args.session.is_some() && desk.is_none() {
            return Err(usage(
                "expected --config FILE of the playback service that --session runs in",
            ));
        }
        let output = args
            .output
            .as_deref()
            .or(desk.as_ref().map(|desk| desk.output.as_str()));
        Ok(Self {
            agent: args.agent.as_deref().map(AgentId::new),
            session: args.session.as_deref().map(session).transpose()?,
            listen: args.listen,
            reason: args.reason.clone(),
            servers,
            identity: from(&args.identity, desk.as_ref().map(|desk| &desk.identity), "--identity")?,
            ca: from(&args.ca, desk.as_ref().map(|desk| &desk.ca), "--ca")?,
            crl: args
                .crl
                .clone()
                .or_else(|| desk.as_ref().and_then(|desk| desk.crl.clone())),
            output: output
                .unwrap_or("default")
                .parse()
                .map_err(|error: silentmon_playback_io::sink::BadOutput| usage(&error.to_string()))?,
            desk,
        })
    }
}

/// A session as it is shown: 16 hexadecimal digits.
fn session(text: &str) -> anyhow::Result<SessionId> {
    let id = u64::from_str_radix(text, 16);
    id.map(SessionId).map_err(|_| {
        let expected = format!("expected a session such as 00c0ffee00c0ffee, found \"{text}\"");
        Failure::error(ExitKind::Usage, expected)
    })
}

/// The hops as far as they were walked.
struct Walk {
    all: bool,
    json: bool,
    hops: Vec<Hop>,
}

impl Walk {
    const fn new(args: &DoctorArgs) -> Self {
        Self {
            all: args.all,
            json: args.json,
            hops: Vec::new(),
        }
    }

    /// Takes a hop, unless the way has ended.
    fn add(&mut self, hop: Hop) {
        if !self.goes_on() {
            return;
        }
        if !self.json {
            show(&hop);
        }
        self.hops.push(hop);
    }

    /// Whether more is to be looked at.
    fn goes_on(&self) -> bool {
        self.all || !self.is_over()
    }

    /// Whether no sound can get through, by what was seen so far.
    fn is_over(&self) -> bool {
        self.hops.iter().any(|hop| hop.result.stops())
    }

    /// The verdict: what ends the way first; else what is amiss first; else that all is well.
    fn finish(mut self) -> anyhow::Result<ExitCode> {
        let first = |outcome: fn(Outcome) -> bool| self.hops.iter().find(|hop| outcome(hop.result));
        let found = first(Outcome::stops).or_else(|| first(|result| result == Outcome::Warning));
        let broken = self.hops.iter().any(|hop| hop.result == Outcome::Broken);
        match found.cloned() {
            Some(hop) if !self.json => verdict(&hop),
            Some(_) => {}
            None => {
                let unchecked = self.hops.iter().filter(|hop| hop.result == Outcome::NotChecked).count();
                let good = all_good(unchecked);
                if !self.json {
                    show(&good);
                }
                self.hops.push(good);
            }
        }
        if self.json {
            output::json(&self.hops)?;
        }
        Ok(if broken {
            ExitCode::from(ExitKind::No as u8)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn all_good(unchecked: usize) -> Hop {
    let sentence = match unchecked {
        0 => "Nothing is wrong.".to_owned(),
        count => format!("Nothing is wrong, as far as was looked; {count} not checked."),
    };
    Hop {
        code: Some(Code::AudioFlowing),
        sentence,
        ..Hop::ok(Code::AudioFlowing.hop(), Evidence::new())
    }
}

/// A line a hop; the evidence and what to do below it.
fn show(hop: &Hop) {
    let code = hop.code.map(|code| format!("{code} ")).unwrap_or_default();
    let text = if hop.result == Outcome::Ok && hop.code.is_none() {
        hop.evidence.to_string()
    } else {
        format!("{code}{}", hop.sentence)
    };
    output::line(format!("{:<12} {:<18} {text}", hop.result.words(), hop.hop).trim_end());
    if hop.code.is_some() && !hop.evidence.is_empty() {
        output::line(&format!("{:<31} {}", "", hop.evidence));
    }
    if !hop.fix.is_empty() {
        output::line(&format!("{:<31} What to do: {}", "", hop.fix));
    }
}

fn verdict(hop: &Hop) {
    let Some(code) = hop.code else { return };
    output::line(&format!("\n{code} {} (silentmon explain {code})", hop.sentence));
}
