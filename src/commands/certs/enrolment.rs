//! Enrolment by a one-time token: made and served where the authority lives, used where the certificate will be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use silentmon_certs::{
    EnrolmentServer, Invitation, Occurrence, SubjectHost, SubjectName, Token, enrol as enrol_here, invite,
};

use super::show::describe;
use super::{PasswordArgs, Role, failure, first_line};
use crate::exit::{ExitKind, Failure};
use crate::output;

/// Longest time that a token or the service may be good.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// What the holder may be: capture, supervisor or admin.
    #[arg(long)]
    role: Role,
    /// The holder's name.
    #[arg(long)]
    name: SubjectName,
    /// Host name or IP address under which others dial the holder; may be given several times.
    #[arg(long = "host", value_name = "HOST_OR_IP", value_delimiter = ',')]
    hosts: Vec<SubjectHost>,
    /// How long the token is good: a number and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    valid: Duration,
    /// How long the certificate will be good, at most as long as the authority [default: 825, or what policy allows].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// Where newcomers connect (TCP).
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// How long at most: a number and s, m, h or d.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    limit: Duration,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(super) struct EnrolArgs {
    /// Where `silentmon certs serve` listens.
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// The token; - reads it from standard input, so that no list of processes shows it.
    #[arg(long)]
    token: String,
    /// Directory of NAME.key, NAME.pem, ca.pem and crl.pem.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn token(args: TokenArgs) -> anyhow::Result<ExitCode> {
    if args.role == Role::Capture && args.hosts.is_empty() {
        let sentence = "a capture server needs --host: the host names and addresses under which supervisors dial it";
        return Err(Failure::error(ExitKind::Usage, sentence));
    }
    let invitation = Invitation {
        role: args.role,
        name: args.name,
        hosts: args.hosts,
        days: args.days,
    };
    let token = invite(&args.ca, invitation, args.valid).map_err(|error| failure(&error))?;
    let text = token.expose();
    output::line(&text);
    output::complain(&format!(
        "good once; while `silentmon certs serve --ca {} --listen IP:PORT` runs:\n  silentmon certs enrol --server HOST:PORT \
         --out certs --token TOKEN",
        args.ca.display()
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let authority = args.password.open(&args.ca)?;
    let server = EnrolmentServer::bind(authority, args.listen).map_err(|error| failure(&error))?;
    output::line(&format!("listening on {}", server.local_address()?));
    server.serve(args.limit, tell).map_err(|error| failure(&error))?;
    output::line("no token is left, or the time is over");
    Ok(ExitCode::SUCCESS)
}

fn tell(occurrence: &Occurrence) {
    let who = occurrence.who.as_ref();
    let who = who.map_or_else(|| "somebody".to_owned(), |who| format!("{} {}", who.role, who.name));
    match &occurrence.outcome {
        Ok(serial) => output::line(&format!("{who} at {} was enrolled, serial {serial}", occurrence.from)),
        Err(why) => output::complain(&format!("{who} at {} was refused: {why}", occurrence.from)),
    }
}

pub(super) fn enrol(args: &EnrolArgs) -> anyhow::Result<ExitCode> {
    let text = match args.token.as_str() {
        "-" => first_line(Path::new("-"))?,
        text => text.to_owned(),
    };
    let token: Token = text
        .parse()
        .map_err(|error: silentmon_certs::BadToken| Failure::error(ExitKind::Usage, error.to_string()))?;
    let enrolled = enrol_here(&args.server, &token, &args.out).map_err(|error| failure(&error))?;
    output::line(&format!(
        "{}  {}",
        enrolled.certificate.display(),
        describe(&enrolled.identity)
    ));
    let key = enrolled.certificate.with_extension("key");
    output::line(&format!("{}  private key: stays on this machine", key.display()));
    output::line(&format!("{}  whom to trust", enrolled.authorities.display()));
    output::line(&format!("{}  whom not any more", enrolled.revocation_lists.display()));
    Ok(ExitCode::SUCCESS)
}

/// A number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and s, m, h or d, from 1s to 30d".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(expected()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number: u64 = number.parse().map_err(|_| expected())?;
    let found = Duration::from_secs(number.saturating_mul(seconds));
    let good = !found.is_zero() && found <= LONGEST;
    if good { Ok(found) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("30d"), Ok(LONGEST));
        for bad in ["", "1", "h", "0m", "31d", "-1h", "1hh", "1ä"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
