//! What can be set for an account beside its address and password: every setting with its words, where its
//! value is kept, and what of it can be taken.

use model::{
    AccountSettings, DtmfMode, JoinPolicy, LoginKind, PrackPolicy, RedirectPolicy, ServerUri,
    SrtpKeys, SrtpPolicy, Transport, WatchKind,
};

use super::{CODECS, is_host};
use crate::strings::settings as words;

/// A part of the form, folded away until it is opened.
pub(crate) struct Section {
    /// Its heading.
    pub(crate) name: &'static str,
    /// What it is about, in a line.
    pub(crate) about: &'static str,
    /// What is set in it, in the order of the form.
    pub(crate) items: &'static [Item],
}

/// One setting.
pub(crate) struct Item {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) help: &'static str,
    /// Whether it means anything with these settings.
    pub(crate) applies: fn(&AccountSettings) -> bool,
    pub(crate) kind: ItemKind,
}

pub(crate) enum ItemKind {
    /// Something that is typed.
    Text(Text),
    /// Something that is on or off.
    Switch(fn(&mut AccountSettings) -> &mut bool),
    /// One of several.
    Choice(Choice),
    /// The codecs in their order.
    Codecs,
}

/// A setting that is typed.
pub(crate) struct Text {
    /// Whether it has a line for each of its values.
    pub(crate) lines: bool,
    /// The setting as text.
    pub(crate) read: fn(&AccountSettings) -> String,
    /// Sets what was typed; `false` where it cannot be taken, and nothing is changed then.
    pub(crate) write: fn(&mut AccountSettings, &str) -> bool,
    /// What a good value looks like.
    pub(crate) wrong: &'static str,
}

/// A setting with few values.
pub(crate) struct Choice {
    /// What they are called.
    pub(crate) options: &'static [&'static str],
    /// Which of them is set.
    pub(crate) read: fn(&AccountSettings) -> usize,
    /// Sets one of them.
    pub(crate) write: fn(&mut AccountSettings, usize),
}

impl Item {
    /// Whether the settings say something else here than those of a new account.
    pub(crate) fn differs(&self, s: &AccountSettings, from: &AccountSettings) -> bool {
        match &self.kind {
            ItemKind::Text(text) => (text.read)(s) != (text.read)(from),
            ItemKind::Switch(of) => *of(&mut s.clone()) != *of(&mut from.clone()),
            ItemKind::Choice(choice) => (choice.read)(s) != (choice.read)(from),
            ItemKind::Codecs => s.codecs != from.codecs,
        }
    }
}

/// All parts, in the order of the form.
pub(crate) static SECTIONS: [Section; 8] = [
    Section {
        name: words::NAMES,
        about: words::NAMES_ABOUT,
        items: &[
            text(words::LABEL, words::LABEL_HELP, LABEL),
            text(words::DISPLAY_NAME, words::DISPLAY_NAME_HELP, DISPLAY_NAME),
            text(words::AUTH_USER, words::AUTH_USER_HELP, AUTH_USER),
            choice(words::LOGIN, words::LOGIN_HELP, LOGIN),
            switch(words::STRONG_LOGIN, words::STRONG_LOGIN_HELP, |s| {
                &mut s.strong_login
            }),
            switch(words::GUEST_LOGIN, words::GUEST_LOGIN_HELP, |s| {
                &mut s.guest_login
            }),
            text(words::LOGIN_WAIT, words::LOGIN_WAIT_HELP, LOGIN_WAIT),
        ],
    },
    Section {
        name: words::SERVER,
        about: words::SERVER_ABOUT,
        items: &[
            text(words::REGISTRAR, words::REGISTRAR_HELP, REGISTRAR),
            text(words::PROXY, words::PROXY_HELP, PROXY),
            text(words::MORE_PROXIES, words::MORE_PROXIES_HELP, MORE_PROXIES),
            choice(words::TRANSPORT, words::TRANSPORT_HELP, TRANSPORT),
            Item {
                applies: |s| {
                    !matches!(
                        s.transport,
                        Some(Transport::Udp | Transport::Tcp | Transport::Tls)
                    )
                },
                ..text(words::WS_PATH, words::WS_PATH_HELP, WS_PATH)
            },
            switch(words::REGISTER, words::REGISTER_HELP, |s| &mut s.register),
            Item {
                applies: |s| s.register,
                ..text(words::EXPIRES, words::EXPIRES_HELP, EXPIRES)
            },
            Item {
                applies: |s| s.register,
                ..text(words::FLOWS, words::FLOWS_HELP, FLOWS)
            },
            switch(words::GRUU, words::GRUU_HELP, |s| &mut s.gruu),
            Item {
                applies: |s| s.register,
                ..switch(words::REG_EVENT, words::REG_EVENT_HELP, |s| {
                    &mut s.reg_event
                })
            },
        ],
    },
    Section {
        name: words::NETWORK,
        about: words::NETWORK_ABOUT,
        items: &[
            text(words::BIND, words::BIND_HELP, BIND),
            text(words::PUBLIC, words::PUBLIC_HELP, PUBLIC),
            Item {
                applies: |s| s.public_address.is_none(),
                ..text(words::STUN, words::STUN_HELP, STUN)
            },
            Item {
                applies: |s| s.public_address.is_none(),
                ..text(words::TURN, words::TURN_HELP, TURN)
            },
            Item {
                applies: |s| s.public_address.is_none() && s.turn.is_some(),
                ..text(words::TURN_USER, words::TURN_USER_HELP, TURN_USER)
            },
            switch(words::ICE, words::ICE_HELP, |s| &mut s.ice),
            text(words::INSIDE, words::INSIDE_HELP, INSIDE),
            Item {
                applies: |s| !s.inside.is_empty(),
                ..text(words::INSIDE_NAME, words::INSIDE_NAME_HELP, INSIDE_NAME)
            },
        ],
    },
    Section {
        name: words::CERTIFICATES,
        about: words::CERTIFICATES_ABOUT,
        items: &[
            text(words::TLS_CA, words::TLS_CA_HELP, TLS_CA),
            text(words::TLS_CERT, words::TLS_CERT_HELP, TLS_CERT),
            text(words::TLS_KEY, words::TLS_KEY_HELP, TLS_KEY),
            text(words::TLS_TRUST, words::TLS_TRUST_HELP, TLS_TRUST),
        ],
    },
    Section {
        name: words::MEDIA,
        about: words::MEDIA_ABOUT,
        items: &[
            choice(words::ENCRYPTION, words::ENCRYPTION_HELP, ENCRYPTION),
            Item {
                applies: |s| s.srtp != SrtpPolicy::Off,
                ..choice(words::KEYS, words::KEYS_HELP, KEYS)
            },
            choice(words::DTMF, words::DTMF_HELP, DTMF),
            Item {
                name: words::CODECS,
                help: words::CODECS_HELP,
                applies: always,
                kind: ItemKind::Codecs,
            },
            switch(words::ECHO, words::ECHO_HELP, |s| {
                &mut s.voice.echo_cancellation
            }),
            switch(words::NOISE, words::NOISE_HELP, |s| {
                &mut s.voice.noise_suppression
            }),
            switch(words::GAIN, words::GAIN_HELP, |s| &mut s.voice.gain_control),
            switch(words::HIGH_PASS, words::HIGH_PASS_HELP, |s| {
                &mut s.voice.high_pass
            }),
            switch(words::QUIET, words::QUIET_HELP, |s| {
                &mut s.silence_suppression
            }),
            switch(words::TWICE, words::TWICE_HELP, |s| &mut s.send_twice),
            text(words::BANDWIDTH, words::BANDWIDTH_HELP, BANDWIDTH),
            text(
                words::RECORDING_TONE,
                words::RECORDING_TONE_HELP,
                RECORDING_TONE,
            ),
            switch(words::RECORDING_OPUS, words::RECORDING_OPUS_HELP, |s| {
                &mut s.recording_opus
            }),
            text(words::HOLD_MUSIC, words::HOLD_MUSIC_HELP, HOLD_MUSIC),
            text(
                words::QUALITY_REPORT,
                words::QUALITY_REPORT_HELP,
                QUALITY_REPORT,
            ),
        ],
    },
    Section {
        name: words::CALLS,
        about: words::CALLS_ABOUT,
        items: &[
            switch(words::ANONYMOUS, words::ANONYMOUS_HELP, |s| {
                &mut s.calls.anonymous
            }),
            switch(words::EARLY_MEDIA, words::EARLY_MEDIA_HELP, |s| {
                &mut s.calls.early_media
            }),
            choice(words::REDIRECTS, words::REDIRECTS_HELP, REDIRECTS),
            text(words::MOST_CALLS, words::MOST_CALLS_HELP, MOST_CALLS),
            choice(words::JOINS, words::JOINS_HELP, JOINS),
            choice(words::PRACK, words::PRACK_HELP, PRACK),
            switch(words::SESSION_TIMERS, words::SESSION_TIMERS_HELP, |s| {
                &mut s.calls.session_timers
            }),
            Item {
                applies: |s| s.calls.session_timers,
                ..text(words::SESSION, words::SESSION_HELP, SESSION)
            },
            Item {
                applies: |s| s.calls.session_timers,
                ..text(words::MIN_SESSION, words::MIN_SESSION_HELP, MIN_SESSION)
            },
        ],
    },
    Section {
        name: words::PEOPLE,
        about: words::PEOPLE_ABOUT,
        items: &[
            switch(words::MWI, words::MWI_HELP, |s| &mut s.mwi),
            text(words::WATCH_WHOM, words::WATCH_WHOM_HELP, WATCHED),
            Item {
                applies: |s| !s.watched.is_empty(),
                ..choice(words::WATCH, words::WATCH_HELP, WATCH)
            },
            switch(words::PUBLISH, words::PUBLISH_HELP, |s| {
                &mut s.publish_presence
            }),
        ],
    },
    Section {
        name: words::HEADERS_PART,
        about: words::HEADERS_ABOUT,
        items: &[
            text(words::HEADERS, words::HEADERS_HELP, HEADERS),
            text(words::HEADER_RULES, words::HEADER_RULES_HELP, HEADER_RULES),
        ],
    },
];

/// Every setting.
pub(crate) fn items() -> impl Iterator<Item = &'static Item> {
    SECTIONS.iter().flat_map(|section| section.items)
}

const fn text(name: &'static str, help: &'static str, text: Text) -> Item {
    Item {
        name,
        help,
        applies: always,
        kind: ItemKind::Text(text),
    }
}

const fn switch(
    name: &'static str,
    help: &'static str,
    of: fn(&mut AccountSettings) -> &mut bool,
) -> Item {
    Item {
        name,
        help,
        applies: always,
        kind: ItemKind::Switch(of),
    }
}

const fn choice(name: &'static str, help: &'static str, choice: Choice) -> Item {
    Item {
        name,
        help,
        applies: always,
        kind: ItemKind::Choice(choice),
    }
}

const fn always(_: &AccountSettings) -> bool {
    true
}

const LABEL: Text = Text {
    lines: false,
    read: |s| s.label.reveal().to_owned(),
    write: |s, typed| set(&mut s.label, Some(typed.into())),
    wrong: "",
};
const DISPLAY_NAME: Text = Text {
    lines: false,
    read: |s| s.display_name.reveal().to_owned(),
    write: |s, typed| set(&mut s.display_name, Some(typed.into())),
    wrong: "",
};
const AUTH_USER: Text = Text {
    lines: false,
    read: |s| s.auth_user.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.auth_user, Some(some(typed).map(Into::into))),
    wrong: "",
};
const LOGIN_WAIT: Text = Text {
    lines: false,
    read: |s| s.login_wait_s.to_string(),
    write: |s, typed| set(&mut s.login_wait_s, number(typed, 0, 3600)),
    wrong: words::LOGIN_WAIT_WRONG,
};
const REGISTRAR: Text = Text {
    lines: false,
    read: |s| s.registrar.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.registrar, optional(typed, uri)),
    wrong: words::REGISTRAR_WRONG,
};
const PROXY: Text = Text {
    lines: false,
    read: |s| s.proxy.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.proxy, optional(typed, uri)),
    wrong: words::PROXY_WRONG,
};
const MORE_PROXIES: Text = Text {
    lines: true,
    read: |s| {
        let proxies: Vec<&str> = s.more_proxies.iter().map(ServerUri::reveal).collect();
        proxies.join("\n")
    },
    write: |s, typed| set(&mut s.more_proxies, each(typed, uri)),
    wrong: words::PROXY_WRONG,
};
const WS_PATH: Text = Text {
    lines: false,
    read: |s| s.ws_path.clone().unwrap_or_default(),
    write: |s, typed| {
        let path = |typed: &str| {
            let fine = typed.starts_with('/') && !typed.contains(char::is_whitespace);
            fine.then(|| typed.to_owned())
        };
        set(&mut s.ws_path, optional(typed, path))
    },
    wrong: words::WS_PATH_WRONG,
};
const EXPIRES: Text = Text {
    lines: false,
    read: |s| s.expires_s.to_string(),
    write: |s, typed| set(&mut s.expires_s, number(typed, 30, 86_400)),
    wrong: words::EXPIRES_WRONG,
};
const FLOWS: Text = Text {
    lines: false,
    read: |s| s.flows.to_string(),
    write: |s, typed| set(&mut s.flows, number(typed, 0, 4)),
    wrong: words::FLOWS_WRONG,
};
const BIND: Text = Text {
    lines: false,
    read: |s| s.bind.clone().unwrap_or_default(),
    write: |s, typed| {
        let address = |typed: &str| {
            let fine = typed.parse::<std::net::SocketAddr>().is_ok();
            fine.then(|| typed.to_owned())
        };
        set(&mut s.bind, optional(typed, address))
    },
    wrong: words::BIND_WRONG,
};
const PUBLIC: Text = Text {
    lines: false,
    read: |s| s.public_address.clone().unwrap_or_default(),
    write: |s, typed| {
        let address = |typed: &str| {
            let fine = typed.parse::<std::net::IpAddr>().is_ok()
                || typed.parse::<std::net::SocketAddr>().is_ok();
            fine.then(|| typed.to_owned())
        };
        set(&mut s.public_address, optional(typed, address))
    },
    wrong: words::PUBLIC_WRONG,
};
const STUN: Text = Text {
    lines: false,
    read: |s| s.stun.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| {
        let server = |typed: &str| {
            (is_host(typed) && !typed.contains([';', '?', '@'])).then(|| typed.into())
        };
        set(&mut s.stun, optional(typed, server))
    },
    wrong: words::STUN_WRONG,
};
const TURN: Text = Text {
    lines: false,
    read: |s| s.turn.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| {
        let relay = |typed: &str| {
            let rest = typed
                .strip_prefix("turn:")
                .or_else(|| typed.strip_prefix("turns:"))?;
            let fine = is_host(rest) && !rest.contains(['@', ' ']);
            fine.then(|| typed.into())
        };
        set(&mut s.turn, optional(typed, relay))
    },
    wrong: words::TURN_WRONG,
};
const TURN_USER: Text = Text {
    lines: false,
    read: |s| s.turn_user.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.turn_user, Some(some(typed).map(Into::into))),
    wrong: "",
};
const INSIDE: Text = Text {
    lines: true,
    read: |s| s.inside.join("\n"),
    write: |s, typed| {
        let network = |typed: &str| {
            let (address, length) = typed.split_once('/')?;
            let longest = match address.parse().ok()? {
                std::net::IpAddr::V4(_) => 32,
                std::net::IpAddr::V6(_) => 128,
            };
            number::<u32>(length, 0, longest).map(|_| typed.to_owned())
        };
        set(&mut s.inside, each(typed, network))
    },
    wrong: words::INSIDE_WRONG,
};
const INSIDE_NAME: Text = Text {
    lines: false,
    read: |s| s.inside_name.clone().unwrap_or_default(),
    write: |s, typed| {
        let name = |typed: &str| {
            let fine = is_host(typed) && !typed.contains([':', ';', '?', '@']);
            fine.then(|| typed.to_owned())
        };
        set(&mut s.inside_name, optional(typed, name))
    },
    wrong: words::INSIDE_NAME_WRONG,
};
const TLS_CA: Text = Text {
    lines: false,
    read: |s| s.tls_ca.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.tls_ca, Some(some(typed).map(Into::into))),
    wrong: "",
};
const TLS_CERT: Text = Text {
    lines: false,
    read: |s| s.tls_cert.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.tls_cert, Some(some(typed).map(Into::into))),
    wrong: "",
};
const TLS_KEY: Text = Text {
    lines: false,
    read: |s| s.tls_key.clone().unwrap_or_default().into_revealed(),
    // The one is nothing without the other; the certificate stands above it and is written first.
    write: |s, typed| {
        let key = some(typed).map(Into::into);
        let both = key.is_some() == s.tls_cert.is_some();
        set(&mut s.tls_key, both.then_some(key))
    },
    wrong: words::TLS_KEY_WRONG,
};
const TLS_TRUST: Text = Text {
    lines: true,
    read: |s| s.tls_trust.join("\n"),
    write: |s, typed| {
        let fingerprint = |typed: &str| {
            let digits = typed.chars().filter(char::is_ascii_hexdigit).count();
            let others = typed.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
            (digits == 64 && others).then(|| typed.to_owned())
        };
        set(&mut s.tls_trust, each(typed, fingerprint))
    },
    wrong: words::TLS_TRUST_WRONG,
};
const BANDWIDTH: Text = Text {
    lines: false,
    read: |s| {
        s.bandwidth_kbit
            .map_or_else(String::new, |kbit| kbit.to_string())
    },
    write: |s, typed| {
        let kbit = |typed: &str| number(typed, 8, 100_000);
        set(&mut s.bandwidth_kbit, optional(typed, kbit))
    },
    wrong: words::BANDWIDTH_WRONG,
};
const QUALITY_REPORT: Text = Text {
    lines: false,
    read: |s| s.quality_report.clone().unwrap_or_default().into_revealed(),
    write: |s, typed| set(&mut s.quality_report, Some(some(typed).map(Into::into))),
    wrong: "",
};
const HOLD_MUSIC: Text = Text {
    lines: false,
    read: |s| s.hold_music.clone().unwrap_or_default(),
    write: |s, typed| set(&mut s.hold_music, Some(some(typed))),
    wrong: "",
};
const RECORDING_TONE: Text = Text {
    lines: false,
    read: |s| {
        s.recording_tone_s
            .map_or_else(String::new, |seconds| seconds.to_string())
    },
    write: |s, typed| {
        let seconds = |typed: &str| number(typed, 0, 3_600);
        set(&mut s.recording_tone_s, optional(typed, seconds))
    },
    wrong: words::RECORDING_TONE_WRONG,
};
const MOST_CALLS: Text = Text {
    lines: false,
    read: |s| s.calls.most_calls.to_string(),
    write: |s, typed| set(&mut s.calls.most_calls, number(typed, 0, 1000)),
    wrong: words::MOST_CALLS_WRONG,
};
const SESSION: Text = Text {
    lines: false,
    read: |s| s.calls.session_expires_s.to_string(),
    write: |s, typed| set(&mut s.calls.session_expires_s, number(typed, 90, 86_400)),
    wrong: words::SESSION_WRONG,
};
const MIN_SESSION: Text = Text {
    lines: false,
    read: |s| s.calls.min_session_expires_s.to_string(),
    write: |s, typed| {
        // RFC 4028 §4: never shorter than the shortest that is taken.
        let longest = s.calls.session_expires_s;
        set(
            &mut s.calls.min_session_expires_s,
            number(typed, 90, longest),
        )
    },
    wrong: words::MIN_SESSION_WRONG,
};
const WATCHED: Text = Text {
    lines: true,
    read: |s| {
        let whom: Vec<&str> = s.watched.iter().map(model::Identity::reveal).collect();
        whom.join("\n")
    },
    write: |s, typed| {
        let whom = |typed: &str| (!typed.contains(char::is_whitespace)).then(|| typed.into());
        set(&mut s.watched, each(&typed.replace(',', "\n"), whom))
    },
    wrong: words::WATCH_WHOM_WRONG,
};
const HEADERS: Text = Text {
    lines: true,
    read: |s| {
        let headers: Vec<&str> = s.headers.iter().map(model::Private::reveal).collect();
        headers.join("\n")
    },
    write: |s, typed| {
        let header = |typed: &str| {
            let (name, _) = typed.split_once(':')?;
            let fine = !name.is_empty() && !name.contains(char::is_whitespace);
            fine.then(|| typed.into())
        };
        set(&mut s.headers, each(typed, header))
    },
    wrong: words::HEADERS_WRONG,
};
const HEADER_RULES: Text = Text {
    lines: true,
    read: |s| {
        let rules: Vec<&str> = s.header_rules.iter().map(model::Private::reveal).collect();
        rules.join("\n")
    },
    write: |s, typed| {
        let rule = |typed: &str| {
            let way = typed.split_whitespace().next();
            let fine = matches!(way, Some("in" | "out")) && typed.split_whitespace().count() > 2;
            fine.then(|| typed.into())
        };
        set(&mut s.header_rules, each(typed, rule))
    },
    wrong: words::HEADER_RULES_WRONG,
};

const LOGIN: Choice = Choice {
    options: &["Password", "Token"],
    read: |s| usize::from(s.login == LoginKind::Token),
    write: |s, at| {
        s.login = match at {
            0 => LoginKind::Password,
            _ => LoginKind::Token,
        }
    },
};
const TRANSPORTS: [Option<Transport>; 6] = [
    None,
    Some(Transport::Udp),
    Some(Transport::Tcp),
    Some(Transport::Tls),
    Some(Transport::Ws),
    Some(Transport::Wss),
];
const TRANSPORT: Choice = Choice {
    options: &["Automatic", "UDP", "TCP", "TLS", "WS", "WSS"],
    read: |s| place(&TRANSPORTS, &s.transport),
    write: |s, at| take(&TRANSPORTS, at, &mut s.transport),
};
const ENCRYPTIONS: [SrtpPolicy; 4] = [
    SrtpPolicy::Off,
    SrtpPolicy::Optional,
    SrtpPolicy::OptionalTwoLines,
    SrtpPolicy::Required,
];
const ENCRYPTION: Choice = Choice {
    options: &words::ENCRYPTIONS,
    read: |s| place(&ENCRYPTIONS, &s.srtp),
    write: |s, at| take(&ENCRYPTIONS, at, &mut s.srtp),
};
const KEYS: Choice = Choice {
    options: &["In the signalling (SDES)", "By a handshake (DTLS)"],
    read: |s| usize::from(s.srtp_keys == SrtpKeys::Dtls),
    write: |s, at| {
        s.srtp_keys = match at {
            0 => SrtpKeys::Sdes,
            _ => SrtpKeys::Dtls,
        }
    },
};
const TONES: [DtmfMode; 4] = [
    DtmfMode::Rfc4733,
    DtmfMode::Info,
    DtmfMode::Inband,
    DtmfMode::Auto,
];
const DTMF: Choice = Choice {
    options: &words::TONES,
    read: |s| place(&TONES, &s.dtmf),
    write: |s, at| take(&TONES, at, &mut s.dtmf),
};
const REDIRECT: [RedirectPolicy; 3] = [
    RedirectPolicy::Ask,
    RedirectPolicy::Always,
    RedirectPolicy::Never,
];
const REDIRECTS: Choice = Choice {
    options: &["Ask", "Call there", "Give up"],
    read: |s| place(&REDIRECT, &s.calls.redirects),
    write: |s, at| take(&REDIRECT, at, &mut s.calls.redirects),
};
const JOIN: [JoinPolicy; 3] = [
    JoinPolicy::Never,
    JoinPolicy::FromServer,
    JoinPolicy::Always,
];
const JOINS: Choice = Choice {
    options: &["Nobody", "By the server", "Who knows it"],
    read: |s| place(&JOIN, &s.calls.joins),
    write: |s, at| take(&JOIN, at, &mut s.calls.joins),
};
const PRACKS: [PrackPolicy; 3] = [
    PrackPolicy::Off,
    PrackPolicy::Supported,
    PrackPolicy::Required,
];
const PRACK: Choice = Choice {
    options: &["Never", "Where both can", "Required"],
    read: |s| place(&PRACKS, &s.calls.prack),
    write: |s, at| take(&PRACKS, at, &mut s.calls.prack),
};
const WATCHES: [WatchKind; 3] = [WatchKind::Calls, WatchKind::Presence, WatchKind::Both];
const WATCH: Choice = Choice {
    options: &["Their calls", "Their presence", "Both"],
    read: |s| place(&WATCHES, &s.watch),
    write: |s, at| take(&WATCHES, at, &mut s.watch),
};

fn place<T: PartialEq>(all: &[T], value: &T) -> usize {
    all.iter().position(|one| one == value).unwrap_or(0)
}

fn take<T: Clone>(all: &[T], at: usize, into: &mut T) {
    if let Some(value) = all.get(at) {
        into.clone_from(value);
    }
}

/// Puts a value into its place, where it could be read.
fn set<T>(place: &mut T, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            *place = value;
            true
        }
        None => false,
    }
}

fn some(typed: &str) -> Option<String> {
    Some(typed.to_owned()).filter(|typed| !typed.is_empty())
}

/// Nothing, or something that can be read.
fn optional<T>(typed: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if typed.is_empty() {
        return Some(None);
    }
    read(typed).map(Some)
}

/// One value a line, all of which can be read.
fn each<T>(typed: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let lines = typed.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(read).collect()
}

fn number<T: TryFrom<u32>>(typed: &str, least: u32, most: u32) -> Option<T> {
    let number = typed.parse::<u32>().ok()?;
    let fine = (least..=most).contains(&number);
    T::try_from(number).ok().filter(|_| fine)
}

/// A URI of a server; its scheme may be left out.
fn uri(typed: &str) -> Option<ServerUri> {
    let has_scheme = typed.starts_with("sip:") || typed.starts_with("sips:");
    let rest = match typed.split_once(':') {
        Some((_, rest)) if has_scheme => rest,
        _ => typed,
    };
    let fine = is_host(rest) && !typed.contains(char::is_whitespace);
    fine.then(|| match has_scheme {
        true => typed.into(),
        false => format!("sip:{typed}").into(),
    })
}

/// Whether at least one codec is on, and all are known.
pub(crate) fn codecs_are_fine(s: &AccountSettings) -> bool {
    !s.codecs.is_empty() && s.codecs.iter().all(|c| CODECS.contains(&c.as_str()))
}
