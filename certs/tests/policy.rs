//! The policy of an authority: what it forbids is signed on no way.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, CertsError, EnrolmentServer, Invitation, IssuingPolicy, KeyAlgorithm,
    Password, RequestOptions, Role, SignOptions, SubjectName, create_request, enrol, invite,
};
use tempfile::TempDir;
use time::OffsetDateTime;

struct House {
    folder: TempDir,
    authority: CertificateAuthority,
}

fn password() -> Password {
    Password::chosen("correct horse").expect("long enough")
}

fn options(name: &str) -> AuthorityOptions {
    AuthorityOptions {
        name: SubjectName::new(name).expect("a name"),
        days: 900,
        algorithm: KeyAlgorithm::EcdsaP256,
    }
}

fn supervisor(name: &str) -> Invitation {
    Invitation {
        role: Role::Supervisor,
        name: SubjectName::new(name).expect("a name"),
        hosts: Vec::new(),
        days: None,
    }
}

impl House {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority =
            CertificateAuthority::create(&folder.path().join("ca"), &options("House"), &password()).expect("made");
        let house = Self { folder, authority };
        house.rule(policy);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rule(&self, policy: &str) {
        fs::write(self.path("rules.toml"), policy).expect("written");
        IssuingPolicy::adopt(&self.path("ca"), &self.path("rules.toml")).expect("in force");
    }

    fn sign(&self, role: Role, name: &str, hosts: &[&str], options: &SignOptions) -> Result<OffsetDateTime, String> {
        let request = RequestOptions {
            role,
            name: SubjectName::new(name).expect("a name"),
            hosts: hosts.iter().map(|host| host.parse().expect("a host")).collect(),
        };
        let directory = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let (_, csr) = create_request(directory.path(), &request).expect("made");
        let issued = self.authority.sign(&csr, options, &csr.with_extension("pem"));
        issued
            .map(|issued| issued.identity.not_after)
            .map_err(|error| error.to_string())
    }
}

#[test]
fn what_the_policy_forbids_is_not_signed_and_the_rule_is_named() {
    let house = House::new(
        "roles = [\"capture\", \"supervisor\"]\nnames = [\"gw-*\", \"sup.*\"]\nhosts = [\"10.20.0.0/16\", \"*.calls.example\"]\nlongest_days = 90\n",
    );
    let usual = SignOptions::default();
    let end = house
        .sign(Role::Capture, "gw-1", &["10.20.0.5", "gw1.calls.example"], &usual)
        .expect("signed");
    assert_eq!((end - OffsetDateTime::now_utc()).whole_days(), 89, "as long as may be");
    let long = SignOptions {
        days: Some(91),
        ..SignOptions::default()
    };
    for (outcome, words) in [
        (
            house.sign(Role::Admin, "sup.anna", &[], &usual),
            "role admin, but `roles` in ",
        ),
        (
            house.sign(Role::Supervisor, "anna", &[], &usual),
            "the name anna, but `names` in ",
        ),
        (
            house.sign(Role::Capture, "gw-1", &["10.20.0.5", "10.21.0.5"], &usual),
            "the host 10.21.0.5, but `hosts` in ",
        ),
        (
            house.sign(Role::Supervisor, "sup.anna", &[], &long),
            "91 days, but `longest_days` in ",
        ),
    ] {
        let sentence = outcome.expect_err("refused");
        assert!(
            sentence.contains(words) && sentence.contains("policy.toml allows "),
            "{sentence}"
        );
    }
    let rows = CertificateAuthority::list(&house.path("ca")).expect("listed");
    assert_eq!(rows.len(), 1, "nothing else was signed");
}

#[test]
fn what_the_operator_grants_is_bound_by_the_policy_too() {
    let house = House::new("roles = [\"supervisor\"]\nkeys = [\"ecdsa-p256\"]\n");
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "anna");
    let request = params.serialize_request(&key).expect("made").pem().expect("PEM");
    fs::write(house.path("anna.csr"), request).expect("written");
    for (role, words) in [
        (Role::Admin, "role admin, but `roles`"),
        (Role::Supervisor, "a key of kind ed25519, but `keys`"),
    ] {
        let options = SignOptions {
            role: Some(role),
            ..SignOptions::default()
        };
        let signed = house
            .authority
            .sign(&house.path("anna.csr"), &options, &house.path("anna.pem"));
        let error = signed.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn an_authority_below_must_be_allowed() {
    let house = House::new("longest_days = 90\n");
    let below = house
        .authority
        .create_below(&house.path("below"), &options("Below"), &password());
    let error = below.err().expect("refused");
    assert!(
        matches!(
            error,
            CertsError::Forbidden {
                rule: "intermediates",
                ..
            }
        ),
        "{error}"
    );
    assert!(!house.path("below").exists());
    house.rule("intermediates = true\n");
    house
        .authority
        .create_below(&house.path("below"), &options("Below"), &password())
        .expect("made");
}

#[test]
fn no_token_is_made_for_what_the_policy_forbids_and_one_made_before_gets_nothing() {
    let house = House::new("names = [\"anna\", \"bert\"]\nlongest_days = 20\n");
    let hour = Duration::from_secs(3600);
    let error = invite(&house.path("ca"), supervisor("eve"), hour).expect_err("refused");
    assert!(
        error
            .to_string()
            .contains("the token asks for the name eve, but `names`"),
        "{error}"
    );
    let anna = invite(&house.path("ca"), supervisor("anna"), hour).expect("a token");
    let bert = invite(&house.path("ca"), supervisor("bert"), hour).expect("a token");

    let authority = CertificateAuthority::open(&house.path("ca"), &password()).expect("opens");
    let server = EnrolmentServer::bind(authority, ([127, 0, 0, 1], 0).into()).expect("listens");
    let address = server.local_address().expect("bound").to_string();
    let _running = std::thread::spawn(move || server.serve(hour, |_| {}));
    let enrolled = enrol(&address, &anna, &house.path("anna")).expect("enrolled");
    assert_eq!(
        (enrolled.identity.not_after - OffsetDateTime::now_utc()).whole_days(),
        19
    );
    house.rule("names = [\"anna\"]\n");
    let error = enrol(&address, &bert, &house.path("bert"))
        .expect_err("refused")
        .to_string();
    assert!(error.contains("the name bert, but `names`"), "{error}");
}

#[test]
fn an_authority_whose_policy_cannot_be_relied_on_signs_nothing() {
    let house = House::new("longest_days = 20\n");
    fs::write(house.path("ca/policy.toml"), "role = [\"admin\"]\n").expect("written");
    let error = house
        .sign(Role::Admin, "eve", &[], &SignOptions::default())
        .expect_err("refused");
    assert!(error.contains("expected the policy of an authority"), "{error}");
    let opened = CertificateAuthority::open(&house.path("ca"), &password());
    assert!(matches!(opened.err(), Some(CertsError::Content { .. })));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        house.rule("longest_days = 20\n");
        let everybody = fs::Permissions::from_mode(0o666);
        fs::set_permissions(house.path("ca/policy.toml"), everybody).expect("set");
        let opened = CertificateAuthority::open(&house.path("ca"), &password());
        assert!(matches!(opened.err(), Some(CertsError::Changeable { .. })));
    }
}
