//! Tenants and accounts, as settings and as the view shows them.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, CallPolicies, Failure, Identity, LampView, Login, OwnPresence, Private, Sentence,
    ServerUri, TenantId, Timestamp, Traffic, TrustedCertificate, WaitingView, WatchKind,
};

/// How SIP travels (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams; the default of `sip:` without a `transport` parameter.
    #[default]
    Udp,
    /// A stream, framed by Content-Length.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// The word that settings, URIs and the command line use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// Whether media is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpPolicy {
    /// Plain RTP only.
    #[default]
    Off,
    /// Encrypted when the peer can: offered in one media line, as most phones understand it.
    Optional,
    /// Encrypted when the peer can: offered as a line with and a line without encryption, as some
    /// gateways want it.
    #[serde(rename = "optional-two-lines")]
    OptionalTwoLines,
    /// No call without encryption.
    Required,
}

/// Where the keys of encrypted media come from when we call. A handshake that a caller offers is taken in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpKeys {
    /// From the session description (SDES, RFC 4568): readable for every server on the way.
    #[default]
    Sdes,
    /// From a handshake on the media's own path (DTLS-SRTP, RFC 5763): readable for nobody. Where encryption is
    /// required nothing else is taken.
    Dtls,
}

/// How digits typed in a call reach the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtmfMode {
    /// Telephone events in the RTP stream (RFC 4733).
    #[default]
    Rfc4733,
    /// INFO requests with `application/dtmf-relay`.
    Info,
    /// Tones in the audio.
    Inband,
    /// Telephone events where the peer takes them, else INFO.
    Auto,
}

/// What the secret of an account is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginKind {
    /// A password, for digest logins.
    #[default]
    Password,
    /// A bearer token (RFC 8898), shown over TLS only to servers that ask for one.
    Token,
}

/// What is done to what the microphone hears before it is sent. Where calls of several accounts are heard at once, what
/// one of them asks for is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoicePolicy {
    /// Whether what the speaker plays is taken out, so that nobody hears an echo of their own words. Never done where
    /// microphone or speaker is a file, another program, or nothing.
    pub echo_cancellation: bool,
    /// Whether steady noise is lowered.
    pub noise_suppression: bool,
    /// Whether quiet speech is made louder.
    pub gain_control: bool,
    /// Whether what is deeper than any voice is cut off.
    pub high_pass: bool,
}

impl Default for VoicePolicy {
    fn default() -> Self {
        Self {
            echo_cancellation: true,
            noise_suppression: true,
            gain_control: true,
            high_pass: true,
        }
    }
}

fn yes() -> bool {
    true
}

fn one_minute() -> u16 {
    60
}

fn one_flow() -> u8 {
    1
}

/// What a person sets for an account. The password is not here: it lives in the secret store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default = "AccountSettings::blank", deny_unknown_fields)]
pub struct AccountSettings {
    /// The account's name in lists; empty means: show the address of record.
    pub label: Private,
    /// Address of record, `sip:user@domain`.
    pub aor: Identity,
    /// Display name that is sent in From.
    pub display_name: Private,
    /// User name for digest when it differs from the user part of the address.
    pub auth_user: Option<Identity>,
    /// Registrar URI; `None` means: the domain of the address of record.
    pub registrar: Option<ServerUri>,
    /// Outbound proxy as a URI, e.g. `sip:proxy.example.com:5061;transport=tls;lr`.
    pub proxy: Option<ServerUri>,
    /// Transport; `None` means: whatever DNS and the URI say.
    pub transport: Option<Transport>,
    /// File of authorities in PEM whose word is taken for a server's certificate, instead of those
    /// that the operating system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<Private>,
    /// File of our own certificate in PEM, for servers that want one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<Private>,
    /// File of its private key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<Private>,
    /// SHA-256 fingerprints of certificates that are trusted whatever is wrong with them, for servers of
    /// this account by any name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_trust: Vec<String>,
    /// What WebSocket servers are asked for; `None` is `/ws`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws_path: Option<String>,
    /// Local address to bind, `IP:PORT`; `None` means: any address and port.
    pub bind: Option<String>,
    /// Whether to register. Off for trunks that know our address.
    pub register: bool,
    /// Registration time asked for, in seconds.
    pub expires_s: u32,
    /// Media encryption.
    pub srtp: SrtpPolicy,
    /// Where its keys come from.
    pub srtp_keys: SrtpKeys,
    /// Codecs in order of preference, by their lower-case names (`opus`, `g722`, `pcmu`,
    /// `pcma`).
    pub codecs: Vec<String>,
    /// How digits are sent.
    pub dtmf: DtmfMode,
    /// Headers added to each outgoing INVITE, `Name: value`.
    pub headers: Vec<Private>,
    /// What the account's secret is: a password or a token.
    pub login: LoginKind,
    /// Whether logins by MD5 are refused: only SHA-256 and SHA-512/256 are answered (RFC 8760).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strong_login: bool,
    /// Further logins, for realms and servers that want another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<Login>,
    /// Whether those who ask for a login that is not there are shown that of a guest, `anonymous` without a password
    /// (RFC 3261 §22.2).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub guest_login: bool,
    /// How long what needs a login that is not there, or was refused, waits for a person to give one, in seconds. 0:
    /// it has failed at once.
    #[serde(default = "one_minute")]
    pub login_wait_s: u16,
    /// Further outbound proxies, by each of which a flow of its own is kept (RFC 5626).
    pub more_proxies: Vec<ServerUri>,
    /// How many flows to keep to the registrar (RFC 5626), at most 4, and at least as many as there
    /// are proxies. 0 registers without flows.
    #[serde(default = "one_flow")]
    pub flows: u8,
    /// Whether to ask for an address that reaches this phone from anywhere (GRUU, RFC 5627), and to
    /// use it in calls.
    pub gruu: bool,
    /// The address at which the world reaches us where that is another than the local one, `IP` or
    /// `IP:PORT`: told in Contact, and the address in session descriptions.
    pub public_address: Option<String>,
    /// Networks that are inside, `192.168.0.0/16` or `2001:db8::/32`: peers there are told the local address, and
    /// those outside `public_address` or what `stun` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<String>,
    /// A name that peers inside are told in place of the local address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside_name: Option<String>,
    /// What is changed in requests before they leave and in answers before they are looked at, a line
    /// each: `out INVITE add X-Room: 42`, `out * set User-Agent: Desk 7`, `out * compact`,
    /// `in * remove Server`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header_rules: Vec<Private>,
    /// The STUN server, `HOST`, `HOST:PORT` or with `stun:` before it (RFC 7064), that is asked for each call where the
    /// world sees its media (RFC 8489); that address stands in session descriptions then. Without a port its SRV records
    /// say where it is. Not asked where `public_address` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stun: Option<ServerUri>,
    /// The relay that carries media where nothing else leads to the peer (TURN, RFC 8656), as RFC 7065 writes it:
    /// `turn:HOST`, `turn:HOST:PORT?transport=tcp`, `turns:HOST`. Without a port the records of its domain say where it is
    /// and by which ways (RFC 5928). Without `ice` everything goes through it. Not used where `public_address` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<ServerUri>,
    /// The user there, with a password of its own; without, the account's login is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_user: Option<Identity>,
    /// Whether ways to the peer are tried until one works (ICE, RFC 8445), where the peer does so, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ice: bool,
    /// What is done to what the microphone hears.
    pub voice: VoicePolicy,
    /// Whether both hear a tone when a recording of the call begins, and again each time so many seconds have passed; 0
    /// is only when it begins. `None` is no tone: whoever records knows then what the law wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_tone_s: Option<u32>,
    /// Whether recordings whose file nobody names are Ogg Opus (RFC 7845), a fifth to a twentieth as long as WAV.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recording_opus: bool,
    /// The WAV file that is played to who is on hold, from its beginning and again and again. `None` is silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_music: Option<String>,
    /// Whether nothing is sent while nothing is said: with Opus by its own means, with the others where the peer takes
    /// comfort noise in its place (RFC 3389). Off, for it spares a network and never sounds better.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub silence_suppression: bool,
    /// Whether every media packet is sent twice, for networks that lose much and have room for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub send_twice: bool,
    /// What peers are asked to send at most, in kbit/s with all headers. `None` asks for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_kbit: Option<u32>,
    /// Who is told at the end of each call how it sounded (RFC 6035): the address of a collector, `sip:quality@HOST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_report: Option<Identity>,
    /// Whether waiting messages are shown (RFC 3842): asked for by accounts that register, and taken
    /// from any server of the account that tells by itself.
    #[serde(default = "yes")]
    pub mwi: bool,
    /// Whether the registrar is asked to tell what becomes of our registration and of those of others under our address
    /// (RFC 3680).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reg_event: bool,
    /// Whom to watch: numbers, names or addresses, written like the target of a call.
    pub watched: Vec<Identity>,
    /// What to ask about them.
    pub watch: WatchKind,
    /// Whether our own presence is published (RFC 3903).
    pub publish_presence: bool,
    /// What it does with calls by itself.
    pub calls: CallPolicies,
}

impl AccountSettings {
    /// What stands for whatever is not said of an account.
    fn blank() -> Self {
        Self::new(Identity::default())
    }

    /// Settings of a new account with everything but the address at its default.
    pub fn new(aor: impl Into<Identity>) -> Self {
        Self {
            aor: aor.into(),
            register: true,
            expires_s: 600,
            codecs: ["opus", "g722", "pcmu", "pcma"].map(str::to_owned).to_vec(),
            flows: 1,
            login_wait_s: one_minute(),
            mwi: true,
            ..Self::default()
        }
    }
}

/// What a registration is doing, in the four words a person needs and the phases between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// Not asked for.
    #[default]
    Off,
    /// A REGISTER is on its way.
    Trying,
    /// The registrar holds our binding.
    Registered,
    /// The registrar said no for good; a person must act.
    Refused,
    /// Nobody answers, or the way there is closed; tried again at `retry_at`.
    Silent,
    /// Signing out.
    Leaving,
    /// The account's own machinery failed too often and rests until a person retries.
    Degraded,
}

/// A tenant as the view shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantView {
    /// Which tenant.
    pub id: TenantId,
    /// Its name, as a person gave it.
    pub name: String,
    /// Index into the theme's tenant colours.
    pub colour: u8,
    /// Set while its machinery rests after repeated failures.
    pub degraded: bool,
    /// The local address of accounts that name none of their own: `IP`, `IP:PORT`, or the name of a
    /// network interface.
    #[serde(default)]
    pub bind: Option<String>,
    /// What went by at its sockets without reaching anybody.
    #[serde(default)]
    pub traffic: Traffic,
    /// Certificates that a person trusts beside those that the roots vouch for.
    #[serde(default)]
    pub trusted: Vec<TrustedCertificate>,
}

/// An account as the view shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountView {
    /// Which account.
    pub id: AccountId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its settings.
    pub settings: AccountSettings,
    /// What its registration does.
    pub state: RegistrationState,
    /// Since when it has been in this state.
    pub since: Timestamp,
    /// When the granted registration ends, if registered.
    pub expires_at: Option<Timestamp>,
    /// When the next try is due, if waiting.
    pub retry_at: Option<Timestamp>,
    /// The server that answers, `udp:192.0.2.1:5060`.
    pub target: Option<String>,
    /// How the registrar sees us (`received`/`rport`), when it told.
    pub mapped: Option<String>,
    /// Round trip of the last REGISTER in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// Why it is refused, silent or degraded.
    pub failure: Option<Failure>,
    /// The servers behind its registrar or proxy, in the order in which the domain wants them tried;
    /// empty before they were looked for.
    #[serde(default)]
    pub targets: Vec<TargetView>,
    /// How long the registrar granted last, in seconds.
    #[serde(default)]
    pub granted_s: Option<u32>,
    /// Whether its socket is open, so that it can be called where it is known.
    #[serde(default)]
    pub listening: bool,
    /// When it came to be watched: since then `up_ms` is counted.
    #[serde(default)]
    pub watched_since: Timestamp,
    /// How long it was registered before the present state, in milliseconds.
    #[serde(default)]
    pub up_ms: u64,
    /// Round trips of the newest REGISTERs in milliseconds, oldest first.
    #[serde(default)]
    pub round_trips_ms: Vec<f32>,
    /// What happened to the registration, oldest first; the newest 50.
    #[serde(default)]
    pub marks: Vec<RegistrationMark>,
    /// The flows to the registrar; one for an account that keeps none.
    #[serde(default)]
    pub flows: Vec<FlowView>,
    /// Whether the registrar keeps to the flows (RFC 5626 §6).
    #[serde(default)]
    pub outbound: bool,
    /// The lasting address of this phone, when the registrar gave one (RFC 5627).
    #[serde(default)]
    pub public_gruu: Option<Identity>,
    /// The address of this phone that does not tell whose it is.
    #[serde(default)]
    pub temporary_gruu: Option<Identity>,
    /// Everything that is registered under this address, as the registrar listed it last.
    #[serde(default)]
    pub bindings: Vec<BindingView>,
    /// Waiting messages, once they were told.
    #[serde(default)]
    pub waiting: Option<WaitingView>,
    /// Why waiting messages are not known though they were asked for.
    #[serde(default)]
    pub waiting_sentence: Option<Sentence>,
    /// The watched addresses, in the order of the settings.
    #[serde(default)]
    pub lamps: Vec<LampView>,
    /// Our own presence, where it is published.
    #[serde(default)]
    pub presence: Option<OwnPresence>,
}

/// Something that happened to a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationMark {
    /// When.
    pub time: Timestamp,
    /// What the registration was from then on.
    pub state: RegistrationState,
    /// Why, in a sentence, where there is more to say than the state.
    pub text: Option<Sentence>,
}

/// One flow to the registrar (RFC 5626).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowView {
    /// Its number, counted from 1.
    pub reg_id: u32,
    /// The proxy that it leads to, where one is set.
    pub proxy: Option<ServerUri>,
    /// What it does.
    pub state: RegistrationState,
    /// Since when.
    pub since: Timestamp,
    /// The server at its other end, `udp:192.0.2.1:5060`.
    pub target: Option<String>,
    /// When the granted registration ends.
    pub expires_at: Option<Timestamp>,
    /// When the next try is due, if waiting.
    pub retry_at: Option<Timestamp>,
    /// How often the server wants to hear of us at least, in seconds (RFC 5626 §5.4).
    pub flow_timer_s: Option<u32>,
    /// Why it does not stand.
    pub failure: Option<Failure>,
}

/// One binding at the registrar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingView {
    /// Its URI, as the registrar lists it.
    pub uri: Identity,
    /// Whether it is ours.
    pub own: bool,
    /// When it ends, when the registrar said so.
    pub expires_at: Option<Timestamp>,
}

/// What is known of one server of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// Transport and address, `udp:192.0.2.1:5060`.
    pub address: String,
    /// The name whose address this is.
    pub host: String,
    /// SRV priority, lower is better.
    pub priority: u16,
    /// SRV weight.
    pub weight: u16,
    /// Whether it is used, works, or rests.
    pub state: TargetState,
    /// Since when; absent when it was never tried.
    pub since: Option<Timestamp>,
    /// The end of its rest, if it rests.
    pub until: Option<Timestamp>,
    /// Why it failed last, unless it worked since.
    pub reason: Option<Sentence>,
}

/// What is known of a server now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Nothing that still counts.
    #[default]
    Untried,
    /// It holds the registration.
    InUse,
    /// It answered when it was asked last.
    Working,
    /// It failed and is left alone for a while.
    Resting,
}

impl AccountView {
    /// An account of which nothing is known yet.
    pub fn new(id: AccountId, tenant: TenantId, settings: AccountSettings, now: Timestamp) -> Self {
        Self {
            id,
            tenant,
            settings,
            state: RegistrationState::Off,
            since: now,
            expires_at: None,
            retry_at: None,
            target: None,
            mapped: None,
            round_trip_ms: None,
            failure: None,
            targets: Vec::new(),
            granted_s: None,
            listening: false,
            watched_since: now,
            up_ms: 0,
            round_trips_ms: Vec::new(),
            marks: Vec::new(),
            flows: Vec::new(),
            outbound: false,
            public_gruu: None,
            temporary_gruu: None,
            bindings: Vec::new(),
            waiting: None,
            waiting_sentence: None,
            lamps: Vec::new(),
            presence: None,
        }
    }

    /// What to call the account in a list: its label, or the address without the scheme.
    pub fn title(&self) -> &str {
        if self.settings.label.is_empty() {
            let aor = self.settings.aor.reveal();
            aor.strip_prefix("sip:")
                .or_else(|| aor.strip_prefix("sips:"))
                .unwrap_or(aor)
        } else {
            self.settings.label.reveal()
        }
    }
}
