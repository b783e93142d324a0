//! The capture servers: which of them answer, and what the one that does says of its hops.

use std::time::Duration;

use silentmon_certs::ClientTls;
use silentmon_proto::reason::{Code, Evidence, Hop, Outcome, Reason};
use silentmon_proto::relay::{ClientMessage, ServerMessage, VERSION};
use silentmon_transport::{Channel, CloseCode, ServerAddress, Settings, connect};

use super::{Patient, Walk, certificate};
use crate::exit::{ExitKind, Failure};
use crate::listening::SOFTWARE;

/// How long a server may take to answer a question.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// The question's number.
const REQUEST: u32 = 1;

/// Dials every server and asks the first that answers.
pub(super) async fn ask(patient: &Patient, tls: &ClientTls, walk: &mut Walk) -> anyhow::Result<()> {
    let servers = patient.servers.iter().map(|server| server.parse::<ServerAddress>());
    let servers = servers
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?;
    let mut answering = None;
    let mut failures = Vec::new();
    for server in servers {
        match connect(&server, tls, &Settings::client()).await {
            Ok(channel) if answering.is_none() => answering = Some((server, channel)),
            Ok(channel) => channel.connection.close(CloseCode::Done, "goodbye"),
            Err(error) => failures.push((server, error.reason())),
        }
    }
    for hop in members(&failures, answering.is_some(), patient) {
        walk.add(hop);
    }
    let Some((server, channel)) = answering else {
        return Ok(());
    };
    for hop in converse(server, channel, patient).await {
        walk.add(hop);
    }
    Ok(())
}

/// Those that don't answer: the way ends there only where none does.
fn members(failures: &[(ServerAddress, Reason)], answered: bool, patient: &Patient) -> Vec<Hop> {
    let refused = failures
        .iter()
        .find(|(_, reason)| reason.code == Code::CertificateRefused);
    let evidence = failures.iter().fold(Evidence::new(), |evidence, (server, reason)| {
        evidence.with(server.to_string(), &reason.text)
    });
    if answered {
        let warn = |(server, reason): &(ServerAddress, Reason)| Hop {
            result: Outcome::Warning,
            ..Hop::amiss(
                reason.code.hop(),
                Reason::new(reason.code, format!("{server}: {}.", reason.text)),
            )
        };
        return failures.iter().map(warn).collect();
    }
    let tried: Vec<_> = failures.iter().map(|(server, _)| server.to_string()).collect();
    let silent = || {
        let text = format!("No capture server answers (tried {}).", tried.join(", "));
        Reason::new(Code::NoCaptureServer, text)
    };
    let reason = refused.map_or_else(silent, |(_, reason)| {
        Reason::new(reason.code, format!("{}.", reason.text))
    });
    let evidence = match refused {
        Some(_) => evidence.and(own(patient)),
        None => evidence,
    };
    vec![Hop::amiss(reason.code.hop(), reason.with_evidence(evidence))]
}

/// What we show a server that refuses certificates.
fn own(patient: &Patient) -> Evidence {
    let credentials = silentmon_certs::Credentials::load(&patient.identity, None);
    credentials.map_or_else(
        |_| Evidence::new(),
        |credentials| certificate::evidence(credentials.identity()),
    )
}

/// The hop of the server itself, and all those it tells of.
async fn converse(server: ServerAddress, mut channel: Channel, patient: &Patient) -> Vec<Hop> {
    let hello = ClientMessage::Hello {
        version: VERSION,
        software: SOFTWARE.to_owned(),
    };
    let question = ClientMessage::Diagnose {
        request: REQUEST,
        agent: patient.agent.clone(),
        session: patient.session,
    };
    let said = async {
        channel.sender.send(&hello).await?;
        channel.sender.send(&question).await?;
        let mut welcome = None;
        loop {
            match channel.receiver.receive::<ServerMessage>().await? {
                Some(ServerMessage::Welcome { server, software, .. }) => welcome = Some((server, software)),
                Some(ServerMessage::Diagnosis { hops, .. }) => return anyhow::Ok((welcome, Some(hops))),
                // A server that doesn't know the question ends the conversation.
                None => return Ok((welcome, None)),
                Some(_) => {}
            }
        }
    };
    let (welcome, hops) = match tokio::time::timeout(ANSWERED_WITHIN, said).await {
        Ok(Ok(said)) => said,
        Ok(Err(_)) | Err(_) => (None, None),
    };
    let connection = &channel.connection;
    let peer = connection.peer();
    let evidence = Evidence::new()
        .with("address", &server)
        .with_known("name", welcome.as_ref().map(|(name, _)| name))
        .with_known("software", welcome.as_ref().map(|(_, software)| software))
        .with(
            "round trip",
            format!("{:.1} ms", connection.statistics().round_trip.as_secs_f64() * 1000.0),
        )
        .with("certificate until", peer.not_after.date())
        .with("fingerprint", peer.fingerprint);
    connection.close(CloseCode::Done, "goodbye");
    let unknown = || {
        let why = "The server doesn't answer questions; it is older than this program.";
        vec![Hop::not_checked("server's hops", why)]
    };
    let mut all = vec![Hop::ok(Code::NoCaptureServer.hop(), evidence)];
    all.extend(hops.unwrap_or_else(unknown));
    all
}
