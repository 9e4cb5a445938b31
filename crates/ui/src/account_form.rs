//! An account while a person types it.

use model::{
    AccountId, AccountSettings, AccountView, Command, DtmfMode, Password, SrtpPolicy, TenantId,
    Transport, WatchKind,
};

use crate::strings;

/// The codecs there are, best first.
pub(crate) const CODECS: [&str; 4] = ["opus", "g722", "pcmu", "pcma"];

/// What was typed, as text.
#[derive(Default)]
pub struct AccountForm {
    /// Files for TLS that the form does not show and keeps: authorities, certificate, key.
    pub tls_files: [Option<String>; 3],
    /// The account that is edited; `None` is a new one.
    pub editing: Option<AccountId>,
    /// Whose account a new one becomes.
    pub tenant: Option<TenantId>,
    /// Address of record, with or without the scheme.
    pub address: String,
    /// Password; empty keeps the stored one.
    pub password: String,
    /// Name in lists.
    pub label: String,
    /// Display name.
    pub display_name: String,
    /// Authentication name.
    pub auth_user: String,
    /// Registrar.
    pub registrar: String,
    /// Outbound proxy.
    pub proxy: String,
    /// Transport; `None` is automatic.
    pub transport: Option<Transport>,
    /// Local address.
    pub bind: String,
    /// Registration time.
    pub expires: String,
    /// Codecs that are on, best first.
    pub codecs: Vec<String>,
    /// Headers, parted by semicolons.
    pub headers: String,
    /// Media encryption.
    pub srtp: SrtpPolicy,
    /// How tones are sent.
    pub dtmf: DtmfMode,
    /// Whether to register.
    pub register: bool,
    /// Whether waiting messages are asked for.
    pub mwi: bool,
    /// Whom to watch, parted by commas.
    pub watched: String,
    /// What to ask about them.
    pub watch: WatchKind,
    /// Whether our own presence is published.
    pub publish_presence: bool,
    /// Settings that have no field here stay as they are.
    pub kept: AccountSettings,
    /// Whether the fields beyond address and password are shown.
    pub advanced: bool,
    /// Whether the password is readable.
    pub reveal: bool,
    /// Whether the person has tried to save, so that faults are shown.
    pub tried: bool,
}

/// What is wrong with a form, field by field.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The address.
    pub address: Option<&'static str>,
    /// The registrar.
    pub registrar: Option<&'static str>,
    /// The proxy.
    pub proxy: Option<&'static str>,
    /// The local address.
    pub bind: Option<&'static str>,
    /// The registration time.
    pub expires: Option<&'static str>,
    /// The codecs.
    pub codecs: Option<&'static str>,
    /// The headers.
    pub headers: Option<&'static str>,
    /// Whom to watch.
    pub watched: Option<&'static str>,
}

impl Faults {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether one of them is among the advanced fields.
    pub fn in_advanced(&self) -> bool {
        let rest = Self {
            address: None,
            registrar: self.registrar,
            proxy: self.proxy,
            bind: self.bind,
            expires: self.expires,
            codecs: self.codecs,
            headers: self.headers,
            watched: self.watched,
        };
        !rest.is_empty()
    }
}

impl AccountForm {
    /// An empty form.
    pub fn new(tenant: Option<TenantId>) -> Self {
        let defaults = AccountSettings::new("");
        Self {
            tenant,
            expires: defaults.expires_s.to_string(),
            codecs: defaults.codecs.clone(),
            register: true,
            mwi: defaults.mwi,
            kept: defaults,
            ..Self::default()
        }
    }

    /// A form with an account's settings; Advanced is open when something there is not the default.
    pub fn edit(account: &AccountView) -> Self {
        let s = &account.settings;
        let aor = s.aor.reveal();
        let plain = AccountSettings {
            label: s.label.clone(),
            display_name: s.display_name.clone(),
            ..AccountSettings::new(s.aor.clone())
        };
        Self {
            editing: Some(account.id.clone()),
            tenant: Some(account.tenant.clone()),
            address: aor.strip_prefix("sip:").unwrap_or(aor).to_owned(),
            label: s.label.clone(),
            display_name: s.display_name.reveal().to_owned(),
            auth_user: s.auth_user.clone().unwrap_or_default().into_revealed(),
            registrar: s.registrar.clone().unwrap_or_default(),
            proxy: s.proxy.clone().unwrap_or_default(),
            transport: s.transport,
            bind: s.bind.clone().unwrap_or_default(),
            expires: s.expires_s.to_string(),
            codecs: s.codecs.clone(),
            headers: s.headers.join("; "),
            tls_files: [s.tls_ca.clone(), s.tls_cert.clone(), s.tls_key.clone()],
            kept: s.clone(),
            srtp: s.srtp,
            dtmf: s.dtmf,
            register: s.register,
            mwi: s.mwi,
            watched: s
                .watched
                .iter()
                .map(model::Identity::reveal)
                .collect::<Vec<_>>()
                .join(", "),
            watch: s.watch,
            publish_presence: s.publish_presence,
            advanced: *s != plain,
            ..Self::default()
        }
    }

    /// The address with its scheme, if it is one; without a password that stood in it.
    fn aor(&self) -> Option<String> {
        let (scheme, rest) = self.scheme_and_rest();
        let (user, host) = rest.rsplit_once('@')?;
        let user = user.split_once(':').map_or(user, |(user, _)| user);
        let fine = !user.is_empty() && is_host(host) && !rest.contains(char::is_whitespace);
        fine.then(|| format!("{scheme}{user}@{host}"))
    }

    /// The password to keep: the one that was typed, else the one inside an address as providers print it,
    /// `sip:user:password@host`. It is no part of the address that others see.
    fn secret(&self) -> Option<Password> {
        let typed = Some(self.password.clone()).filter(|typed| !typed.is_empty());
        let printed = || {
            let (user, _) = self.scheme_and_rest().1.rsplit_once('@')?;
            let (_, password) = user.split_once(':')?;
            Some(unescaped(password)).filter(|password| !password.is_empty())
        };
        typed.or_else(printed).map(Password)
    }

    fn scheme_and_rest(&self) -> (&'static str, &str) {
        let text = self.address.trim();
        match text.strip_prefix("sips:") {
            Some(rest) => ("sips:", rest),
            None => ("sip:", text.strip_prefix("sip:").unwrap_or(text)),
        }
    }

    fn watched_list(&self) -> Vec<model::Identity> {
        self.watched
            .split(',')
            .map(str::trim)
            .filter(|w| !w.is_empty())
            .map(Into::into)
            .collect()
    }

    fn header_list(&self) -> Vec<String> {
        self.headers
            .split(';')
            .map(|h| h.trim().to_owned())
            .filter(|h| !h.is_empty())
            .collect()
    }

    /// What is wrong with what was typed. Only what a person can see to be wrong is refused here; the
    /// engine has the last word.
    pub fn faults(&self) -> Faults {
        let when = |wrong: bool, words: &'static str| wrong.then_some(words);
        let uri = |text: &str| {
            let text = text.trim();
            let rest = text
                .strip_prefix("sip:")
                .or_else(|| text.strip_prefix("sips:"))
                .unwrap_or(text);
            text.is_empty() || (is_host(rest) && !text.contains(char::is_whitespace))
        };
        let headers = self.header_list();
        Faults {
            address: when(self.aor().is_none(), strings::ADDRESS_MISSING),
            registrar: when(!uri(&self.registrar), strings::REGISTRAR_WRONG),
            proxy: when(!uri(&self.proxy), strings::PROXY_WRONG),
            bind: when(
                !self.bind.trim().is_empty()
                    && self.bind.trim().parse::<std::net::SocketAddr>().is_err(),
                strings::BIND_WRONG,
            ),
            expires: when(
                !self
                    .expires
                    .trim()
                    .parse::<u32>()
                    .is_ok_and(|s| (30..=86_400).contains(&s)),
                strings::EXPIRES_WRONG,
            ),
            codecs: when(
                self.codecs.is_empty() || self.codecs.iter().any(|c| !CODECS.contains(&c.as_str())),
                strings::CODECS_WRONG,
            ),
            headers: when(
                headers.iter().any(|h| {
                    h.split_once(':')
                        .is_none_or(|(name, _)| name.is_empty() || name.contains(' '))
                }),
                strings::HEADERS_WRONG,
            ),
            watched: when(
                self.watched_list()
                    .iter()
                    .any(|w| w.reveal().contains(char::is_whitespace)),
                strings::WATCH_WHOM_WRONG,
            ),
        }
    }

    /// What the engine is to be told, when nothing is wrong.
    pub fn command(&self) -> Option<Command> {
        if !self.faults().is_empty() {
            return None;
        }
        let some = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
        let uri = |text: &str| {
            some(text).map(|t| {
                if t.starts_with("sip:") || t.starts_with("sips:") {
                    t
                } else {
                    format!("sip:{t}")
                }
            })
        };
        let settings = Box::new(AccountSettings {
            label: self.label.trim().to_owned(),
            aor: self.aor()?.into(),
            display_name: self.display_name.trim().into(),
            auth_user: some(&self.auth_user).map(Into::into),
            registrar: uri(&self.registrar),
            proxy: uri(&self.proxy),
            transport: self.transport,
            tls_ca: self.tls_files[0].clone(),
            tls_cert: self.tls_files[1].clone(),
            tls_key: self.tls_files[2].clone(),
            bind: some(&self.bind),
            register: self.register,
            expires_s: self.expires.trim().parse().ok()?,
            srtp: self.srtp,
            codecs: self.codecs.clone(),
            dtmf: self.dtmf,
            headers: self.header_list(),
            mwi: self.mwi,
            watched: self.watched_list(),
            watch: self.watch,
            publish_presence: self.publish_presence,
            ..self.kept.clone()
        });
        let password = self.secret();
        Some(match &self.editing {
            Some(account) => Command::UpdateAccount {
                account: account.clone(),
                settings,
                password,
            },
            None => Command::AddAccount {
                tenant: self.tenant.clone(),
                settings,
                password,
            },
        })
    }
}

/// Text with its escaped octets made good (RFC 3261 §19.1.2); what is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let octet = pair.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        match octet.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(octet) if *first == b'%' => {
                octets.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                octets.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(octets).unwrap_or_else(|_| text.to_owned())
}

/// Whether this can be a host with an optional port and parameters. Lenient on purpose.
fn is_host(text: &str) -> bool {
    let host = text.split([';', '?']).next().unwrap_or("");
    let host = host.rsplit('@').next().unwrap_or("");
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, tail)) => {
                if v6.parse::<std::net::Ipv6Addr>().is_err() {
                    return false;
                }
                ("v6", tail.strip_prefix(':'))
            }
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(address: &str) -> AccountForm {
        AccountForm {
            address: address.to_owned(),
            ..AccountForm::new(None)
        }
    }

    #[test]
    fn two_fields_are_enough() {
        let form = AccountForm {
            password: "s3cret".to_owned(),
            ..form(" alice@example.com ")
        };
        let Some(Command::AddAccount {
            tenant: None,
            settings,
            password: Some(password),
        }) = form.command()
        else {
            panic!("no account");
        };
        assert_eq!(*settings, AccountSettings::new("sip:alice@example.com"));
        assert_eq!(password.0, "s3cret");
    }

    #[test]
    fn an_address_may_be_written_in_several_ways() {
        for (typed, means) in [
            ("sip:alice@example.com", "sip:alice@example.com"),
            ("sips:alice@example.com", "sips:alice@example.com"),
            ("1001@192.0.2.1:5070", "sip:1001@192.0.2.1:5070"),
            ("1001@[2001:db8::1]:5070", "sip:1001@[2001:db8::1]:5070"),
        ] {
            assert_eq!(form(typed).aor().as_deref(), Some(means), "{typed}");
        }
        for typed in [
            "",
            "alice",
            "alice@",
            "@example.com",
            "a b@example.com",
            "a@b:x",
            "a@[::1",
        ] {
            assert_eq!(
                form(typed).faults().address,
                Some(strings::ADDRESS_MISSING),
                "{typed}"
            );
            assert_eq!(form(typed).command(), None);
        }
    }

    #[test]
    fn an_address_with_its_password_is_taken_as_it_is_printed_on_paper() {
        for (printed, means, secret) in [
            (
                "sip:1001:s3cret@pbx.example.com",
                "sip:1001@pbx.example.com",
                "s3cret",
            ),
            (
                "sips:alice:p%40ss%3A%2B%zz@example.com:5061;transport=tls",
                "sips:alice@example.com:5061;transport=tls",
                "p@ss:+%zz",
            ),
        ] {
            let Some(Command::AddAccount {
                settings, password, ..
            }) = form(printed).command()
            else {
                panic!("no account for {printed}");
            };
            assert_eq!(settings.aor.reveal(), means);
            assert_eq!(password.expect("it has one").0, secret);
            assert!(!settings.aor.reveal().contains("s3cret"));
        }
        // What was typed into its own field goes before; no password is none.
        let typed = AccountForm {
            password: "mine".to_owned(),
            ..form("sip:a:theirs@example.com")
        };
        assert_eq!(typed.secret().expect("it has one").0, "mine");
        assert_eq!(form("sip:a:@example.com").secret(), None);
        assert_eq!(form("sip::x@example.com").aor(), None);
    }

    #[test]
    fn a_fault_says_what_a_good_value_looks_like() {
        let form = AccountForm {
            registrar: "http://example.com".to_owned(),
            bind: "192.168.1.20".to_owned(),
            expires: "5".to_owned(),
            codecs: vec!["g729".to_owned()],
            watched: "bob, the boss".to_owned(),
            headers: "X-Room 42".to_owned(),
            ..form("alice@example.com")
        };
        let faults = form.faults();
        assert_eq!(faults.registrar, Some(strings::REGISTRAR_WRONG));
        assert_eq!(faults.bind, Some(strings::BIND_WRONG));
        assert_eq!(faults.expires, Some(strings::EXPIRES_WRONG));
        assert_eq!(faults.codecs, Some(strings::CODECS_WRONG));
        assert_eq!(faults.headers, Some(strings::HEADERS_WRONG));
        assert_eq!(faults.watched, Some(strings::WATCH_WHOM_WRONG));
        assert_eq!(faults.address, None);
        assert!(faults.in_advanced());
    }
}
