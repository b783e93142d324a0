//! Authority, requests and credentials on real files, cross-checked with OpenSSL where it is installed.

#![allow(clippy::expect_used, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyPair, KeyUsagePurpose};
use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, CertsError, Credentials, Password, RequestOptions, Role, SignOptions,
    SubjectName, Trust, create_request,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

struct Fixture {
    directory: TempDir,
    authority: CertificateAuthority,
}

fn password() -> Password {
    Password::chosen("correct horse").expect("long enough")
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    let options = AuthorityOptions {
        name: SubjectName::new("Test CA").expect("a name"),
        days: 30,
        algorithm: silentmon_certs::KeyAlgorithm::default(),
    };
    let authority = CertificateAuthority::create(&directory.path().join("ca"), &options, &password()).expect("made");
    Fixture { directory, authority }
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn request(&self, role: Role, name: &str) -> PathBuf {
        let options = RequestOptions {
            role,
            name: SubjectName::new(name).expect("a name"),
            hosts: vec![
                "127.0.0.1".parse().expect("a host"),
                "gw1.example".parse().expect("a host"),
            ],
        };
        create_request(self.directory.path(), &options).expect("made").1
    }

    fn signed(&self, role: Role, name: &str) -> PathBuf {
        let out = self.path(&format!("{name}.pem"));
        self.authority
            .sign(&self.request(role, name), &SignOptions::default(), &out)
            .expect("signed");
        out
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[cfg(unix)]
fn keep_secret(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
}

#[test]
fn what_was_requested_is_what_the_credentials_say() {
    let fixture = fixture();
    let path = fixture.signed(Role::Capture, "gw1");
    let credentials = Credentials::load(&path, None).expect("loads");
    let identity = credentials.identity();
    assert_eq!((identity.role, identity.name.as_str()), (Role::Capture, "gw1"));
    assert_eq!(identity.hosts, ["127.0.0.1", "gw1.example"]);
    assert_eq!(credentials.chain().len(), 1, "the root stays at home");
    assert_eq!(
        fs::read_to_string(&path)
            .expect("there")
            .matches("BEGIN CERTIFICATE")
            .count(),
        2
    );
}

#[cfg(unix)]
#[test]
fn private_keys_are_for_their_owner_only() {
    let fixture = fixture();
    fixture.request(Role::Capture, "gw1");
    assert_eq!(mode(&fixture.path("ca/ca.key")), 0o600);
    assert_eq!(mode(&fixture.path("gw1.key")), 0o600);
    assert_eq!(mode(&fixture.path("ca/ca.pem")), 0o644);
}

#[test]
fn no_certificate_outlives_its_authority() {
    let fixture = fixture();
    let credentials = Credentials::load(&fixture.signed(Role::Admin, "root"), None).expect("loads");
    assert!(credentials.identity().not_after <= OffsetDateTime::now_utc() + Duration::days(30));
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    let fixture = fixture();
    let opened = CertificateAuthority::open(&fixture.path("ca"), &Password::existing("wrong horse"));
    let error = opened.err().expect("refused");
    assert!(matches!(error, CertsError::WrongPassword { .. }), "{error}");
    assert!(error.to_string().contains("ca.key"), "{error}");
}

#[test]
fn a_short_password_is_refused() {
    let error = Password::chosen("1234567").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "expected a password of 8 to 1023 characters, found 7"
    );
}

#[test]
fn a_second_authority_does_not_replace_the_first() {
    let fixture = fixture();
    let options = AuthorityOptions {
        name: SubjectName::new("Other").expect("a name"),
        days: 30,
        algorithm: silentmon_certs::KeyAlgorithm::default(),
    };
    let before = fs::read(fixture.path("ca/ca.key")).expect("there");
    let second = CertificateAuthority::create(&fixture.path("ca"), &options, &password());
    assert!(matches!(second, Err(CertsError::Exists { .. })));
    assert_eq!(fs::read(fixture.path("ca/ca.key")).expect("there"), before);
}

#[test]
fn a_request_does_not_replace_a_key() {
    let fixture = fixture();
    fixture.request(Role::Capture, "gw1");
    let options = RequestOptions {
        role: Role::Capture,
        name: SubjectName::new("gw1").expect("a name"),
        hosts: Vec::new(),
    };
    assert!(matches!(
        create_request(fixture.directory.path(), &options),
        Err(CertsError::Exists { .. })
    ));
}

#[test]
fn a_request_for_ca_rights_gets_a_plain_certificate() {
    let fixture = fixture();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let role = rcgen::SanType::URI("urn:silentmon:role:supervisor".try_into().expect("ASCII"));
    params.subject_alt_names = vec![
        role,
        rcgen::SanType::Rfc822Name("a@b.example".try_into().expect("ASCII")),
    ];
    params.distinguished_name.push(rcgen::DnType::CommonName, "mallory");
    // subjectKeyIdentifier and a Microsoft template: other tools put them in.
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(&[2, 5, 29, 14], vec![4, 2, 1, 2]),
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 311, 20, 2], vec![12, 1, 65]),
    ];
    let key = KeyPair::generate().expect("a key");
    let request = fixture.path("mallory.csr");
    fs::write(
        &request,
        params.serialize_request(&key).expect("made").pem().expect("PEM"),
    )
    .expect("written");
    let out = fixture.path("mallory.pem");
    let issued = fixture
        .authority
        .sign(&request, &SignOptions::default(), &out)
        .expect("signed");
    assert_eq!(issued.ignored.len(), 1, "{:?}", issued.ignored);
    let trust = Trust::load(&out, None).expect_err("the first certificate in it is no authority");
    assert!(trust.to_string().contains("mallory"), "{trust}");
}

#[test]
fn a_request_signed_by_another_key_is_refused() {
    let fixture = fixture();
    let path = fixture.request(Role::Capture, "gw1");
    let pem = fs::read(&path).expect("there");
    let mut der = x509_parser::pem::parse_x509_pem(&pem).expect("PEM").1.contents;
    *der.last_mut().expect("bytes") ^= 1;
    let label = "CERTIFICATE REQUEST";
    let forged = pkcs8::der::pem::encode_string(label, pkcs8::LineEnding::LF, &der).expect("PEM");
    fs::write(&path, forged).expect("written");
    let error = fixture
        .authority
        .sign(&path, &SignOptions::default(), &fixture.path("x.pem"))
        .expect_err("refused");
    assert!(matches!(error, CertsError::Request { .. }), "{error}");
}

#[test]
fn another_role_than_the_operator_grants_is_refused() {
    let fixture = fixture();
    let options = SignOptions {
        role: Some(Role::Supervisor),
        ..SignOptions::default()
    };
    let request = fixture.request(Role::Admin, "eve");
    let error = fixture
        .authority
        .sign(&request, &options, &fixture.path("x.pem"))
        .expect_err("refused");
    assert!(matches!(error, CertsError::RequestRole { .. }), "{error}");
}

#[test]
fn certificate_and_key_may_stand_in_one_file_in_any_order() {
    let fixture = fixture();
    let certificate = fs::read_to_string(fixture.signed(Role::Supervisor, "sonja")).expect("there");
    let key = fs::read_to_string(fixture.path("sonja.key")).expect("there");
    for (name, text) in [
        ("a.pem", format!("{certificate}{key}")),
        ("b.pem", format!("{key}some words\n{certificate}")),
    ] {
        fs::write(fixture.path(name), text).expect("written");
        keep_secret(&fixture.path(name));
        let credentials = Credentials::load(&fixture.path(name), None).expect("loads");
        assert_eq!(credentials.identity().name.as_str(), "sonja");
    }
}

#[test]
fn a_missing_key_and_a_foreign_key_are_told_apart() {
    let fixture = fixture();
    let path = fixture.signed(Role::Supervisor, "sonja");
    let foreign = fixture.request(Role::Supervisor, "other").with_extension("key");
    fs::copy(foreign, fixture.path("sonja.key")).expect("copied");
    let error = Credentials::load(&path, None).expect_err("refused");
    assert!(
        matches!(error, CertsError::KeyMismatch { certificates: 2, .. }),
        "{error}"
    );
    fs::remove_file(fixture.path("sonja.key")).expect("removed");
    let error = Credentials::load(&path, None).expect_err("refused");
    assert!(matches!(error, CertsError::KeyMissing { .. }), "{error}");
}

#[test]
fn an_expired_certificate_loads_with_a_warning() {
    let fixture = fixture();
    let credentials = Credentials::load(&fixture.signed(Role::Supervisor, "sonja"), None).expect("loads");
    assert_eq!(
        credentials.warnings(OffsetDateTime::now_utc()).len(),
        1,
        "30 days are soon over"
    );
    let later = credentials.warnings(OffsetDateTime::now_utc() + Duration::days(31));
    assert!(
        later.first().is_some_and(|text| text.contains("expired on")),
        "{later:?}"
    );
}

#[test]
fn revoked_certificates_are_listed_as_such() {
    let fixture = fixture();
    let path = fixture.signed(Role::Supervisor, "sonja");
    fixture.signed(Role::Supervisor, "tim");
    let by_file = fixture
        .authority
        .revoke(path.to_str().expect("UTF-8"))
        .expect("revoked");
    let by_serial = fixture
        .authority
        .revoke(&by_file.serial.to_string())
        .expect("revoked again");
    assert_eq!(by_file.serial, by_serial.serial);
    let rows = CertificateAuthority::list(&fixture.path("ca")).expect("listed");
    let rows: Vec<_> = rows
        .iter()
        .map(|(who, revoked)| (who.holder(), revoked.is_some()))
        .collect();
    assert_eq!(rows, [("sonja", true), ("tim", false)]);
    assert!(matches!(
        fixture.authority.revoke("abcd"),
        Err(CertsError::UnknownCertificate(_))
    ));
}

fn openssl(arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl").args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text))
}

#[test]
fn openssl_agrees_about_chain_revocation_and_key() {
    let fixture = fixture();
    let path = fixture.signed(Role::Capture, "gw1");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, ca, crl) = (
        text(&path),
        text(&fixture.path("ca/ca.pem")),
        text(&fixture.path("ca/crl.pem")),
    );
    let verify = [
        "verify",
        "-x509_strict",
        "-crl_check",
        "-CAfile",
        &ca,
        "-CRLfile",
        &crl,
        &certificate,
    ];
    let Some((good, said)) = openssl(&verify) else {
        eprintln!("skipped: no openssl");
        return;
    };
    assert!(good, "{said}");
    let key = text(&fixture.path("ca/ca.key"));
    let (good, said) = openssl(&["pkey", "-in", &key, "-passin", "pass:correct horse", "-noout"]).expect("runs");
    assert!(good, "{said}");
    fixture.authority.revoke(&certificate).expect("revoked");
    let (good, said) = openssl(&verify).expect("runs");
    assert!(!good && said.contains("revoked"), "{said}");
}

#[test]
fn requests_made_by_openssl_are_signed() {
    let fixture = fixture();
    for (name, kind) in [("rsa", "rsa:2048"), ("ed", "ed25519"), ("weak", "rsa:1024")] {
        let (key, csr) = (
            fixture.path(&format!("{name}.key")),
            fixture.path(&format!("{name}.csr")),
        );
        let (key, csr) = (key.to_str().expect("UTF-8"), csr.to_str().expect("UTF-8"));
        let subject = format!("/CN={name}");
        let made = openssl(&[
            "req",
            "-new",
            "-newkey",
            kind,
            "-nodes",
            "-keyout",
            key,
            "-out",
            csr,
            "-subj",
            &subject,
            "-addext",
            "subjectAltName=DNS:host.example",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ]);
        let Some((true, _)) = made else {
            eprintln!("skipped: no openssl");
            return;
        };
        let options = SignOptions {
            role: Some(Role::Capture),
            ..SignOptions::default()
        };
        let out = fixture.path(&format!("{name}.pem"));
        let signed = fixture.authority.sign(Path::new(csr), &options, &out);
        if name == "weak" {
            let error = signed.expect_err("refused");
            assert!(error.to_string().contains("1024 bits"), "{error}");
            continue;
        }
        let issued = signed.expect(name);
        assert_eq!(issued.identity.hosts, ["host.example"]);
        Credentials::load(&out, None).expect("loads");
    }
}
