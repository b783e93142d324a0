//! The same flaws between members of a cluster: real services that dial each other at the peers' door.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use silentmon_certs::{ClientTls, Credentials, Trust};
use silentmon_proto::peer::ALPN;
use silentmon_transport::{ConnectError, HandshakeError, ServerAddress, Settings, connect};

use crate::common::{House, Service, eventually, fixture, free_address, page, silentmon};
use crate::pki::{Flaw, Pki};

/// A flaw in a member's certificate; the word by which the door counts it, and what the member that dials it says.
const FLAWS: [(Flaw, &str, &str); 8] = [
    (Flaw::Expired, "expired", "its certificate expired on 20"),
    (Flaw::NotYetValid, "not_yet_valid", "valid only from 20"),
    (Flaw::WrongAuthority, "unknown_authority", "isn't trusted here"),
    (Flaw::Revoked, "revoked", "its certificate has been revoked"),
    (
        Flaw::IssuerRevoked,
        "issuer_revoked",
        "the authority that issued its certificate has been revoked",
    ),
    (
        Flaw::StaleList,
        "revocation_list_expired",
        "the revocation list was to be replaced by 20",
    ),
    (Flaw::MissingList, "revocation_unknown", "no revocation list covers"),
    (Flaw::SelfSigned, "self_signed", "signed by itself"),
];

/// A member whose certificate has a flaw, or none.
struct Place {
    name: String,
    door: SocketAddr,
    metrics: SocketAddr,
}

impl Place {
    fn of(flaw: Flaw) -> Self {
        Self {
            name: format!("capture-{flaw:?}"),
            door: free_address(),
            metrics: free_address(),
        }
    }

    fn start(&self, house: &House, pki: &Pki, (flaw, lists): (Flaw, &str), peers: &[&Self]) -> Service {
        let peers = peers
            .iter()
            .map(|peer| format!("{{ name = \"{}\", address = \"{}\" }}", peer.name, peer.door));
        let config = format!(
            r#"schema = 1
[capture]
source = {{ file = "{}", pace = "real" }}
[service]
listen = "{}"
identity = "{}"
ca = "{}"
crl = "{}"
[cluster]
name = "{name}"
listen = "{}"
peers = [{}]
[policy]
disclosure = "never"
[audit]
path = "{name}.jsonl"
[metrics]
listen = "{}"
"#,
            fixture("call.pcap.gz").display(),
            free_address(),
            pki.issue("capture", flaw).display(),
            pki.path("root.pem").display(),
            pki.path(lists).display(),
            self.door,
            peers.collect::<Vec<_>>().join(", "),
            self.metrics,
            name = self.name,
        );
        let file = format!("{}.toml", self.name);
        std::fs::write(house.path(&file), config).expect("writes");
        let mut command = silentmon();
        command.args(["capture", "--config", &house.text(&file)]);
        Service::start(command)
    }
}

#[test]
fn no_member_with_a_flawed_certificate_gets_in_whoever_dials() {
    let (pki, house) = (Pki::new(), House::empty());
    for lists in ["all.crl", "stale.crl", "root.crl"] {
        let judged: Vec<_> = FLAWS.iter().filter(|(flaw, ..)| flaw.lists() == lists).collect();
        let good = Place::of(Flaw::None);
        let others: Vec<_> = judged.iter().map(|(flaw, ..)| Place::of(*flaw)).collect();
        let _flawed: Vec<_> = others
            .iter()
            .zip(&judged)
            .map(|(place, (flaw, ..))| place.start(&house, &pki, (*flaw, "all.crl"), &[&good]))
            .collect();
        let service = good.start(&house, &pki, (Flaw::None, lists), &others.iter().collect::<Vec<_>>());
        let wanted = RefCell::new(judged.iter().zip(&others).collect::<Vec<_>>());
        service.wait_for_line(|line| {
            let mut wanted = wanted.borrow_mut();
            wanted.retain(|((.., sentence), place)| {
                !(line.contains("SM-2002") && line.contains(&place.name) && line.contains(sentence))
            });
            wanted.is_empty()
        });
        eventually(Duration::from_secs(15), || {
            let page = page(good.metrics, "/metrics");
            let counted = |why: &str| {
                let labels = ["door=\"peer\"".to_owned(), format!("why=\"{why}\"")];
                page.lines().any(|line| labels.iter().all(|label| line.contains(label)))
            };
            let missing = judged.iter().find(|(_, why, _)| !counted(why))?;
            Some(format!("{missing:?} wasn't counted: {page}"))
        });
        let page = page(good.metrics, "/metrics");
        let members = page.lines().filter(|line| line.starts_with("silentmon_member_up"));
        let up: Vec<_> = members
            .filter(|line| line.ends_with(" 1") || line.ends_with(" 1.0"))
            .collect();
        assert!(up.is_empty(), "{up:?}");
    }
}

#[test]
fn a_supervisor_is_no_member() {
    let (pki, house) = (Pki::new(), House::empty());
    let (good, other) = (Place::of(Flaw::None), Place::of(Flaw::Expired));
    let _service = good.start(&house, &pki, (Flaw::None, "all.crl"), &[&other]);
    let credentials = Credentials::load(&pki.issue("supervisor", Flaw::None), None).expect("usable");
    let trust = Trust::load(&pki.path("root.pem"), Some(&pki.path("all.crl"))).expect("usable");
    let tls = ClientTls::new(&credentials, &trust, &[ALPN]).expect("usable");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dialled = runtime.block_on(connect(&ServerAddress::from(good.door), &tls, &Settings::client()));
    let refused = matches!(
        dialled,
        Err(ConnectError::Handshake {
            error: HandshakeError::Certificate(_),
            ..
        })
    );
    assert!(refused, "{dialled:?}");
}
