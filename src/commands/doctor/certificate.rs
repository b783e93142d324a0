//! The supervisor's own certificate: can it be read, is it good now, has it the role?

use silentmon_certs::{CertsError, Credentials, Identity, Role, Trust};
use silentmon_proto::reason::{Code, Evidence, Hop, Reason};
use time::OffsetDateTime;

use super::Patient;

const HOP: &str = "certificate";
/// The roles that a capture server lets in.
const ACCEPTED: [Role; 2] = [Role::Supervisor, Role::Admin];

/// The hop of this machine's certificate and authority.
pub(super) fn own(patient: &Patient) -> Hop {
    let loaded = Credentials::load(&patient.identity, None)
        .and_then(|credentials| Ok((credentials, Trust::load(&patient.ca, patient.crl.as_deref())?)));
    let (credentials, trust) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return unreadable(patient, &error),
    };
    let identity = credentials.identity();
    let evidence = evidence(identity).with("file", patient.identity.display());
    match problem(patient, identity, &trust) {
        Some(text) => Hop::amiss(HOP, Reason::new(Code::CertificateRefused, text).with_evidence(evidence)),
        None => Hop::ok(HOP, evidence),
    }
}

fn problem(patient: &Patient, identity: &Identity, trust: &Trust) -> Option<String> {
    let (file, now) = (patient.identity.display(), OffsetDateTime::now_utc());
    let Identity {
        role,
        not_before,
        not_after,
        ..
    } = identity;
    if now >= *not_after {
        return Some(format!("The certificate in {file} expired on {}.", not_after.date()));
    }
    if now < *not_before {
        let from = not_before.date();
        return Some(format!(
            "The certificate in {file} is valid only from {from} on (is this machine's clock wrong?)."
        ));
    }
    if !ACCEPTED.contains(role) {
        return Some(format!(
            "The certificate in {file} has role {role}; supervisor or admin is needed here."
        ));
    }
    trust
        .is_revoked(identity)
        .then(|| format!("The certificate in {file} has been revoked."))
}

/// What a certificate says of its holder.
pub(super) fn evidence(identity: &Identity) -> Evidence {
    let day = |time: OffsetDateTime| time.date();
    Evidence::new()
        .with("name", &identity.name)
        .with("role", identity.role)
        .with("valid from", day(identity.not_before))
        .with("until", day(identity.not_after))
        .with(
            "days left",
            (identity.not_after - OffsetDateTime::now_utc()).whole_days(),
        )
        .with("issuer", &identity.issuer)
        .with("fingerprint", identity.fingerprint)
}

fn unreadable(patient: &Patient, error: &CertsError) -> Hop {
    let evidence = Evidence::new()
        .with("identity", patient.identity.display())
        .with("ca", patient.ca.display());
    let reason = Reason::new(Code::CertificateRefused, format!("{error}."));
    Hop::amiss(HOP, reason.with_evidence(evidence))
}
