//! One question to running servers, with a supervisor's or an administrator's certificate.

use std::time::Duration;

use silentmon_certs::ClientTls;
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::{ClientMessage, ServerMessage, VERSION};
use silentmon_transport::{CloseCode, ServerAddress, Settings, connect};

use crate::cli::ServerArgs;
use crate::exit::{ExitKind, Failure};
use crate::listening::SOFTWARE;
use crate::tls;

/// How long a server may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Asks each server. `answer` picks the answer out of what it says.
///
/// # Errors
/// `Usage` for an address that is none, `Unavailable` where a server doesn't answer, `NotPermitted` where it refuses.
pub fn ask_all<T>(
    args: &ServerArgs,
    question: &ClientMessage,
    answer: impl Fn(ServerMessage) -> Option<Result<T, Reason>>,
) -> anyhow::Result<Vec<(ServerAddress, T)>> {
    let tls = tls::client(&args.files())?;
    let servers = args.servers.iter().map(|server| server.parse::<ServerAddress>());
    let servers = servers
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut answers = Vec::new();
        for server in servers {
            let told = tokio::time::timeout(ANSWERED_WITHIN, converse(&server, &tls, question, &answer)).await;
            let late = |_| Failure::error(ExitKind::Unavailable, format!("{server} doesn't answer"));
            let told = told.map_err(late)??;
            let told = told.map_err(|reason| Failure::error(ExitKind::NotPermitted, reason.to_string()))?;
            answers.push((server, told));
        }
        Ok(answers)
    })
}

async fn converse<T>(
    server: &ServerAddress,
    tls: &ClientTls,
    question: &ClientMessage,
    answer: &impl Fn(ServerMessage) -> Option<Result<T, Reason>>,
) -> anyhow::Result<Result<T, Reason>> {
    let unavailable = |what: String| Failure::error(ExitKind::Unavailable, format!("{server}: {what}"));
    let mut channel = connect(server, tls, &Settings::client())
        .await
        .map_err(|error| unavailable(error.reason().to_string()))?;
    let hello = ClientMessage::Hello {
        version: VERSION,
        software: SOFTWARE.to_owned(),
    };
    channel.sender.send(&hello).await?;
    channel.sender.send(question).await?;
    let told = loop {
        match channel.receiver.receive::<ServerMessage>().await? {
            Some(message) => {
                if let Some(told) = answer(message) {
                    break told;
                }
            }
            None => return Err(unavailable("it doesn't know the question".to_owned())),
        }
    };
    channel.connection.close(CloseCode::Done, "goodbye");
    Ok(told)
}
