//! `silentmon certs` as people and scripts use it.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use std::io::Write;

fn certs(directory: &Path, arguments: &str) -> Output {
    let arguments = arguments.replace("DIR", directory.to_str().expect("UTF-8"));
    certs_command(&arguments).output().expect("runs")
}

fn certs_command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silentmon"));
    command.arg("certs").args(arguments.split(' ')).stdin(Stdio::null());
    command
}

fn complaint(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// An authority whose password lies in `DIR/password`.
fn authority() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("password"), "correct horse\n").expect("written");
    fs::write(directory.path().join("wrong"), "wrong horse\n").expect("written");
    let made = certs(directory.path(), "init-ca --out DIR/ca --password-file DIR/password");
    assert_eq!(complaint(&made), (Some(0), String::new()));
    directory
}

fn request_and_sign(directory: &Path) {
    let requested = certs(
        directory,
        "request --role capture --name gw1 --san 10.1.1.5 --san gw1.example --out DIR",
    );
    assert_eq!(complaint(&requested), (Some(0), String::new()));
    let signed = certs(
        directory,
        "sign --ca DIR/ca --csr DIR/gw1.csr --days 30 --out DIR/gw1.pem --password-file DIR/password",
    );
    assert_eq!(complaint(&signed), (Some(0), String::new()));
    let said = String::from_utf8_lossy(&signed.stdout).into_owned();
    assert!(said.contains("capture gw1 for 10.1.1.5, gw1.example, until "), "{said}");
}

#[test]
fn request_sign_list_and_revoke_go_together() {
    let directory = authority();
    request_and_sign(directory.path());
    let json = |arguments: &str| -> serde_json::Value {
        let output = certs(directory.path(), arguments);
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let inspected = json("inspect --json DIR/gw1.pem");
    let certificate = &inspected["certificates"][0];
    assert_eq!(
        (&certificate["role"], &certificate["name"]),
        (&"capture".into(), &"gw1".into())
    );
    assert_eq!(inspected["certificates"][1]["authority"], true);
    assert_eq!(json("list --json --ca DIR/ca")[0]["state"], "valid");
    let revoked = certs(
        directory.path(),
        "revoke --ca DIR/ca --password-file DIR/password DIR/gw1.pem",
    );
    assert_eq!(complaint(&revoked), (Some(0), String::new()));
    let rows = json("list --json --ca DIR/ca");
    assert_eq!(rows[0]["state"], "revoked");
    assert_eq!(rows[0]["certificate"]["serial"], certificate["serial"]);
}

#[test]
fn a_renewed_certificate_is_for_the_same_holder_with_the_same_key_or_a_new_one() {
    let directory = authority();
    request_and_sign(directory.path());
    let dir = directory.path();
    let inspected = |file: &str| -> serde_json::Value {
        let output = certs(dir, &format!("inspect --json {file}"));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")["certificates"][0].clone()
    };
    let first = inspected("DIR/gw1.pem");
    let key = std::fs::read(dir.join("gw1.key")).expect("a key");
    for arguments in [
        "renew DIR/gw1.pem --out DIR/renewed",
        "sign --ca DIR/ca --csr DIR/renewed/gw1.csr --out DIR/gw1.pem --days 60 --password-file DIR/password",
    ] {
        assert_eq!(
            complaint(&certs(dir, arguments)),
            (Some(0), String::new()),
            "{arguments}"
        );
    }
    let second = inspected("DIR/gw1.pem");
    for same in ["role", "name", "hosts", "issuer"] {
        assert_eq!(second[same], first[same], "{same}");
    }
    assert!(second["serial"] != first["serial"] && second["not_after"] != first["not_after"]);
    assert_eq!(std::fs::read(dir.join("gw1.key")).expect("a key"), key);
    assert!(!dir.join("renewed/gw1.key").exists());

    for arguments in [
        "renew DIR/gw1.pem --new-key --out DIR/renewed",
        "sign --ca DIR/ca --csr DIR/renewed/gw1.csr --out DIR/renewed/gw1.pem --password-file DIR/password",
    ] {
        assert_eq!(
            complaint(&certs(dir, arguments)),
            (Some(0), String::new()),
            "{arguments}"
        );
    }
    assert_ne!(std::fs::read(dir.join("renewed/gw1.key")).expect("a new key"), key);
    // That both belong together is asked when they are renewed once more.
    assert_eq!(
        complaint(&certs(dir, "renew DIR/renewed/gw1.pem --out DIR/again")).0,
        Some(0)
    );

    let (code, text) = complaint(&certs(dir, "renew DIR/gw1.pem --new-key --out DIR"));
    assert!(
        code == Some(69) && text.contains("gw1.key"),
        "the key in use stays: {text}"
    );
    let (code, text) = complaint(&certs(dir, "renew DIR/ca/ca.pem --out DIR/again"));
    assert!(code == Some(65) && text.contains("encrypted"), "{code:?} {text}");
}

#[test]
fn a_wrong_password_is_one_clear_sentence_and_exit_77() {
    let directory = authority();
    certs(directory.path(), "request --role supervisor --name sonja --out DIR");
    let arguments = "sign --ca DIR/ca --csr DIR/sonja.csr --out DIR/sonja.pem --password-file DIR/wrong";
    let (code, text) = complaint(&certs(directory.path(), arguments));
    assert_eq!(code, Some(77));
    assert!(
        text.starts_with("silentmon: wrong password for the private key in "),
        "{text}"
    );
    assert!(!directory.path().join("sonja.pem").exists());
}

#[test]
fn the_password_may_come_from_standard_input() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = format!("init-ca --out {}/ca --password-file -", directory.path().display());
    let mut child = certs_command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"correct horse\n")
        .expect("written");
    assert!(child.wait().expect("ends").success());
    assert!(directory.path().join("ca/ca.key").exists());
}

#[test]
fn bad_input_is_refused_with_the_right_exit_code() {
    let directory = authority();
    fs::write(directory.path().join("short"), "1234567\n").expect("written");
    for (arguments, code, sentence) in [
        (
            "init-ca --out DIR/new --password-file DIR/short",
            64,
            "8 to 1023 characters, found 7",
        ),
        (
            "init-ca --out DIR/ca --password-file DIR/password",
            69,
            "exists and is not replaced",
        ),
        ("init-ca --out DIR/new", 64, "--password-file"),
        (
            "request --role boss --name x --out DIR",
            64,
            "capture, supervisor or admin",
        ),
        ("request --role capture --name x --out DIR", 64, "--san"),
        ("request --role admin --name ../x --out DIR", 64, "without slash"),
        (
            "sign --ca DIR/none --csr DIR/x.csr --out DIR/x.pem --password-file DIR/password",
            69,
            "can't read",
        ),
        (
            "revoke --ca DIR/ca --password-file DIR/password abcd",
            65,
            "no certificate \"abcd\"",
        ),
        ("inspect DIR/password", 65, "found none"),
        ("inspect DIR/missing.pem", 69, "can't read"),
    ] {
        let (found, text) = complaint(&certs(directory.path(), arguments));
        assert_eq!(found, Some(code), "{arguments}: {text}");
        assert!(text.contains(sentence), "{arguments}: {text}");
    }
}

#[test]
fn an_authority_below_another_signs_what_is_granted_and_nothing_else() {
    let directory = authority();
    let dir = directory.path();
    let below = "init-ca --out DIR/house --intermediate-of DIR/ca --algorithm ed25519 --name House --password-file DIR/password";
    let (code, text) = complaint(&certs(dir, &format!("{below} --issuer-password-file DIR/wrong")));
    assert!(code == Some(77) && text.contains("wrong password"), "{text}");
    let made = certs(dir, &format!("{below} --issuer-password-file DIR/password"));
    assert_eq!(complaint(&made), (Some(0), String::new()));
    certs(dir, "request --role capture --name gw1 --san 10.1.1.5 --out DIR");
    let sign = "sign --ca DIR/house --csr DIR/gw1.csr --out DIR/gw1.pem --days 20 --password-file DIR/password";
    for (more, words) in [
        ("--role supervisor", "role supervisor was to be granted"),
        ("--name gw2", "the name gw1, but gw2 was to be granted"),
        ("--host 10.1.1.6", "the host 10.1.1.5, which was not to be granted"),
    ] {
        let (code, text) = complaint(&certs(dir, &format!("{sign} {more}")));
        assert!(code == Some(65) && text.contains(words), "{more}: {code:?} {text}");
    }
    let signed = certs(
        dir,
        &format!("{sign} --role capture --name gw1 --host 10.1.1.5,gw1.example"),
    );
    assert_eq!(complaint(&signed), (Some(0), String::new()));
    let inspected = certs(dir, "inspect DIR/gw1.pem");
    let said = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(
        said.contains("certificate: authority CN=House") && said.contains("(valid) (19 days left)"),
        "{said}"
    );
    let rows: serde_json::Value =
        serde_json::from_slice(&certs(dir, "list --json --ca DIR/house").stdout).expect("JSON");
    assert_eq!(
        (&rows[0]["state"], &rows[0]["days_left"]),
        (&"valid".into(), &19.0.into())
    );

    let before = fs::read(dir.join("house/crl.pem")).expect("there");
    let renewed = certs(dir, "crl --ca DIR/house --password-file DIR/password");
    assert_eq!(complaint(&renewed), (Some(0), String::new()));
    assert_ne!(fs::read(dir.join("house/crl.pem")).expect("there"), before);
    let third = "init-ca --out DIR/third --intermediate-of DIR/house --password-file DIR/password";
    let third = certs(dir, &format!("{third} --issuer-password-file DIR/password"));
    let (code, text) = complaint(&third);
    assert!(
        code == Some(65) && text.contains("no authority below it"),
        "{code:?} {text}"
    );
}

#[test]
fn files_of_other_tools_are_imported_and_what_is_missing_is_said() {
    let directory = authority();
    let dir = directory.path();
    request_and_sign(dir);
    let imported = certs(dir, "import DIR/gw1.pem DIR/gw1.key --out DIR/in");
    assert_eq!(complaint(&imported), (Some(0), String::new()));
    assert!(dir.join("in/gw1.key").exists() && dir.join("in/ca.pem").exists());
    let (code, text) = complaint(&certs(dir, "import DIR/gw1.pem --out DIR/none"));
    assert_eq!(code, Some(65), "{text}");
    for words in [
        "missing: no private key for the certificate of CN=gw1",
        "no private key with its certificate was found",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_token_for_a_server_needs_its_hosts_and_nonsense_is_no_token() {
    let directory = authority();
    let dir = directory.path();
    let (code, text) = complaint(&certs(dir, "token --ca DIR/ca --role capture --name gw1"));
    assert!(code == Some(64) && text.contains("--host"), "{text}");
    let (code, text) = complaint(&certs(dir, "token --ca DIR/none --role admin --name root"));
    assert!(code == Some(69) && text.contains("ca.pem"), "{text}");
    let (code, text) = complaint(&certs(dir, "token --ca DIR/ca --role admin --name root --valid 2y"));
    assert!(code == Some(64) && text.contains("a number and s, m, h or d"), "{text}");
    let (code, text) = complaint(&certs(
        dir,
        "enrol --server 127.0.0.1:1 --token smt1_xyz --out DIR/certs",
    ));
    assert!(
        code == Some(64) && text.contains("expected an enrolment token"),
        "{text}"
    );
    let made = certs(dir, "token --ca DIR/ca --role admin --name root");
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(token.starts_with("smt1_") && token.lines().count() == 1, "{token}");
    let arguments = format!("enrol --server 127.0.0.1:1 --token {token} --out DIR/certs");
    let (code, text) = complaint(&certs(dir, &arguments));
    assert!(
        code == Some(69) && text.contains("127.0.0.1:1: ") && !text.contains(&token),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let directory = authority();
    let dir = directory.path();
    request_and_sign(dir);
    fs::set_permissions(dir.join("gw1.key"), fs::Permissions::from_mode(0o644)).expect("set");
    let (code, text) = complaint(&certs(dir, "renew DIR/gw1.pem --out DIR/renewed"));
    assert!(code == Some(65) && text.contains("chmod 600"), "{code:?} {text}");
}

#[test]
fn an_authoritys_policy_is_shown_put_into_force_and_obeyed() {
    let directory = authority();
    let dir = directory.path();
    let shown = |arguments: &str| {
        let output = certs(dir, arguments);
        assert_eq!(complaint(&output), (Some(0), String::new()), "{arguments}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(shown("policy --ca DIR/ca").contains("no policy"));
    fs::write(dir.join("rules.toml"), "# house rules\nroles = [\"supervisor\"]\n").expect("written");
    shown("policy --ca DIR/ca --set DIR/rules.toml");
    let rules = shown("policy --ca DIR/ca");
    assert!(rules.contains("roles = [\"supervisor\"]"), "{rules}");
    let kept = fs::read_to_string(dir.join("ca/policy.toml")).expect("there");
    assert!(kept.starts_with("# house rules"), "comments stay");

    shown("request --role admin --name root --out DIR");
    let sign = "sign --ca DIR/ca --csr DIR/root.csr --out DIR/root.pem --password-file DIR/password";
    let (code, text) = complaint(&certs(dir, sign));
    assert!(
        code == Some(77) && text.contains("asks for role admin, but `roles` in "),
        "{code:?} {text}"
    );
    let (code, text) = complaint(&certs(dir, "token --ca DIR/ca --role admin --name root"));
    assert!(code == Some(77) && text.contains("`roles`"), "{code:?} {text}");

    fs::write(dir.join("bad.toml"), "hosts = [\"10.20.0.1/16\"]\n").expect("written");
    for arguments in [
        "policy --ca DIR/ca --set DIR/bad.toml",
        "init-ca --out DIR/new --policy DIR/bad.toml --password-file DIR/password",
    ] {
        let (code, text) = complaint(&certs(dir, arguments));
        assert!(
            code == Some(65) && text.contains("bad.toml") && text.contains("10.20.0.1/16"),
            "{text}"
        );
    }
    assert!(!dir.join("new").exists());
    shown("init-ca --out DIR/new --policy DIR/rules.toml --password-file DIR/password");
    assert_eq!(shown("policy --ca DIR/new"), rules);
    let (code, text) = complaint(&certs(dir, "policy --ca DIR/none --set DIR/rules.toml"));
    assert!(
        code == Some(69) && text.contains("ca.pem") && !dir.join("none").exists(),
        "{text}"
    );
}

#[test]
fn an_authority_is_asked_for_on_one_machine_and_signed_on_another() {
    let directory = authority();
    let dir = directory.path();
    let done = |arguments: &str| {
        let output = certs(dir, &format!("{arguments} --password-file DIR/password"));
        assert_eq!(complaint(&output), (Some(0), String::new()), "{arguments}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    done("init-ca --out DIR/house --request --name House");
    let shown = String::from_utf8_lossy(&certs(dir, "inspect DIR/house/ca.csr").stdout).into_owned();
    assert!(shown.contains("request: authority House"), "{shown}");
    let by_accident = "sign --ca DIR/ca --csr DIR/house/ca.csr --out DIR/house.pem --password-file DIR/password";
    let (code, text) = complaint(&certs(dir, by_accident));
    assert!(code == Some(64) && text.contains("--intermediate"), "{code:?} {text}");
    done("sign --ca DIR/ca --csr DIR/house/ca.csr --intermediate --out DIR/house.pem");
    let said = done("init-ca --out DIR/house --answer DIR/house.pem");
    let root = String::from_utf8_lossy(&certs(dir, "inspect DIR/ca/ca.pem").stdout).into_owned();
    let fingerprint = root.lines().find_map(|line| line.trim().strip_prefix("fingerprint  "));
    assert!(fingerprint.is_some_and(|it| said.contains(it)), "{said} {root}");

    certs(dir, "request --role supervisor --name anna --out DIR");
    done("sign --ca DIR/house --csr DIR/anna.csr --out DIR/anna.pem");
    done("crl --ca DIR/ca");
    let refreshed = certs(dir, "crl --ca DIR/house --above DIR/ca/crl.pem");
    assert_eq!(complaint(&refreshed), (Some(0), String::new()));
    assert!(String::from_utf8_lossy(&refreshed.stdout).contains("to be replaced by"));

    fs::remove_file(dir.join("house/crl-above.pem")).expect("removed");
    let (code, text) = complaint(&certs(dir, "list --ca DIR/house"));
    assert!(
        code == Some(0) && text.contains("note: no revocation list of CN=silentmon CA"),
        "{text}"
    );
}
