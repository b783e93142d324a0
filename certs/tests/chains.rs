//! Authorities below authorities, authorities of others, and files of other tools; OpenSSL is the judge where it is
//! installed.

#![allow(clippy::expect_used, clippy::print_stderr)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, CertificateProblem, CertsError, ClientTls, Credentials, KeyAlgorithm,
    Password, RequestOptions, Role, ServerTls, SignOptions, SubjectName, Trust, create_request, import,
};
use tempfile::TempDir;

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// Runs `openssl`; words that name files here begin with `@`. `None` where it isn't installed.
    fn openssl(&self, command: &str) -> Option<(bool, String)> {
        let words = command.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.text(name),
            None => word.to_owned(),
        });
        let Ok(output) = Command::new("openssl").args(words).output() else {
            eprintln!("skipped: no openssl");
            return None;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Some((output.status.success(), said))
    }

    fn join(&self, to: &str, from: &[&str]) {
        let parts: Vec<_> = from
            .iter()
            .map(|name| fs::read_to_string(self.path(name)).expect(name))
            .collect();
        fs::write(self.path(to), parts.concat()).expect("written");
        fs::set_permissions(self.path(to), fs::Permissions::from_mode(0o600)).expect("set");
    }

    fn request(&self, role: Role, name: &str) {
        create_request(self.0.path(), &holder(role, name)).expect("made");
    }
}

fn password() -> Password {
    Password::chosen("correct horse").expect("long enough")
}

fn authority(name: &str, algorithm: KeyAlgorithm) -> AuthorityOptions {
    AuthorityOptions {
        name: SubjectName::new(name).expect("a name"),
        days: 90,
        algorithm,
    }
}

fn holder(role: Role, name: &str) -> RequestOptions {
    RequestOptions {
        role,
        name: SubjectName::new(name).expect("a name"),
        hosts: vec!["127.0.0.1".parse().expect("a host")],
    }
}

/// A root with an authority below it, which issued `gw1`.
fn two_levels(algorithm: KeyAlgorithm) -> (Lab, CertificateAuthority, CertificateAuthority) {
    let lab = Lab::new();
    let root = CertificateAuthority::create(&lab.path("root"), &authority("Root", algorithm), &password());
    let root = root.expect("made");
    let house = root
        .create_below(&lab.path("house"), &authority("House", algorithm), &password())
        .expect("made");
    house
        .issue(lab.0.path(), &holder(Role::Capture, "gw1"), &SignOptions::default())
        .expect("issued");
    (lab, root, house)
}

/// What a supervisor's program finds who trusts `ca` and these lists.
fn judged(lab: &Lab, ca: &str, lists: &[&str]) -> Result<(), CertificateProblem> {
    lab.join("lists.pem", lists);
    let trust = Trust::load(
        &lab.path(ca),
        (!lists.is_empty()).then(|| lab.path("lists.pem")).as_deref(),
    );
    let server = Credentials::load(&lab.path("gw1.pem"), None).expect("loads");
    let tls = ClientTls::new(&server, &trust.expect("loads"), &[b"x"]).expect("usable");
    tls.recheck(server.chain(), "127.0.0.1")
}

#[test]
fn an_authority_below_another_issues_chains_that_can_be_verified_and_revoked() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        let (lab, root, house) = two_levels(algorithm);
        let server = Credentials::load(&lab.path("gw1.pem"), None).expect("loads");
        assert_eq!(server.chain().len(), 2, "with the authority between, without the root");
        let both = ["root/crl.pem", "house/crl.pem"];
        assert_eq!(judged(&lab, "root/ca.pem", &both), Ok(()));
        assert_eq!(judged(&lab, "root/ca.pem", &[]), Ok(()));
        // Its file holds the root, too; only that is trusted.
        assert_eq!(judged(&lab, "house/ca.pem", &both), Ok(()));
        for one in both {
            let unknown = judged(&lab, "root/ca.pem", &[one]);
            assert_eq!(unknown, Err(CertificateProblem::RevocationUnknown), "{one}");
        }
        house.revoke(&lab.text("gw1.pem")).expect("revoked");
        assert_eq!(judged(&lab, "root/ca.pem", &both), Err(CertificateProblem::Revoked));

        let (lab, root) = (lab, root);
        house
            .issue(
                &lab.path("again"),
                &holder(Role::Capture, "gw1"),
                &SignOptions::default(),
            )
            .expect("issued");
        lab.join("gw1.pem", &["again/gw1.pem", "again/gw1.key"]);
        assert_eq!(judged(&lab, "house/ca.pem", &both), Ok(()));
        root.revoke(&lab.text("house/ca.pem")).expect("revoked");
        assert_eq!(
            judged(&lab, "house/ca.pem", &both),
            Err(CertificateProblem::IssuerRevoked)
        );
        let rows = CertificateAuthority::list(&lab.path("root")).expect("listed");
        let rows: Vec<_> = rows
            .iter()
            .map(|(who, revoked)| (who.holder(), who.authority, revoked.is_some()))
            .collect();
        assert_eq!(rows, [("CN=House", true, true)]);
    }
}

#[test]
fn of_two_lists_of_one_authority_the_newer_counts_wherever_it_stands() {
    let (lab, _, house) = two_levels(KeyAlgorithm::EcdsaP256);
    fs::copy(lab.path("house/crl.pem"), lab.path("old.pem")).expect("copied");
    house.revoke(&lab.text("gw1.pem")).expect("revoked");
    for lists in [
        ["root/crl.pem", "old.pem", "house/crl.pem"],
        ["root/crl.pem", "house/crl.pem", "old.pem"],
    ] {
        assert_eq!(
            judged(&lab, "root/ca.pem", &lists),
            Err(CertificateProblem::Revoked),
            "{lists:?}"
        );
    }
}

#[test]
fn an_authority_at_the_end_of_its_path_has_none_below() {
    let (lab, _, house) = two_levels(KeyAlgorithm::EcdsaP256);
    let third = house.create_below(
        &lab.path("third"),
        &authority("Third", KeyAlgorithm::EcdsaP256),
        &password(),
    );
    let error = third.err().expect("refused");
    assert!(matches!(error, CertsError::PathLength(_)), "{error}");
    assert!(!lab.path("third").exists());
}

#[test]
fn openssl_agrees_about_chains_lists_and_keys_of_both_algorithms() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        let (lab, root, _) = two_levels(algorithm);
        lab.join("lists.pem", &["root/crl.pem", "house/crl.pem"]);
        let verify = "verify -x509_strict -crl_check_all -CAfile @root/ca.pem -untrusted @house/ca.pem -CRLfile @lists.pem \
                      -purpose sslserver -verify_ip 127.0.0.1 @gw1.pem";
        let Some((good, said)) = lab.openssl(verify) else {
            return;
        };
        assert!(good, "{algorithm:?}: {said}");
        let key = "pkey -in @house/ca.key -passin pass:correct\u{20}horse -noout";
        let key = key.replace(' ', "\n").replace("correct\nhorse", "correct horse");
        let words: Vec<_> = key
            .split('\n')
            .map(|word| word.replace('@', &format!("{}/", lab.0.path().display())))
            .collect();
        let opened = Command::new("openssl").args(words).output().expect("runs");
        assert!(
            opened.status.success(),
            "{algorithm:?}: {}",
            String::from_utf8_lossy(&opened.stderr)
        );
        root.revoke(&lab.text("house/ca.pem")).expect("revoked");
        lab.join("lists.pem", &["root/crl.pem", "house/crl.pem"]);
        let (good, said) = lab.openssl(verify).expect("runs");
        assert!(!good && said.contains("revoked"), "{algorithm:?}: {said}");
    }
}

#[test]
fn only_what_the_operator_names_is_granted() {
    let lab = Lab::new();
    let ca = CertificateAuthority::create(&lab.path("ca"), &authority("CA", KeyAlgorithm::EcdsaP256), &password());
    let ca = ca.expect("made");
    lab.request(Role::Capture, "gw1");
    let sign = |options: SignOptions| ca.sign(&lab.path("gw1.csr"), &options, &lab.path("gw1.pem"));
    let host = |text: &str| Some(vec![text.parse().expect("a host")]);
    for (options, words) in [
        (
            SignOptions {
                role: Some(Role::Supervisor),
                ..SignOptions::default()
            },
            "role supervisor was to be granted",
        ),
        (
            SignOptions {
                name: SubjectName::new("gw2").ok(),
                ..SignOptions::default()
            },
            "gw2 was to be granted",
        ),
        (
            SignOptions {
                hosts: host("10.1.1.5"),
                ..SignOptions::default()
            },
            "the host 127.0.0.1, which was not",
        ),
        (
            SignOptions {
                hosts: Some(Vec::new()),
                ..SignOptions::default()
            },
            "the host 127.0.0.1, which was not",
        ),
    ] {
        let error = sign(options).expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(!lab.path("gw1.pem").exists());
    let all = SignOptions {
        role: Some(Role::Capture),
        name: SubjectName::new("gw1").ok(),
        hosts: host("127.0.0.1"),
        ..SignOptions::default()
    };
    sign(all).expect("granted");
}

/// A company's root and the authority below it, made by openssl; `None` without it.
fn company() -> Option<Lab> {
    let lab = Lab::new();
    fs::write(
        lab.path("ca.ext"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n",
    )
    .expect("written");
    for command in [
        "req -x509 -newkey rsa:2048 -nodes -keyout @root.key -out @root.pem -subj /O=Company/CN=CompanyRoot -days 900 \
         -addext keyUsage=critical,keyCertSign,cRLSign",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout @issuing.key -out @issuing.csr \
         -subj /O=Company/CN=CompanyIssuing",
        "x509 -req -in @issuing.csr -CA @root.pem -CAkey @root.key -CAcreateserial -extfile @ca.ext -out @issuing.pem -days 800",
    ] {
        let (good, said) = lab.openssl(command)?;
        assert!(good, "{command}: {said}");
    }
    Some(lab)
}

#[test]
fn certificates_of_a_companys_authority_are_accepted_for_both_ends() {
    let Some(lab) = company() else { return };
    for (role, name) in [(Role::Capture, "gw1"), (Role::Supervisor, "anna")] {
        lab.request(role, name);
        let sign = format!(
            "x509 -req -in @{name}.csr -CA @issuing.pem -CAkey @issuing.key -CAcreateserial -copy_extensions copy -days 90 \
             -out @{name}.crt"
        );
        let (good, said) = lab.openssl(&sign).expect("runs");
        assert!(good, "{said}");
        // The authority between first: any order is good.
        lab.join(&format!("{name}.pem"), &["issuing.pem", &format!("{name}.crt")]);
    }
    let trust = Trust::load(&lab.path("root.pem"), None).expect("loads");
    let gw1 = Credentials::load(&lab.path("gw1.pem"), None).expect("loads");
    let anna = Credentials::load(&lab.path("anna.pem"), None).expect("loads");
    assert_eq!(
        (anna.identity().role, anna.identity().name.as_str()),
        (Role::Supervisor, "anna")
    );
    let server = ServerTls::new(&gw1, &trust, &[Role::Supervisor], &[b"x"]).expect("usable");
    assert_eq!(server.recheck(anna.chain()), Ok(()));
    let client = ClientTls::new(&anna, &trust, &[b"x"]).expect("usable");
    assert_eq!(client.recheck(gw1.chain(), "127.0.0.1"), Ok(()));
}

#[test]
fn a_request_for_powers_gets_none_of_them() {
    let lab = Lab::new();
    let ca = CertificateAuthority::create(&lab.path("ca"), &authority("CA", KeyAlgorithm::EcdsaP256), &password());
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout @eve.key -out @eve.csr -subj /CN=eve \
                   -addext subjectAltName=URI:urn:silentmon:role:supervisor,email:eve@example.org \
                   -addext basicConstraints=critical,CA:TRUE,pathlen:5 -addext keyUsage=critical,keyCertSign,cRLSign \
                   -addext extendedKeyUsage=codeSigning,serverAuth -addext certificatePolicies=1.2.3.4 \
                   -addext 1.3.6.1.4.1.311.20.2=ASN1:UTF8String:SubCA -addext nameConstraints=permitted;DNS:example.org";
    let Some((good, said)) = lab.openssl(request) else {
        return;
    };
    assert!(good, "{said}");
    let issued = ca
        .expect("made")
        .sign(&lab.path("eve.csr"), &SignOptions::default(), &lab.path("eve.pem"));
    assert_eq!(issued.expect("signed").identity.name.as_str(), "eve");
    let (_, text) = lab.openssl("x509 -in @eve.pem -noout -text").expect("runs");
    assert!(
        text.contains("CA:FALSE") && text.contains("TLS Web Client Authentication"),
        "{text}"
    );
    for power in [
        "CA:TRUE",
        "Certificate Sign",
        "CRL Sign",
        "Code Signing",
        "Server Auth",
        "1.2.3.4",
        "311.20.2",
        "eve@",
    ] {
        assert!(!text.contains(power), "{power}: {text}");
    }
}

#[test]
fn the_files_of_other_tools_are_put_in_place_whatever_they_are_called() {
    let Some(lab) = company() else { return };
    fs::create_dir(lab.path("found")).expect("made");
    let made = |command: &str| {
        let (good, said) = lab.openssl(command).expect("runs");
        assert!(good, "{command}: {said}");
    };
    lab.request(Role::Capture, "gw1");
    made(
        "x509 -req -in @gw1.csr -CA @issuing.pem -CAkey @issuing.key -CAcreateserial -copy_extensions copy -days 90 -out @gw1.crt",
    );
    made("ec -in @gw1.key -out @sec1.key");
    // Key first and in SEC1, the names in other cases than documented.
    lab.join("found/ctiosSERVER.pem", &["sec1.key", "gw1.crt"]);
    lab.join("found/CTIOSROOTCERT.PEM", &["issuing.pem", "root.pem"]);
    // Without a role, the key encrypted.
    made("req -newkey rsa:2048 -passout pass:abcdefgh -keyout @triple-des.key -out @client.csr -subj /CN=ctios");
    let old = import(
        &[lab.path("triple-des.key")],
        &lab.path("no"),
        None,
        Some(&Password::existing("abcdefgh")),
    );
    let error = old.expect_err("refused").to_string();
    assert!(
        error.contains("encrypted with AES") && error.contains("openssl pkcs8 -topk8"),
        "{error}"
    );
    made(
        "pkcs8 -topk8 -in @triple-des.key -passin pass:abcdefgh -passout pass:abcdefgh -out @found/CtiosClientkey.pem",
    );
    made(
        "x509 -req -in @client.csr -CA @issuing.pem -CAkey @issuing.key -CAcreateserial -days 90 -out @found/CtiosClient.pem",
    );
    // A certificate whose key is elsewhere.
    made("x509 -req -in @client.csr -CA @root.pem -CAkey @root.key -CAcreateserial -days 90 -out @other.pem");

    let sources = [lab.path("found")];
    let error = import(&sources, &lab.path("no"), None, None).expect_err("a password is needed");
    assert!(matches!(error, CertsError::PasswordNeeded { .. }), "{error}");
    let imported = import(&sources, &lab.path("out"), None, Some(&Password::existing("abcdefgh"))).expect("imported");
    let names: Vec<_> = imported
        .identities
        .iter()
        .map(|(path, who)| (path.clone(), who.role))
        .collect();
    assert_eq!(
        names,
        [
            (lab.path("out/ctios.pem"), None),
            (lab.path("out/gw1.pem"), Some(Role::Capture))
        ]
    );
    assert!(
        matches!(&imported.missing[..], [one] if one.contains("no silentmon role")),
        "{:?}",
        imported.missing
    );
    let gw1 = Credentials::load(&lab.path("out/gw1.pem"), None).expect("loads");
    assert_eq!(gw1.chain().len(), 2, "with the authority between");
    let rights = |name: &str| fs::metadata(lab.path(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!(
        (rights("out/gw1.key"), rights("out/gw1.pem"), rights("out/ca.pem")),
        (0o600, 0o644, 0o644)
    );
    let trust = Trust::load(&lab.path("out/ca.pem"), None).expect("loads");
    let client = ClientTls::new(&gw1, &trust, &[b"x"]).expect("usable");
    assert_eq!(client.recheck(gw1.chain(), "127.0.0.1"), Ok(()));

    let again = import(&sources, &lab.path("out"), None, Some(&Password::existing("abcdefgh")));
    assert!(matches!(again, Err(CertsError::Exists { .. })), "nothing is replaced");
    let lonely = import(
        &[lab.path("gw1.crt"), lab.path("root.key")],
        &lab.path("lonely"),
        None,
        None,
    )
    .expect("read");
    let missing = lonely.missing.join("\n");
    for words in [
        "no certificate for the private key in",
        "no private key for the certificate of CN=gw1",
        "no root",
    ] {
        assert!(missing.contains(words), "{words}: {missing}");
    }
}

#[test]
fn a_key_encrypted_in_the_old_way_is_named_as_such() {
    let lab = Lab::new();
    let Some((good, said)) = lab.openssl("genrsa -traditional -aes128 -passout pass:abcdefgh -out @old.key 2048")
    else {
        return;
    };
    assert!(good, "{said}");
    let error = import(&[lab.path("old.key")], &lab.path("out"), None, None)
        .expect_err("refused")
        .to_string();
    assert!(error.contains("openssl pkcs8 -topk8"), "{error}");
}
