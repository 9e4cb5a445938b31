//! kamailio: a registrar and proxy that others wrote, serving `north.test` and `south.test`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::folder::Folder;
use super::namespaces::Place;
use super::process::{self, Process};
use super::program::{Account, SOON};
use super::{ports, until};

/// A running kamailio.
pub(crate) struct Kamailio {
    process: Process,
    pub(crate) port: u16,
    tls_port: u16,
    /// Who vouches for its certificate.
    ca: PathBuf,
}

impl Kamailio {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::granting(folder, 3_600)
    }

    /// One that grants registrations for so many seconds at most.
    pub(crate) fn granting(folder: &Folder, longest_s: u32) -> Self {
        Self::start_with(folder, longest_s, Kind::Plain)
    }

    /// One in another network, which listens at `address` there.
    pub(crate) fn start_at(place: &Place, address: &str, folder: &Folder) -> Self {
        Self::start_with(folder, 3_600, Kind::At(place, address))
    }

    /// One that keeps several flows to a phone apart (RFC 5626), and tells who watches of calls and waiting
    /// messages.
    pub(crate) fn with_events(folder: &Folder) -> Self {
        Self::start_with(folder, 3_600, Kind::Events)
    }

    fn start_with(folder: &Folder, longest_s: u32, kind: Kind<'_>) -> Self {
        let (port, tls_port) = (ports::free(), ports::free());
        let run = folder.inner("kamailio");
        let ca = certificates(&run);
        let tls = format!(
            "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n\
             private_key = {0}/server.key\ncertificate = {0}/server.pem\n",
            run.display()
        );
        fs::write(run.join("tls.cfg"), tls).expect("settings can be written");
        let more = match kind {
            Kind::At(_, address) => ["udp", "tcp"]
                .map(|kind| format!("listen={kind}:{address}:{port}\n"))
                .concat(),
            Kind::Plain | Kind::Events => String::new(),
        };
        let settings = include_str!("kamailio.cfg")
            .replace("@MODULES@", &modules())
            .replace("@LONGEST@", &longest_s.to_string())
            .replace("@RUN@", &run.display().to_string())
            .replace("@MORE@", &more)
            .replace("@TLSPORT@", &tls_port.to_string())
            .replace("@PORT@", &port.to_string());
        let path = run.join("kamailio.cfg");
        fs::write(&path, settings).expect("settings can be written");
        let mut command = Command::new("kamailio");
        // -DD: stay in the foreground, so that its id is the one we know.
        command.args(["-DD", "-E", "-m", "32", "-M", "8"]);
        command.arg("-f").arg(&path).arg("-Y").arg(&run);
        if !std::path::Path::new("/usr/bin/kamailio").exists() {
            // Debian puts it where only root looks.
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
        }
        match kind {
            Kind::Plain => {}
            Kind::At(place, _) => command = place.command(&command),
            Kind::Events => {
                tables(&run);
                command.args(["-A", "EVENTS"]);
            }
        }
        let mut process = Process::start("kamailio", folder, &mut command);
        until("kamailio to answer", SOON, || {
            process.assert_alive();
            let alive = match kind {
                Kind::At(place, _) => place.is_taken(port),
                Kind::Plain | Kind::Events => is_alive(port),
            };
            alive.then_some(())
        });
        Self {
            process,
            port,
            tls_port,
            ca,
        }
    }

    /// An account of ours here. `user@north.test` or `user@south.test`, reached by `transport`.
    pub(crate) fn account(&self, address: &str, transport: &str) -> Account {
        self.account_at(address, transport, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// An account that reaches it at `host`, one of the two loopback addresses.
    pub(crate) fn account_at(&self, address: &str, transport: &str, host: IpAddr) -> Account {
        let port = match transport {
            "tls" | "wss" => self.tls_port,
            _ => self.port,
        };
        let proxy = SocketAddr::new(host, port);
        let account = Account::new(
            format!("sip:{address}"),
            &format!(
                "--proxy sip:{proxy};transport={transport};lr --transport {transport} --bind {}",
                SocketAddr::new(host, 0)
            ),
        );
        match transport {
            "tls" | "wss" => account.with(&format!("--tls-ca {}", self.ca.display())),
            _ => account,
        }
    }

    /// The same, as settings for `add_account`.
    pub(crate) fn settings_at(&self, address: &str, transport: &str, host: IpAddr) -> Value {
        let port = match transport {
            "tls" | "wss" => self.tls_port,
            _ => self.port,
        };
        let proxy = SocketAddr::new(host, port);
        let mut settings = json!({
            "aor": format!("sip:{address}"), "proxy": format!("sip:{proxy};transport={transport};lr"),
            "transport": transport, "bind": SocketAddr::new(host, 0).to_string(), "register": true,
            "expires_s": 300, "codecs": ["pcmu"],
        });
        if matches!(transport, "tls" | "wss") {
            settings["tls_ca"] = json!(self.ca);
        }
        settings
    }

    /// What it wrote about the requests it saw.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// What one is started for.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Plain,
    At(&'a Place, &'a str),
    Events,
}

/// The tables of the presence server, which it wants to find.
fn tables(run: &Path) {
    let scripts = Path::new("/usr/share/kamailio/db_sqlite");
    let text: String = ["standard-create.sql", "presence-create.sql"]
        .iter()
        .map(|name| {
            fs::read_to_string(scripts.join(name)).expect(
                "kamailio's module for SQLite is not installed: this test needs it; `cargo xtask setup test` installs it",
            )
        })
        .collect();
    let script = run.join("tables.sql");
    // Readers do not wait for the writer then.
    let text = format!("PRAGMA journal_mode=WAL;\n{text}");
    fs::write(&script, text).expect("a script can be written");
    let mut command = Command::new("sqlite3");
    command.arg("-bail").arg(run.join("presence.db"));
    process::output(command.arg(format!(".read {}", script.display())));
}

/// Makes an authority and a certificate for both loopback addresses; gives the authority's file.
pub(super) fn certificates(run: &Path) -> PathBuf {
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(run).args(args.split_whitespace());
        process::output(&mut command);
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority.test \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
    ));
    openssl(&format!(
        "req -x509 {key} -keyout server.key -out server.pem -subj /CN=north.test -CA ca.pem -CAkey ca.key \
         -addext basicConstraints=critical,CA:FALSE \
         -addext subjectAltName=URI:sip:north.test,DNS:north.test,DNS:south.test,DNS:relay.test,IP:127.0.0.1,IP:::1"
    ));
    run.join("ca.pem")
}

/// Where the distribution keeps the modules.
fn modules() -> String {
    let candidates = [
        "/usr/lib/x86_64-linux-gnu/kamailio/modules",
        "/usr/lib/aarch64-linux-gnu/kamailio/modules",
        "/usr/lib64/kamailio/modules",
        "/usr/lib/kamailio/modules",
    ];
    (*candidates
        .iter()
        .find(|folder| std::path::Path::new(folder).join("tm.so").is_file())
        .expect(
            "kamailio's modules are not installed: this test needs them; `cargo xtask setup test` installs them",
        ))
    .to_owned()
}

/// One OPTIONS, as a health check would send it.
fn is_alive(port: u16) -> bool {
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else {
        return false;
    };
    let local = socket.local_addr().map_or(0, |address| address.port());
    let request = format!(
        "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{local};branch=z9hG4bKalive{local}\r\n\
         Max-Forwards: 5\r\nFrom: <sip:test@north.test>;tag=1\r\nTo: <sip:127.0.0.1:{port}>\r\nCall-ID: alive{local}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    let mut answer = [0; 2048];
    // Nothing there is the usual reason for an error, and asking again the cure.
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    socket
        .send_to(request.as_bytes(), (Ipv4Addr::LOCALHOST, port))
        .is_ok()
        && socket
            .recv(&mut answer)
            .is_ok_and(|count| answer[..count].starts_with(b"SIP/2.0 200"))
}
