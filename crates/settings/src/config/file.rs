//! The shape of `settings.toml` in its newest version.
//!
//! These types are the file and nothing else: a field of [`model`] may change its name tomorrow, a key
//! here may not without a migration. `rest` catches what this version does not know.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use model::{
    AccountId, AccountSettings, DeviceId, Identity, Preferences, Private, ServerUri, TenantId,
    TrustedCertificate, Volume,
};
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::calls::FileCalls;
use super::{Account, DeviceChoices, Problem, Settings, Tenant, Unknown, fresh_id};

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct File {
    #[serde(default = "current")]
    version: i64,
    #[serde(default)]
    preferences: Window,
    #[serde(default)]
    devices: Devices,
    #[serde(default)]
    tenants: Vec<FileTenant>,
    #[serde(flatten)]
    rest: toml::Table,
}

#[derive(Debug, Deserialize, Serialize)]
struct Window {
    #[serde(default)]
    theme: Theme,
    #[serde(default = "normal_text")]
    text_scale: f32,
    #[serde(flatten)]
    rest: toml::Table,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Devices {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capture: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    playout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ringer: Option<String>,
    /// In percent; wider than it may be, so that what is out of range is put right and not the end of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speaker_volume: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    microphone_gain: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tones: Option<String>,
    #[serde(flatten)]
    rest: toml::Table,
}

#[derive(Debug, Deserialize, Serialize)]
struct FileTenant {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    colour: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dns_servers: Vec<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bind: Option<String>,
    /// Fingerprints by host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    trusted_certificates: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    hosts: BTreeMap<String, Vec<IpAddr>>,
    #[serde(default)]
    accounts: Vec<FileAccount>,
    #[serde(flatten)]
    rest: toml::Table,
}

#[derive(Debug, Deserialize, Serialize)]
struct FileAccount {
    #[serde(default)]
    id: String,
    #[serde(default, skip_serializing_if = "Private::is_empty")]
    label: Private,
    aor: Identity,
    #[serde(default, skip_serializing_if = "Private::is_empty")]
    display_name: Private,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_user: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registrar: Option<ServerUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<ServerUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transport: Option<Transport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls_ca: Option<Private>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls_cert: Option<Private>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls_key: Option<Private>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tls_trust: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ws_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bind: Option<String>,
    #[serde(default = "yes")]
    register: bool,
    #[serde(default = "ten_minutes")]
    expires_s: u32,
    #[serde(default)]
    srtp: Srtp,
    #[serde(default, skip_serializing_if = "SrtpKeys::is_usual")]
    srtp_keys: SrtpKeys,
    #[serde(default = "all_codecs")]
    codecs: Vec<String>,
    #[serde(default)]
    dtmf: Dtmf,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Private>,
    #[serde(default, skip_serializing_if = "Login::is_password")]
    login: Login,
    #[serde(default, skip_serializing_if = "is_off")]
    strong_login: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logins: Vec<FileLogin>,
    #[serde(default, skip_serializing_if = "is_off")]
    guest_login: bool,
    #[serde(default = "one_minute", skip_serializing_if = "is_one_minute")]
    login_wait_s: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more_proxies: Vec<ServerUri>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    flows: u8,
    #[serde(default, skip_serializing_if = "is_off")]
    gruu: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_address: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inside: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inside_name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    header_rules: Vec<Private>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stun: Option<ServerUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<ServerUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn_user: Option<Identity>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ice: bool,
    #[serde(default = "yes", skip_serializing_if = "is_on")]
    echo_cancellation: bool,
    #[serde(default = "yes", skip_serializing_if = "is_on")]
    noise_suppression: bool,
    #[serde(default = "yes", skip_serializing_if = "is_on")]
    gain_control: bool,
    #[serde(default = "yes", skip_serializing_if = "is_on")]
    high_pass: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recording_tone_s: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    recording_opus: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_music: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    silence_suppression: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    send_twice: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bandwidth_kbit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quality_report: Option<Identity>,
    #[serde(default = "yes", skip_serializing_if = "is_on")]
    mwi: bool,
    #[serde(default, skip_serializing_if = "is_off")]
    reg_event: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    watched: Vec<Identity>,
    #[serde(default, skip_serializing_if = "Watch::is_calls")]
    watch: Watch,
    #[serde(default, skip_serializing_if = "is_off")]
    publish_presence: bool,
    #[serde(default, skip_serializing_if = "FileCalls::is_usual")]
    calls: FileCalls,
    #[serde(flatten)]
    rest: toml::Table,
}

/// A further login; its password is elsewhere.
#[derive(Debug, Deserialize, Serialize)]
struct FileLogin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    user: Identity,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Theme {
    #[default]
    System,
    Dark,
    Light,
    #[serde(rename = "high-contrast")]
    HighContrast,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Srtp {
    #[default]
    Off,
    Optional,
    #[serde(rename = "optional-two-lines")]
    OptionalTwoLines,
    Required,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum SrtpKeys {
    #[default]
    Sdes,
    Dtls,
}

impl SrtpKeys {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Dtmf {
    #[default]
    Rfc4733,
    Info,
    Inband,
    Auto,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Login {
    #[default]
    Password,
    Token,
}

impl Login {
    fn is_password(&self) -> bool {
        matches!(self, Self::Password)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Watch {
    #[default]
    Calls,
    Presence,
    Both,
}

impl Watch {
    fn is_calls(&self) -> bool {
        matches!(self, Self::Calls)
    }
}

impl Default for Window {
    fn default() -> Self {
        Self {
            theme: Theme::System,
            text_scale: normal_text(),
            rest: toml::Table::new(),
        }
    }
}

impl File {
    /// Where unknown keys stand: steps from the top, list positions as numbers.
    pub(super) fn unknown_keys(&self) -> Vec<Vec<String>> {
        fn collect(found: &mut Vec<Vec<String>>, at: &[&str], rest: &toml::Table) {
            for key in rest.keys() {
                let mut path: Vec<String> = at.iter().map(|step| (*step).to_owned()).collect();
                path.push(key.clone());
                found.push(path);
            }
        }
        let mut found = Vec::new();
        collect(&mut found, &[], &self.rest);
        collect(&mut found, &["preferences"], &self.preferences.rest);
        collect(&mut found, &["devices"], &self.devices.rest);
        for (t, tenant) in self.tenants.iter().enumerate() {
            let t = t.to_string();
            collect(&mut found, &["tenants", &t], &tenant.rest);
            for (a, account) in tenant.accounts.iter().enumerate() {
                let a = a.to_string();
                let at = ["tenants", &t, "accounts", &a];
                collect(&mut found, &at, &account.rest);
                let calls = ["tenants", &t, "accounts", &a, "calls"];
                collect(&mut found, &calls, &account.calls.rest);
            }
        }
        found
    }

    /// Makes true what the program relies on: ids that are there and unique, a text size that can be
    /// read, volumes within their range. Each repair is said.
    pub(super) fn repair(&mut self, problems: &mut Vec<Problem>) {
        let scale = self.preferences.text_scale;
        if !(0.5..=2.0).contains(&scale) {
            self.preferences.text_scale = if scale.is_nan() {
                1.0
            } else {
                scale.clamp(0.5, 2.0)
            };
            problems.push(Problem::new(
                None,
                format!(
                    "The text size {scale} is not between 0.5 and 2; {} is used.",
                    self.preferences.text_scale
                ),
            ));
        }
        repair_volume(&mut self.devices.speaker_volume, "speaker", problems);
        repair_volume(&mut self.devices.microphone_gain, "microphone", problems);
        let mut tenants = HashSet::new();
        let mut accounts = HashSet::new();
        for tenant in &mut self.tenants {
            repair_id(
                &mut tenant.id,
                &tenant.name,
                "tenant",
                &mut tenants,
                problems,
            );
            if tenant.name.trim().is_empty() {
                tenant.name.clone_from(&tenant.id);
            }
            for account in &mut tenant.accounts {
                let words = super::account_words(account.aor.reveal());
                repair_id(&mut account.id, words, "account", &mut accounts, problems);
            }
        }
    }
}

fn repair_volume(percent: &mut Option<i64>, whose: &str, problems: &mut Vec<Problem>) {
    let Some(said) = *percent else {
        return;
    };
    if let Err(fault) = Volume::try_from(said) {
        let nearest = Volume::nearest(said).percent();
        *percent = Some(i64::from(nearest));
        problems.push(Problem::new(
            None,
            format!("The {whose} cannot be as loud as that: {fault}; {nearest} is used."),
        ));
    }
}

fn repair_id(
    id: &mut String,
    words: &str,
    kind: &str,
    taken: &mut HashSet<String>,
    problems: &mut Vec<Problem>,
) {
    if id.is_empty() || taken.contains(id.as_str()) {
        let fresh = fresh_id(words, kind, |candidate| taken.contains(candidate));
        let fault = if id.is_empty() {
            "has no id".to_owned()
        } else {
            format!("has the id \u{201c}{id}\u{201d} of another one")
        };
        problems.push(Problem::new(
            None,
            format!("The {kind} \u{201c}{words}\u{201d} {fault}; it is called \u{201c}{fresh}\u{201d} now."),
        ));
        *id = fresh;
    }
    taken.insert(id.clone());
}

/// The line of the key at the end of `path`, counted from 1.
pub(super) fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (last, way) = path.split_last()?;
    let mut table = document.get_ref();
    let mut steps = way.iter();
    while let Some(step) = steps.next() {
        let value = table.iter().find(|(key, _)| key.get_ref() == step)?.1;
        table = match value.get_ref() {
            DeValue::Table(inner) => inner,
            DeValue::Array(list) => match list.get(steps.next()?.parse::<usize>().ok()?)?.get_ref()
            {
                DeValue::Table(inner) => inner,
                _ => return None,
            },
            _ => return None,
        };
    }
    let key = table.iter().find(|(key, _)| key.get_ref() == last)?.0;
    Some(super::line_at(text, key.span().start))
}

impl From<File> for Settings {
    fn from(file: File) -> Self {
        Self {
            tenants: file.tenants.into_iter().map(Tenant::from).collect(),
            devices: DeviceChoices {
                capture: file.devices.capture.map(DeviceId::new),
                playout: file.devices.playout.map(DeviceId::new),
                ringer: file.devices.ringer.map(DeviceId::new),
                speaker_volume: file.devices.speaker_volume.map(Volume::nearest),
                microphone_gain: file.devices.microphone_gain.map(Volume::nearest),
                tones: file.devices.tones,
            },
            preferences: Preferences {
                theme: match file.preferences.theme {
                    Theme::System => model::ThemeChoice::System,
                    Theme::Dark => model::ThemeChoice::Dark,
                    Theme::Light => model::ThemeChoice::Light,
                    Theme::HighContrast => model::ThemeChoice::HighContrast,
                },
                text_scale: file.preferences.text_scale,
            },
            unknown: Unknown {
                top: file.rest,
                devices: file.devices.rest,
                preferences: file.preferences.rest,
            },
        }
    }
}

impl From<&Settings> for File {
    fn from(settings: &Settings) -> Self {
        Self {
            version: super::CURRENT,
            preferences: Window {
                theme: match settings.preferences.theme {
                    model::ThemeChoice::System => Theme::System,
                    model::ThemeChoice::Dark => Theme::Dark,
                    model::ThemeChoice::Light => Theme::Light,
                    model::ThemeChoice::HighContrast => Theme::HighContrast,
                },
                text_scale: settings.preferences.text_scale,
                rest: settings.unknown.preferences.clone(),
            },
            devices: Devices {
                capture: settings.devices.capture.as_ref().map(ToString::to_string),
                playout: settings.devices.playout.as_ref().map(ToString::to_string),
                ringer: settings.devices.ringer.as_ref().map(ToString::to_string),
                speaker_volume: settings.devices.speaker_volume.map(percent),
                microphone_gain: settings.devices.microphone_gain.map(percent),
                tones: settings.devices.tones.clone(),
                rest: settings.unknown.devices.clone(),
            },
            tenants: settings.tenants.iter().map(FileTenant::from).collect(),
            rest: settings.unknown.top.clone(),
        }
    }
}

impl From<FileTenant> for Tenant {
    fn from(tenant: FileTenant) -> Self {
        Self {
            id: TenantId::new(tenant.id),
            name: tenant.name,
            colour: tenant.colour,
            dns_servers: tenant.dns_servers,
            bind: tenant.bind,
            trusted: tenant
                .trusted_certificates
                .into_iter()
                .map(|(host, fingerprint)| TrustedCertificate { host, fingerprint })
                .collect(),
            hosts: tenant.hosts,
            accounts: tenant.accounts.into_iter().map(Account::from).collect(),
            unknown: tenant.rest,
        }
    }
}

impl From<&Tenant> for FileTenant {
    fn from(tenant: &Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name.clone(),
            colour: tenant.colour,
            dns_servers: tenant.dns_servers.clone(),
            bind: tenant.bind.clone(),
            trusted_certificates: tenant
                .trusted
                .iter()
                .map(|trusted| (trusted.host.clone(), trusted.fingerprint.clone()))
                .collect(),
            hosts: tenant.hosts.clone(),
            accounts: tenant.accounts.iter().map(FileAccount::from).collect(),
            rest: tenant.unknown.clone(),
        }
    }
}

impl From<FileAccount> for Account {
    fn from(file: FileAccount) -> Self {
        let mut unknown = file.rest;
        if !file.calls.rest.is_empty() {
            let rest = toml::Value::Table(file.calls.rest.clone());
            unknown.insert("calls".to_owned(), rest);
        }
        Self {
            id: AccountId::new(file.id),
            settings: AccountSettings {
                label: file.label,
                aor: file.aor,
                display_name: file.display_name,
                auth_user: file.auth_user,
                registrar: file.registrar,
                proxy: file.proxy,
                transport: file.transport.map(|transport| match transport {
                    Transport::Udp => model::Transport::Udp,
                    Transport::Tcp => model::Transport::Tcp,
                    Transport::Tls => model::Transport::Tls,
                    Transport::Ws => model::Transport::Ws,
                    Transport::Wss => model::Transport::Wss,
                }),
                tls_ca: file.tls_ca,
                tls_cert: file.tls_cert,
                tls_key: file.tls_key,
                tls_trust: file.tls_trust,
                ws_path: file.ws_path,
                bind: file.bind,
                register: file.register,
                expires_s: file.expires_s,
                srtp: match file.srtp {
                    Srtp::Off => model::SrtpPolicy::Off,
                    Srtp::Optional => model::SrtpPolicy::Optional,
                    Srtp::OptionalTwoLines => model::SrtpPolicy::OptionalTwoLines,
                    Srtp::Required => model::SrtpPolicy::Required,
                },
                srtp_keys: match file.srtp_keys {
                    SrtpKeys::Sdes => model::SrtpKeys::Sdes,
                    SrtpKeys::Dtls => model::SrtpKeys::Dtls,
                },
                codecs: file.codecs,
                dtmf: match file.dtmf {
                    Dtmf::Rfc4733 => model::DtmfMode::Rfc4733,
                    Dtmf::Info => model::DtmfMode::Info,
                    Dtmf::Inband => model::DtmfMode::Inband,
                    Dtmf::Auto => model::DtmfMode::Auto,
                },
                headers: file.headers,
                login: match file.login {
                    Login::Password => model::LoginKind::Password,
                    Login::Token => model::LoginKind::Token,
                },
                logins: file
                    .logins
                    .into_iter()
                    .map(|login| model::Login {
                        realm: login.realm,
                        server: login.server,
                        user: login.user,
                    })
                    .collect(),
                guest_login: file.guest_login,
                login_wait_s: file.login_wait_s,
                more_proxies: file.more_proxies,
                flows: file.flows,
                strong_login: file.strong_login,
                inside: file.inside,
                inside_name: file.inside_name,
                gruu: file.gruu,
                public_address: file.public_address,
                header_rules: file.header_rules,
                stun: file.stun,
                turn: file.turn,
                turn_user: file.turn_user,
                ice: file.ice,
                voice: model::VoicePolicy {
                    echo_cancellation: file.echo_cancellation,
                    noise_suppression: file.noise_suppression,
                    gain_control: file.gain_control,
                    high_pass: file.high_pass,
                },
                recording_tone_s: file.recording_tone_s,
                recording_opus: file.recording_opus,
                hold_music: file.hold_music,
                silence_suppression: file.silence_suppression,
                send_twice: file.send_twice,
                bandwidth_kbit: file.bandwidth_kbit,
                quality_report: file.quality_report,
                mwi: file.mwi,
                reg_event: file.reg_event,
                watched: file.watched,
                watch: match file.watch {
                    Watch::Calls => model::WatchKind::Calls,
                    Watch::Presence => model::WatchKind::Presence,
                    Watch::Both => model::WatchKind::Both,
                },
                publish_presence: file.publish_presence,
                calls: file.calls.into(),
            },
            unknown,
        }
    }
}

impl From<&Account> for FileAccount {
    fn from(account: &Account) -> Self {
        let settings = account.settings.clone();
        let mut rest = account.unknown.clone();
        let mut calls = FileCalls::from(settings.calls);
        if let Some(toml::Value::Table(unknown)) = rest.remove("calls") {
            calls.rest = unknown;
        }
        Self {
            id: account.id.as_str().to_owned(),
            label: settings.label,
            aor: settings.aor,
            display_name: settings.display_name,
            auth_user: settings.auth_user,
            registrar: settings.registrar,
            proxy: settings.proxy,
            transport: settings.transport.map(|transport| match transport {
                model::Transport::Udp => Transport::Udp,
                model::Transport::Tcp => Transport::Tcp,
                model::Transport::Tls => Transport::Tls,
                model::Transport::Ws => Transport::Ws,
                model::Transport::Wss => Transport::Wss,
            }),
            tls_ca: settings.tls_ca,
            tls_cert: settings.tls_cert,
            tls_key: settings.tls_key,
            tls_trust: settings.tls_trust,
            ws_path: settings.ws_path,
            bind: settings.bind,
            register: settings.register,
            expires_s: settings.expires_s,
            srtp: match settings.srtp {
                model::SrtpPolicy::Off => Srtp::Off,
                model::SrtpPolicy::Optional => Srtp::Optional,
                model::SrtpPolicy::OptionalTwoLines => Srtp::OptionalTwoLines,
                model::SrtpPolicy::Required => Srtp::Required,
            },
            srtp_keys: match settings.srtp_keys {
                model::SrtpKeys::Sdes => SrtpKeys::Sdes,
                model::SrtpKeys::Dtls => SrtpKeys::Dtls,
            },
            codecs: settings.codecs,
            dtmf: match settings.dtmf {
                model::DtmfMode::Rfc4733 => Dtmf::Rfc4733,
                model::DtmfMode::Info => Dtmf::Info,
                model::DtmfMode::Inband => Dtmf::Inband,
                model::DtmfMode::Auto => Dtmf::Auto,
            },
            headers: settings.headers,
            login: match settings.login {
                model::LoginKind::Password => Login::Password,
                model::LoginKind::Token => Login::Token,
            },
            logins: settings
                .logins
                .into_iter()
                .map(|login| FileLogin {
                    realm: login.realm,
                    server: login.server,
                    user: login.user,
                })
                .collect(),
            guest_login: settings.guest_login,
            login_wait_s: settings.login_wait_s,
            more_proxies: settings.more_proxies,
            flows: settings.flows,
            strong_login: settings.strong_login,
            inside: settings.inside,
            inside_name: settings.inside_name,
            gruu: settings.gruu,
            public_address: settings.public_address,
            header_rules: settings.header_rules,
            stun: settings.stun,
            turn: settings.turn,
            turn_user: settings.turn_user,
            ice: settings.ice,
            echo_cancellation: settings.voice.echo_cancellation,
            noise_suppression: settings.voice.noise_suppression,
            gain_control: settings.voice.gain_control,
            high_pass: settings.voice.high_pass,
            recording_tone_s: settings.recording_tone_s,
            recording_opus: settings.recording_opus,
            hold_music: settings.hold_music.clone(),
            silence_suppression: settings.silence_suppression,
            send_twice: settings.send_twice,
            bandwidth_kbit: settings.bandwidth_kbit,
            quality_report: settings.quality_report,
            mwi: settings.mwi,
            reg_event: settings.reg_event,
            watched: settings.watched,
            watch: match settings.watch {
                model::WatchKind::Calls => Watch::Calls,
                model::WatchKind::Presence => Watch::Presence,
                model::WatchKind::Both => Watch::Both,
            },
            publish_presence: settings.publish_presence,
            calls,
            rest,
        }
    }
}

fn current() -> i64 {
    super::CURRENT
}

fn percent(volume: Volume) -> i64 {
    volume.percent().into()
}

fn normal_text() -> f32 {
    1.0
}

fn yes() -> bool {
    true
}

fn one() -> u8 {
    1
}

// What stands at its default is not written; serde asks by reference.
fn is_one(number: &u8) -> bool {
    *number == 1
}

fn is_on(switch: &bool) -> bool {
    *switch
}

fn is_off(switch: &bool) -> bool {
    !*switch
}

fn one_minute() -> u16 {
    60
}

fn is_one_minute(seconds: &u16) -> bool {
    *seconds == one_minute()
}

fn ten_minutes() -> u32 {
    600
}

fn all_codecs() -> Vec<String> {
    ["opus", "g722", "pcmu", "pcma"].map(str::to_owned).to_vec()
}

/// The key whose value stands at this place, with the tables it is in: `tenants.accounts.expires_s`.
pub(super) fn key_at(text: &str, place: usize) -> Option<String> {
    fn within(table: &DeTable<'_>, place: usize, path: &mut Vec<String>) {
        for (key, value) in table {
            // A table's own place is its heading, and what is in it stands below that.
            let mut below = path.clone();
            below.push(key.get_ref().to_string());
            let before = below.len();
            in_value(value.get_ref(), place, &mut below);
            let is_here = value.span().contains(&place) || key.span().contains(&place);
            if below.len() > before || is_here {
                *path = below;
                return;
            }
        }
    }
    fn in_value(value: &DeValue<'_>, place: usize, path: &mut Vec<String>) {
        match value {
            DeValue::Table(inner) => within(inner, place, path),
            DeValue::Array(list) => {
                let known = path.len();
                for item in list {
                    in_value(item.get_ref(), place, path);
                    if path.len() > known {
                        return;
                    }
                }
            }
            _ => {}
        }
    }
    let document = DeTable::parse(text).ok()?;
    let mut path = Vec::new();
    within(document.get_ref(), place, &mut path);
    (!path.is_empty()).then(|| path.join("."))
}
