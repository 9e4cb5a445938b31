//! An account while a person types it.

pub(crate) mod fields;

use std::collections::{BTreeMap, BTreeSet};

use model::{AccountId, AccountSettings, AccountView, Command, Password, TenantId};

use self::fields::{Item, ItemKind, SECTIONS, Text};
use crate::strings;

/// The codecs there are, best first.
pub(crate) const CODECS: [&str; 4] = ["opus", "g722", "pcmu", "pcma"];

/// What was typed and chosen.
#[derive(Default)]
pub struct AccountForm {
    /// The account that is edited; `None` is a new one.
    pub editing: Option<AccountId>,
    /// Whose account a new one becomes.
    pub tenant: Option<TenantId>,
    /// Address of record, with or without the scheme.
    pub address: String,
    /// Password; empty keeps the stored one.
    pub password: String,
    /// The settings with what was chosen so far, and with what was typed where that can be taken.
    pub settings: AccountSettings,
    /// What stands in each field, by its name.
    typed: BTreeMap<&'static str, String>,
    /// Whether the parts beyond address and password are shown.
    pub advanced: bool,
    /// The parts that are unfolded, by their names.
    pub open: BTreeSet<&'static str>,
    /// Whether the password is readable.
    pub reveal: bool,
    /// Whether the person has tried to save, so that faults are shown.
    pub tried: bool,
}

/// What is wrong with a form.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The address.
    pub address: Option<&'static str>,
    /// Each setting that cannot be taken, by its name, and what a good value looks like.
    pub settings: BTreeMap<&'static str, &'static str>,
}

impl Faults {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AccountForm {
    /// An empty form.
    pub fn new(tenant: Option<TenantId>) -> Self {
        Self {
            tenant,
            ..Self::of(AccountSettings::new(""))
        }
    }

    /// A form with an account's settings; its parts are shown when something in them is not the default.
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
            advanced: *s != plain,
            ..Self::of(s.clone())
        }
    }

    fn of(settings: AccountSettings) -> Self {
        let typed = texts().map(|(name, text)| (name, (text.read)(&settings)));
        Self {
            typed: typed.collect(),
            settings,
            ..Self::default()
        }
    }

    /// What stands in a field, to be changed.
    pub fn typed(&mut self, name: &'static str) -> &mut String {
        self.typed.entry(name).or_default()
    }

    /// Takes what stands in the fields into the settings, as far as it can be taken.
    pub(crate) fn settle(&mut self) -> Faults {
        let mut faults = Faults {
            address: self.aor().is_none().then_some(strings::ADDRESS_MISSING),
            ..Faults::default()
        };
        for (name, text) in texts() {
            let typed = self.typed.get(name).map_or("", |typed| typed.trim());
            if !(text.write)(&mut self.settings, typed) {
                faults.settings.insert(name, text.wrong);
            }
        }
        if !fields::codecs_are_fine(&self.settings) {
            let codecs = strings::settings::CODECS;
            faults
                .settings
                .insert(codecs, strings::settings::CODECS_WRONG);
        }
        // What means nothing is not asked about.
        let idle = fields::items().filter(|item| !(item.applies)(&self.settings));
        for item in idle {
            faults.settings.remove(item.name);
        }
        faults
    }

    /// Shows where something is wrong.
    pub(crate) fn point_at(&mut self, faults: &Faults) {
        self.tried = true;
        for section in &SECTIONS {
            let wrong = |item: &Item| faults.settings.contains_key(item.name);
            if section.items.iter().any(wrong) {
                self.advanced = true;
                self.open.insert(section.name);
            }
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

    /// What the engine is to be told, when nothing is wrong. Only what a person can see to be wrong is refused
    /// here; the engine has the last word.
    pub(crate) fn command(&mut self) -> Option<Command> {
        if !self.settle().is_empty() {
            return None;
        }
        let settings = Box::new(AccountSettings {
            aor: self.aor()?.into(),
            ..self.settings.clone()
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

/// Every setting that is typed, by its name. Those that others depend on come first.
fn texts() -> impl Iterator<Item = (&'static str, &'static Text)> {
    fields::items().filter_map(|item| match &item.kind {
        ItemKind::Text(text) => Some((item.name, text)),
        _ => None,
    })
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
    use model::{
        AutoAnswer, CallPolicies, DoNotDisturb, DtmfMode, JoinPolicy, LoginKind, PrackPolicy,
        RedirectPolicy, SrtpKeys, SrtpPolicy, Timestamp, Transport, VoicePolicy, WatchKind,
    };

    use super::*;

    fn form(address: &str) -> AccountForm {
        AccountForm {
            address: address.to_owned(),
            ..AccountForm::new(None)
        }
    }

    #[test]
    fn two_fields_are_enough() {
        let mut form = AccountForm {
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
                form(typed).settle().address,
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

    /// An account with something else than the default everywhere.
    /// A setting that comes later does not compile until it has a value here, and so a place in the form or beside it.
    fn unusual() -> AccountSettings {
        let list = |values: [&str; 2]| values.map(str::to_owned).to_vec();
        AccountSettings {
            label: "Night desk".into(),
            aor: "sip:alice@example.com".into(),
            display_name: "Alice".into(),
            auth_user: Some("alice-7".into()),
            registrar: Some("sip:pbx.example.com".into()),
            proxy: Some("sip:one.example.com:5061;transport=tls;lr".into()),
            transport: Some(Transport::Wss),
            tls_ca: Some("/etc/ca.pem".into()),
            tls_cert: Some("/etc/own.pem".into()),
            tls_key: Some("/etc/own.key".into()),
            tls_trust: list([&"ab".repeat(32), &["CD"; 32].join(":")]),
            ws_path: Some("/sip".to_owned()),
            bind: Some("192.0.2.5:5062".to_owned()),
            register: false,
            expires_s: 120,
            srtp: SrtpPolicy::OptionalTwoLines,
            srtp_keys: SrtpKeys::Dtls,
            codecs: list(["pcma", "opus"]),
            dtmf: DtmfMode::Auto,
            headers: [
                "X-Room: 42; floor=3",
                "Alert-Info: <http://example.com/a>;info=b",
            ]
            .map(Into::into)
            .to_vec(),
            login: LoginKind::Token,
            strong_login: true,
            more_proxies: ["sip:two.example.com;lr", "sip:three.example.com;lr"]
                .map(Into::into)
                .to_vec(),
            flows: 3,
            gruu: true,
            public_address: Some("198.51.100.7".to_owned()),
            header_rules: ["out INVITE add X-Room: 42; a=b", "in * remove Server"]
                .map(Into::into)
                .to_vec(),
            stun: Some("stun.example.com:3478".into()),
            turn: Some("turn:relay.example.com:3478?transport=tcp".into()),
            turn_user: Some("relay-7".into()),
            inside: list(["192.168.0.0/16", "fd00::/8"]),
            inside_name: Some("desk-7.example.com".to_owned()),
            // On the account's page.
            logins: Vec::new(),
            guest_login: true,
            login_wait_s: 5,
            reg_event: true,
            ice: true,
            voice: VoicePolicy {
                echo_cancellation: false,
                noise_suppression: false,
                gain_control: false,
                high_pass: false,
            },
            recording_tone_s: Some(15),
            recording_opus: true,
            hold_music: Some("/music/hold.wav".to_owned()),
            silence_suppression: true,
            send_twice: true,
            bandwidth_kbit: Some(64),
            quality_report: Some("sip:quality@example.com".into()),
            mwi: false,
            watched: ["201", "sip:bob@example.com"].map(Into::into).to_vec(),
            watch: WatchKind::Both,
            publish_presence: true,
            calls: CallPolicies {
                redirects: RedirectPolicy::Never,
                session_timers: false,
                session_expires_s: 600,
                min_session_expires_s: 120,
                prack: PrackPolicy::Required,
                early_media: false,
                do_not_disturb: DoNotDisturb::Busy,
                forward_always: Some("602".into()),
                forward_busy: Some("603".into()),
                forward_no_answer: Some("604".into()),
                forward_after_s: 7,
                auto_answer: AutoAnswer::Always,
                most_calls: 4,
                joins: JoinPolicy::FromServer,
                anonymous: true,
            },
        }
    }

    #[test]
    fn what_is_saved_without_a_change_is_what_was_there() {
        for settings in [unusual(), AccountSettings::new("sip:alice@example.com")] {
            let (id, tenant) = (AccountId::new("a"), TenantId::new("t"));
            let account = AccountView::new(id, tenant, settings.clone(), Timestamp(0));
            let mut form = AccountForm::edit(&account);
            let Some(Command::UpdateAccount { settings: kept, .. }) = form.command() else {
                panic!("{:?}", form.settle());
            };
            assert_eq!(*kept, settings);
        }
    }

    #[test]
    fn every_setting_can_be_changed_in_the_form_or_beside_it() {
        let (new, unusual) = (AccountSettings::new("sip:alice@example.com"), unusual());
        for item in fields::items() {
            assert!(item.differs(&unusual, &new), "{}", item.name);
        }
        // What the form can set is taken from the one, the rest from the other.
        let mut set = new.clone();
        for item in fields::items() {
            let fine = match &item.kind {
                ItemKind::Text(text) => (text.write)(&mut set, &(text.read)(&unusual)),
                ItemKind::Switch(of) => {
                    *of(&mut set) = *of(&mut unusual.clone());
                    true
                }
                ItemKind::Choice(choice) => {
                    (choice.write)(&mut set, (choice.read)(&unusual));
                    true
                }
                ItemKind::Codecs => {
                    set.codecs.clone_from(&unusual.codecs);
                    true
                }
            };
            assert!(fine, "{}", item.name);
        }
        // These are set on the account's page.
        let CallPolicies {
            do_not_disturb,
            forward_always,
            forward_busy,
            forward_no_answer,
            forward_after_s,
            auto_answer,
            ..
        } = unusual.calls.clone();
        set.calls = CallPolicies {
            do_not_disturb,
            forward_always,
            forward_busy,
            forward_no_answer,
            forward_after_s,
            auto_answer,
            ..set.calls
        };
        assert_eq!(set, unusual);
    }

    #[test]
    fn names_are_given_once() {
        let names: BTreeSet<_> = fields::items().map(|item| item.name).collect();
        assert_eq!(names.len(), fields::items().count());
    }

    #[test]
    fn a_fault_says_what_a_good_value_looks_like() {
        use strings::settings as words;
        let mut form = form("alice@example.com");
        for (name, typed) in [
            (words::REGISTRAR, "http://example.com"),
            (words::MORE_PROXIES, "sip:a.example.com\nb c"),
            (words::BIND, "192.168.1.20"),
            (words::PUBLIC, "home.example.com"),
            (words::STUN, "stun example"),
            (words::TURN, "relay.example.com"),
            (words::INSIDE, "192.168.0.0/33"),
            (words::LOGIN_WAIT, "long"),
            (words::WS_PATH, "sip"),
            (words::EXPIRES, "5"),
            (words::FLOWS, "5"),
            (words::TLS_KEY, "/etc/own.key"),
            (words::TLS_TRUST, "AB:CD"),
            (words::SESSION, "89"),
            (words::MIN_SESSION, "1801"),
            (words::MOST_CALLS, "many"),
            (words::WATCH_WHOM, "bob, the boss"),
            (words::HEADERS, "X-Room 42"),
            (words::HEADER_RULES, "sideways INVITE add X: 1"),
        ] {
            *form.typed(name) = typed.to_owned();
            let faults = form.settle();
            let wrong = faults.settings.get(name).copied();
            assert!(wrong.is_some_and(|words| words.ends_with('.')), "{name}");
        }
        form.settings.codecs = vec!["g729".to_owned()];
        let faults = form.settle();
        assert_eq!(faults.settings.len(), 20);
        assert_eq!(faults.address, None);
        assert!(form.command().is_none());
        // The parts with something wrong in them open.
        form.point_at(&faults);
        assert_eq!(form.open.len(), 8);
        // What means nothing any more cannot be wrong.
        form.settings.calls.session_timers = false;
        form.settings.register = false;
        assert_eq!(form.settle().settings.len(), 16);
        // And what means something only now can.
        *form.typed(words::INSIDE_NAME) = "desk 7".to_owned();
        assert!(!form.settle().settings.contains_key(words::INSIDE_NAME));
        *form.typed(words::INSIDE) = "10.0.0.0/8".to_owned();
        assert!(form.settle().settings.contains_key(words::INSIDE_NAME));
    }
}
