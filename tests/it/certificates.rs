//! Certificates that are not to be trusted: what a person is told of each, and that who trusts one is
//! warned when there is another one in its place.

use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::{Value, json};

use crate::rig::control::Control;
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::program::{self, Account, Program, SOON, is};
use crate::rig::{ports, seconds, until};

/// Whom the account asks for.
const HOST: &str = "office.test";

#[test]
fn an_expired_certificate_is_said_to_be_expired() {
    check("expired", "expired", |made| {
        made.not_before = rcgen::date_time_ymd(2020, 1, 1);
        made.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
}

#[test]
fn a_certificate_for_another_name_is_said_to_be_for_another_name() {
    check("other_name", "other_name", |made| {
        made.subject_alt_names = vec![dns("elsewhere.test")];
    });
}

/// Somebody whom we do not know vouches for it, or only itself. It is asked about, trusted, and then
/// another one in its place is an alarm and not trusted.
#[test]
fn a_trusted_certificate_that_changes_is_an_alarm() {
    let folder = Folder::new("certificate_changed");
    let port = ports::free();
    let first = switchboard(&folder, "first", port, &self_signed());
    let mut phone = Phone::start(&folder, port, None);
    let shown = phone.failed("self_signed");
    assert_eq!(shown["host"], HOST, "{shown}");
    let tenant = phone.control.snapshot()["tenants"][0]["id"].clone();
    phone.control.call(
        "trust_certificate",
        &json!({"tenant": tenant, "host": HOST, "fingerprint": shown["fingerprint"]}),
    );
    phone.control.wait_for("registration", SOON, |state| {
        (state["accounts"][0]["state"] == "registered").then_some(())
    });

    drop(first);
    let _second = switchboard(&folder, "second", port, &self_signed());
    let changed = phone.failed("changed");
    assert_eq!(changed["remembered"], shown["fingerprint"], "{changed}");
    assert_ne!(changed["fingerprint"], shown["fingerprint"], "{changed}");
    phone.was_told("The server shows another certificate");
}

/// An authority that is trusted issues this certificate; the account fails with this fault, and is told.
fn check(name: &str, fault: &str, change: impl FnOnce(&mut CertificateParams)) {
    let folder = Folder::new(&format!("certificate_{name}"));
    let authority = authority();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("a file can be written");
    let mut made = named("leaf");
    made.subject_alt_names = vec![dns(HOST)];
    change(&mut made);
    let key = KeyPair::generate().expect("a key");
    let leaf = made.signed_by(&key, &authority).expect("a certificate");
    let port = ports::free();
    let identity = (leaf.pem(), key.serialize_pem());
    let _switchboard = switchboard(&folder, "switchboard", port, &identity);
    let mut phone = Phone::start(&folder, port, Some(ca));
    let shown = phone.failed(fault);
    assert_eq!(shown["host"], HOST, "{shown}");
    phone.was_told("Secure connection refused");
}

struct Phone {
    control: Control,
    program: Program,
}

impl Phone {
    fn start(folder: &Folder, port: u16, ca: Option<PathBuf>) -> Self {
        let socket = folder.inner("alice").join("control");
        let account = Account::new(
            format!("sip:alice@{HOST}:{port}"),
            &format!("--transport tls --host {HOST}=127.0.0.1 --audio null"),
        );
        let account = match ca {
            Some(ca) => account.with(&format!("--tls-ca {}", ca.display())),
            None => account,
        };
        let args = format!("--control {}", socket.display());
        let program = Program::start(folder, "alice", "headless", &account, &args);
        Self {
            control: Control::connect(&socket),
            program,
        }
    }

    /// Waits until a certificate is refused for this; gives the certificate.
    fn failed(&mut self, fault: &str) -> Value {
        self.control.wait_for(fault, seconds(40), |state| {
            let shown = &state["accounts"][0]["failure"]["certificate"];
            (shown["fault"] == fault).then(|| shown.clone())
        })
    }

    /// What is said of it, with what to do next.
    fn was_told(&mut self, words: &str) {
        let said = self.program.wait_for(words, SOON, |event| {
            is(event, "registration")
                && event["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains(words))
        });
        println!("{}", said["reason"].as_str().unwrap_or_default());
    }
}

fn switchboard(folder: &Folder, name: &str, port: u16, identity: &(String, String)) -> Process {
    let home = folder.inner(name);
    let (certificate, key) = (home.join("certificate.pem"), home.join("key.pem"));
    std::fs::write(&certificate, &identity.0).expect("a file can be written");
    std::fs::write(&key, &identity.1).expect("a file can be written");
    let mut command = program::command(&home);
    command.args(["switchboard", "--listen", &format!("tls:127.0.0.1:{port}")]);
    command.arg("--tls-cert").arg(certificate);
    command.arg("--tls-key").arg(key);
    let mut process = Process::start(name, folder, &mut command);
    until("the switchboard", SOON, || {
        process.assert_alive();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    process
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut made = named("authority");
    made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    made.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(made, key).expect("an authority")
}

/// A certificate and its key that only itself vouches for.
fn self_signed() -> (String, String) {
    let mut made = named(HOST);
    made.subject_alt_names = vec![dns(HOST)];
    let key = KeyPair::generate().expect("a key");
    let certificate = made.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn named(name: &str) -> CertificateParams {
    let mut made = CertificateParams::default();
    made.distinguished_name = rcgen::DistinguishedName::new();
    made.distinguished_name.push(DnType::CommonName, name);
    made
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}
