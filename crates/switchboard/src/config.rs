//! What a switchboard is started with.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use sip_core::Transport;
use thiserror::Error;
use wire::Identity;

/// What a switchboard is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Who may use it.
    pub users: Users,
    /// Names that stand for addresses.
    pub hosts: Hosts,
    /// File that gets every message. At [`LOG_BYTES`] it is moved to the same name with `.1` behind, in
    /// the place of the one that was moved before, and begun anew.
    pub log: Option<PathBuf>,
    /// Realm of the logins.
    pub realm: String,
    /// Whether logins are asked for by MD5 alone: phones of another time look at the first challenge
    /// only, and know nothing of SHA-256 (RFC 8760).
    pub md5_only: bool,
    /// What callers by TLS and WSS are shown; without it one is made at the start.
    pub certificate: Option<Identity>,
    /// The hosts whose web pages may come in by WebSocket, besides those of its own addresses.
    pub pages: Vec<String>,
}

/// Bytes of a log file, about; with the one before it there are twice as many.
pub const LOG_BYTES: u64 = 16 << 20;

/// Who may use a switchboard.
#[derive(Clone, Default)]
pub enum Users {
    /// Everybody, by any name.
    #[default]
    Open,
    /// These, by their passwords.
    List(HashMap<String, String>),
}

/// How many there are: names and passwords are nobody's business.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::List(users) => write!(f, "List({})", users.len()),
        }
    }
}

/// A static host table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<String, SocketAddr>);

/// What is wrong with a file or an argument.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// `--listen`
    #[error("“{0}” is nowhere to listen; it looks like udp:127.0.0.1:5060")]
    Listen(String),
    /// A line of a host table.
    #[error(
        "line {line} of the host table: “{text}” is not a name with an address, like: pbx.test 192.0.2.1:5060"
    )]
    Host {
        /// Which line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// The user file.
    #[error("{}the user file is not a table [users] of names and passwords: {reason}", line_words(*.line))]
    Users {
        /// Which line, from 1, when there is one to name.
        line: Option<usize>,
        /// What is wrong there.
        reason: String,
    },
}

fn line_words(line: Option<usize>) -> String {
    line.map(|line| format!("line {line}: "))
        .unwrap_or_default()
}

impl Config {
    /// Listens at `addr` for UDP and TCP; everybody may use it.
    pub fn open_at(addr: SocketAddr) -> Self {
        Self {
            listen: vec![(Transport::Udp, addr), (Transport::Tcp, addr)],
            users: Users::Open,
            hosts: Hosts::default(),
            log: None,
            realm: "switchboard".to_owned(),
            md5_only: false,
            certificate: None,
            pages: Vec::new(),
        }
    }
}

/// Reads `udp:127.0.0.1:5060`, or the same with `tcp`, `tls`, `ws` or `wss`.
///
/// # Errors
/// When it is not a transport with an address and a port.
pub fn parse_listen(text: &str) -> Result<(Transport, SocketAddr), ConfigError> {
    let parsed = text
        .split_once(':')
        .and_then(|(transport, addr)| Some((Transport::parse(transport)?, addr.parse().ok()?)));
    parsed.ok_or_else(|| ConfigError::Listen(text.to_owned()))
}

impl Users {
    /// Reads a user file: TOML with a table `users` of names and passwords.
    ///
    /// # Errors
    /// When it is not that.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            users: HashMap<String, String>,
        }
        match toml::from_str::<File>(text) {
            Ok(file) => Ok(Self::List(file.users)),
            Err(error) => {
                let lines = |end| text.bytes().take(end).filter(|b| *b == b'\n').count();
                Err(ConfigError::Users {
                    line: error.span().map(|span| 1 + lines(span.start)),
                    reason: error.message().trim().replace('\n', ", "),
                })
            }
        }
    }

    /// The password of a user.
    pub(crate) fn password(&self, user: &str) -> Option<String> {
        match self {
            Self::Open => None,
            Self::List(users) => users.get(user).cloned(),
        }
    }

    /// Whether there is somebody of this name: nobody knows in an open house.
    pub(crate) fn knows(&self, user: &str) -> bool {
        matches!(self, Self::List(users) if users.contains_key(user))
    }
}

impl Hosts {
    /// Reads a host table: `name address[:port]` a line, `#` begins a comment.
    ///
    /// # Errors
    /// Which line is wrong.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut hosts = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or("").trim();
            if content.is_empty() {
                continue;
            }
            let error = || ConfigError::Host {
                line: index + 1,
                text: line.trim().to_owned(),
            };
            let (name, addr) = content.split_once(char::is_whitespace).ok_or_else(error)?;
            let addr = addr.trim();
            let addr = addr
                .parse()
                .or_else(|_| addr.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 5060)))
                .map_err(|_| error())?;
            hosts.insert(name.to_ascii_lowercase(), addr);
        }
        Ok(Self(hosts))
    }

    /// Whether there is such an address.
    pub(crate) fn has(&self, wanted: impl Fn(&SocketAddr) -> bool) -> bool {
        self.0.values().any(wanted)
    }

    /// The address that a name stands for.
    pub fn find(&self, name: &str) -> Option<SocketAddr> {
        self.0.get(&name.to_ascii_lowercase()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_table_names_its_broken_line() {
        let hosts = Hosts::parse("# lab\npbx.test 192.0.2.1:5070 # old\n\nPROXY.test\t192.0.2.2\n")
            .expect("a table");
        assert_eq!(hosts.find("PBX.test"), "192.0.2.1:5070".parse().ok());
        assert_eq!(hosts.find("proxy.test"), "192.0.2.2:5060".parse().ok());
        let error = Hosts::parse("a 192.0.2.1\nb nowhere\n")
            .expect_err("line 2 is wrong")
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("b nowhere"),
            "{error}"
        );
    }

    #[test]
    fn listening_takes_a_transport_with_an_address() {
        assert!(matches!(
            parse_listen("udp:127.0.0.1:5060"),
            Ok((Transport::Udp, _))
        ));
        assert!(matches!(
            parse_listen("TCP:[::1]:5060"),
            Ok((Transport::Tcp, _))
        ));
        for (text, transport) in [
            ("tls:127.0.0.1:5061", Transport::Tls),
            ("ws:127.0.0.1:80", Transport::Ws),
            ("wss:[::1]:443", Transport::Wss),
        ] {
            assert!(matches!(parse_listen(text), Ok((t, _)) if t == transport));
        }
        for bad in [
            "sctp:127.0.0.1:5061",
            "127.0.0.1:5060",
            "udp:localhost:5060",
            "",
        ] {
            assert!(parse_listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_come_from_a_table() {
        let users =
            Users::from_toml("[users]\nalice = \"one\"\n\"+4930\" = \"two\"\n").expect("users");
        assert_eq!(users.password("alice").as_deref(), Some("one"));
        assert!(users.knows("+4930") && !users.knows("bob"));
        assert!(Users::from_toml("alice = 1").is_err());
        let error = Users::from_toml("[users]\nalice = s3cret\n").expect_err("quotes are missing");
        for told in [
            error.to_string(),
            format!("{error:?}"),
            format!("{users:?}"),
        ] {
            assert!(
                !told.contains("s3cret") && !told.contains("alice"),
                "{told}"
            );
        }
    }
}
