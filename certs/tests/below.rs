//! Authorities whose root is on another machine: asked for, signed only on purpose, put together, kept current.

#![allow(clippy::expect_used, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, CertificateProblem, CertsError, ClientTls, Credentials,
    IntermediateOptions, IssuingPolicy, KeyAlgorithm, Password, RequestOptions, Role, SignOptions, SubjectName, Trust,
    create_request,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// Two machines that share nothing but what is carried between them.
struct Lab(TempDir);

fn password() -> Password {
    Password::chosen("correct horse").expect("long enough")
}

fn name(text: &str) -> SubjectName {
    SubjectName::new(text).expect("a name")
}

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn root(&self, folder: &str) -> CertificateAuthority {
        let options = AuthorityOptions {
            name: name("Root"),
            days: 90,
            algorithm: KeyAlgorithm::EcdsaP256,
        };
        CertificateAuthority::create(&self.path(folder), &options, &password()).expect("made")
    }

    fn ask(&self, who: &str) -> PathBuf {
        let request =
            CertificateAuthority::request(&self.path("house"), &name(who), KeyAlgorithm::Ed25519, &password());
        request.expect("made")
    }

    fn answered(&self, root: &CertificateAuthority, options: &IntermediateOptions) -> Result<PathBuf, CertsError> {
        let out = self.path("answer.pem");
        root.sign_intermediate(&self.path("house/ca.csr"), options, &out)?;
        Ok(out)
    }

    fn take(&self, sources: &[&str]) -> Result<CertificateAuthority, CertsError> {
        let sources: Vec<_> = sources.iter().map(|name| self.path(name)).collect();
        CertificateAuthority::take_answer(&self.path("house"), &sources, &password())
    }

    /// A house authority under a root elsewhere.
    fn founded() -> (Self, CertificateAuthority, CertificateAuthority) {
        let lab = Self::new();
        let root = lab.root("root");
        lab.ask("House");
        lab.answered(&root, &IntermediateOptions::default()).expect("signed");
        let house = lab.take(&["answer.pem"]).expect("put together");
        (lab, root, house)
    }

    fn warnings(&self, later: Duration) -> String {
        let now = OffsetDateTime::now_utc() + later;
        CertificateAuthority::warnings(&self.path("house"), now)
            .expect("known")
            .join("\n")
    }

    fn refresh(&self, from: &str) -> Result<usize, String> {
        let taken = CertificateAuthority::refresh_lists_above(&self.path("house"), &self.path(from));
        taken.map(|lists| lists.len()).map_err(|error| error.to_string())
    }
}

fn failure<T>(outcome: Result<T, CertsError>) -> String {
    outcome.err().expect("refused").to_string()
}

#[test]
fn an_answer_makes_an_authority_whose_holders_are_trusted_by_the_root() {
    let (lab, root, house) = Lab::founded();
    let holder = RequestOptions {
        role: Role::Capture,
        name: name("gw1"),
        hosts: vec!["127.0.0.1".parse().expect("a host")],
    };
    let gw1 = house
        .issue(&lab.path("gw1"), &holder, &SignOptions::default())
        .expect("issued");
    let gw1 = Credentials::load(&gw1, None).expect("loads");
    assert_eq!(gw1.chain().len(), 2, "with the authority between");
    let judged = || {
        let lists =
            ["house/crl.pem", "house/crl-above.pem"].map(|name| fs::read_to_string(lab.path(name)).expect(name));
        fs::write(lab.path("lists.pem"), lists.concat()).expect("written");
        let trust = Trust::load(&lab.path("root/ca.pem"), Some(&lab.path("lists.pem"))).expect("loads");
        let tls = ClientTls::new(&gw1, &trust, &[b"x"]).expect("usable");
        tls.recheck(gw1.chain(), "127.0.0.1")
    };
    assert_eq!(judged(), Ok(()));
    let fingerprint = house.root_fingerprint();
    assert_eq!(fingerprint, root.root_fingerprint(), "what people compare");
    let reopened = CertificateAuthority::open(&lab.path("house"), &password());
    assert!(reopened.is_ok(), "it works with nothing of the root's");
    let rows = CertificateAuthority::list(&lab.path("root")).expect("listed");
    assert!(
        matches!(&rows[..], [(who, None)] if who.authority && who.holder() == "CN=House"),
        "{rows:?}"
    );

    // The root takes it back; its new list is carried over.
    root.revoke(&rows[0].0.serial.to_string()).expect("revoked");
    assert_eq!(lab.refresh("root/crl.pem"), Ok(1));
    assert_eq!(judged(), Err(CertificateProblem::IssuerRevoked));
    assert!(lab.warnings(Duration::ZERO).contains("CN=House has been revoked"));
}

#[test]
fn only_who_asks_for_the_rights_of_an_authority_and_is_meant_to_gets_them() {
    let lab = Lab::new();
    let root = lab.root("root");
    let request = lab.ask("House");
    // By accident: no role was named.
    let error = failure(root.sign(&request, &SignOptions::default(), &lab.path("x.pem")));
    assert!(
        error.contains("asks for the rights of an authority: with --intermediate"),
        "{error}"
    );
    // A holder's certificate, where that is what the operator says.
    let leaf = SignOptions {
        role: Some(Role::Supervisor),
        ..SignOptions::default()
    };
    root.sign(&request, &leaf, &lab.path("x.pem")).expect("signed");
    let error = failure(lab.take(&["x.pem"]));
    assert!(error.contains("CN=House without the rights of an authority"), "{error}");
    assert!(!lab.path("house/ca.pem").exists());

    // Nobody else's request makes an authority.
    let anna = RequestOptions {
        role: Role::Supervisor,
        name: name("anna"),
        hosts: Vec::new(),
    };
    let (_, request) = create_request(&lab.path("anna"), &anna).expect("made");
    let signed = root.sign_intermediate(&request, &IntermediateOptions::default(), &lab.path("x.pem"));
    assert!(failure(signed).contains("asks for no rights of an authority"));
    let other = IntermediateOptions {
        name: Some(name("Hut")),
        ..IntermediateOptions::default()
    };
    assert!(failure(lab.answered(&root, &other)).contains("the name House, but Hut was to be granted"));
    fs::write(lab.path("rules.toml"), "roles = [\"capture\"]\n").expect("written");
    IssuingPolicy::adopt(&lab.path("root"), &lab.path("rules.toml")).expect("in force");
    let error = failure(lab.answered(&root, &IntermediateOptions::default()));
    assert!(
        error.contains("`intermediates`") && error.contains("allows none"),
        "{error}"
    );
}

#[test]
fn path_lengths_and_names_keep_the_chain_in_order() {
    let (lab, root, house) = Lab::founded();
    let long = IntermediateOptions {
        path_length: Some(1),
        ..IntermediateOptions::default()
    };
    let error = failure(lab.answered(&root, &long));
    assert!(error.contains("at most 0") && error.contains("found 1"), "{error}");
    let below = house.sign_intermediate(
        &lab.path("house/ca.csr"),
        &IntermediateOptions::default(),
        &lab.path("x.pem"),
    );
    assert!(matches!(below, Err(CertsError::PathLength(_))));
    let lab = Lab::new();
    let root = lab.root("root");
    lab.ask("Root");
    let error = failure(lab.answered(&root, &IntermediateOptions::default()));
    assert!(
        error.contains("an authority named Root stands above already"),
        "{error}"
    );
}

#[test]
fn an_answer_of_somebody_else_is_refused() {
    let lab = Lab::new();
    let (root, stranger) = (lab.root("root"), lab.root("stranger"));
    lab.ask("House");
    lab.answered(&root, &IntermediateOptions::default()).expect("signed");
    let answer = fs::read_to_string(lab.path("answer.pem")).expect("there");
    // The other root has the same name.
    let own = answer
        .split_inclusive("-----END CERTIFICATE-----\n")
        .next()
        .expect("a certificate");
    let strange = fs::read_to_string(lab.path("stranger/ca.pem")).expect("there");
    fs::write(lab.path("strange.pem"), format!("{own}{strange}")).expect("written");
    let error = failure(lab.take(&["strange.pem"]));
    assert!(
        error.contains("found none of CN=Root who signed that of CN=House"),
        "{error}"
    );
    // The right chain with the other's list.
    let list = fs::read_to_string(lab.path("stranger/crl.pem")).expect("there");
    fs::write(lab.path("strange.pem"), format!("{answer}{list}")).expect("written");
    let error = failure(lab.take(&["strange.pem"]));
    assert!(error.contains("in the name of CN=Root that it didn't sign"), "{error}");
    assert!(!lab.path("house/ca.pem").exists(), "nothing half made");
    let error = failure(lab.take(&["root/ca.pem"]));
    assert!(error.contains("belongs to the private key"), "{error}");
    let wrong = CertificateAuthority::take_answer(
        &lab.path("house"),
        &[lab.path("answer.pem")],
        &Password::existing("wrong horse"),
    );
    assert!(matches!(wrong, Err(CertsError::WrongPassword { .. })));
    // In any order and from several files it is as good.
    fs::write(lab.path("own.pem"), own).expect("written");
    lab.take(&["root/crl.pem", "root/ca.pem", "own.pem"])
        .expect("put together");
    drop(stranger);
}

#[test]
fn lists_above_are_taken_when_they_are_newer_and_signed_by_one_above() {
    let (lab, root, _) = Lab::founded();
    fs::copy(lab.path("root/crl.pem"), lab.path("old.pem")).expect("copied");
    root.renew_revocation_list().expect("signed");
    assert_eq!(lab.refresh("root"), Ok(1), "from the folder of the one above");
    assert_eq!(lab.refresh("root/crl.pem"), Ok(1), "again is no harm");
    let error = lab.refresh("old.pem").expect_err("refused");
    assert!(error.contains("older than the one in"), "{error}");
    let error = lab.refresh("house/crl.pem").expect_err("refused");
    assert!(error.contains("found none of theirs"), "{error}");
    let stranger = lab.root("stranger");
    stranger.renew_revocation_list().expect("signed");
    let error = lab.refresh("stranger/crl.pem").expect_err("refused");
    assert!(error.contains("in the name of CN=Root that it didn't sign"), "{error}");
    let kept = fs::read_to_string(lab.path("house/crl-above.pem")).expect("there");
    let current = fs::read_to_string(lab.path("root/crl.pem")).expect("there");
    assert_eq!(kept, current);
}

#[test]
fn what_of_an_authority_ends_soon_or_is_missing_is_said() {
    let (lab, _, _) = Lab::founded();
    assert_eq!(lab.warnings(Duration::ZERO), "");
    let soon = lab.warnings(Duration::days(800));
    for words in [
        "the revocation list of CN=Root expires on",
        "the revocation list of CN=House expires on",
        "the certificate of CN=Root expired on",
        "the certificate of CN=House expired on",
    ] {
        assert!(soon.contains(words), "{words}: {soon}");
    }
    fs::remove_file(lab.path("house/crl-above.pem")).expect("removed");
    let missing = lab.warnings(Duration::ZERO);
    assert!(
        missing.contains("no revocation list of CN=Root") && missing.contains("--above"),
        "{missing}"
    );
}

#[test]
fn a_certificate_is_renewed_with_the_key_that_is_there() {
    let (lab, root, house) = Lab::founded();
    let holder = RequestOptions {
        role: Role::Supervisor,
        name: name("anna"),
        hosts: Vec::new(),
    };
    let anna = house
        .issue(&lab.path("anna"), &holder, &SignOptions::default())
        .expect("issued");
    house.revoke(anna.to_str().expect("UTF-8")).expect("revoked");
    let key = fs::read(lab.path("house/ca.key")).expect("there");
    assert_eq!(
        CertificateAuthority::name_in(&lab.path("house")).expect("known"),
        Some(name("House"))
    );
    lab.ask("House");
    assert_eq!(fs::read(lab.path("house/ca.key")).expect("there"), key);
    let before = fs::read(lab.path("house/ca.pem")).expect("there");
    lab.answered(&root, &IntermediateOptions::default()).expect("signed");
    // A list that is newer than the answer stays.
    root.renew_revocation_list().expect("signed");
    assert_eq!(lab.refresh("root"), Ok(1));
    lab.take(&["answer.pem"]).expect("put together");
    let list = |name: &str| fs::read_to_string(lab.path(name)).expect("there");
    assert_eq!(list("house/crl-above.pem"), list("root/crl.pem"));
    assert_ne!(fs::read(lab.path("house/ca.pem")).expect("there"), before);
    let rows = CertificateAuthority::list(&lab.path("house")).expect("listed");
    assert!(matches!(&rows[..], [(_, Some(_))]), "what was revoked stays so");
    // Another name would orphan what was issued.
    lab.ask("Hut");
    lab.answered(&root, &IntermediateOptions::default()).expect("signed");
    let error = failure(lab.take(&["answer.pem"]));
    assert!(error.contains("found CN=Hut in place of CN=House"), "{error}");
}

fn openssl(arguments: &str, folder: &Path) -> Option<(bool, String)> {
    let command = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output();
    let output = command.ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

#[test]
fn openssl_accepts_the_chain_and_a_companys_authority_may_answer() {
    let (lab, _, house) = Lab::founded();
    let holder = RequestOptions {
        role: Role::Supervisor,
        name: name("anna"),
        hosts: Vec::new(),
    };
    house
        .issue(lab.0.path(), &holder, &SignOptions::default())
        .expect("issued");
    let verify = "verify -x509_strict -CAfile root/ca.pem -untrusted house/ca.pem anna.pem";
    let Some((good, said)) = openssl(verify, lab.0.path()) else {
        eprintln!("skipped: no openssl");
        return;
    };
    assert!(good, "{said}");

    let lab = Lab::new();
    lab.ask("House");
    for command in [
        "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -subj /O=Example/CN=Company -days 90",
        "x509 -req -in house/ca.csr -CA root.pem -CAkey root.key -CAcreateserial -copy_extensions copy -days 60 -out house.crt",
    ] {
        let (good, said) = openssl(command, lab.0.path()).expect("runs");
        assert!(good, "{command}: {said}");
    }
    let house = lab.take(&["house.crt", "root.pem"]).expect("put together");
    house
        .issue(lab.0.path(), &holder, &SignOptions::default())
        .expect("issued");
    let (good, said) = openssl("verify -CAfile root.pem -untrusted house.crt anna.pem", lab.0.path()).expect("runs");
    assert!(good, "{said}");
}
