//! The words on the command line. Users script them: a change here is a breaking change.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::MediaDirection;

/// A softphone for many SIP accounts. Without a subcommand the window opens.
#[derive(Debug, Parser)]
#[command(name = "tipring", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten, next_help_heading = "For every command")]
    pub(crate) common: Common,
    /// A sip: or tel: link, put into the window's number field; nothing is called before you say so
    #[arg(value_name = "LINK", value_parser = crate::front::link)]
    pub(crate) link: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What every subcommand takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Folder of settings, history and traces (default: the platform's)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object per event on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write what becomes of calls to this file, a JSON object a line that names nobody; `-` prints them
    /// in place of the usual lines
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Print SIP messages as events too (identities and credentials masked)
    #[arg(long, global = true)]
    pub(crate) sip: bool,
    /// Log more (twice: everything); logs go to stderr
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Write callers, numbers and addresses into the logs as they are, not as ****5910@example.com
    #[arg(long, global = true)]
    pub(crate) log_identities: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Open the window on the built-in switchboard, or run its calls here when there is no display
    Demo,
    /// Run without a window, with JSON-RPC on a private socket
    Headless(HeadlessArgs),
    /// Send one JSON-RPC call to a running tipring
    Ctl(CtlArgs),
    /// Register, print every state, and un-register on the way out
    Register(RegisterArgs),
    /// Call somebody
    Call(CallArgs),
    /// Wait for calls and answer them
    Answer(AnswerArgs),
    /// Send one text message and print what became of it
    Message(MessageArgs),
    /// Send one request of any method that begins no call, and print the answer
    Send(SendArgs),
    /// Send one OPTIONS and print the reply and the round trip
    Options(OptionsArgs),
    /// Look into SIP messages
    Sip(SipArgs),
    /// Look into the flight recorder
    Trace(TraceArgs),
    /// Run a registrar and proxy with test numbers
    Switchboard(SwitchboardArgs),
}

/// Which account, by name or given in place.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AccountArgs {
    /// An account from the settings, by its label, address or id
    #[arg(long, value_name = "NAME", conflicts_with = "aor")]
    pub(crate) account: Option<String>,
    /// Address of record, e.g. sip:alice@example.com
    #[arg(long, value_name = "URI")]
    pub(crate) aor: Option<String>,
    /// Environment variable that holds the password
    #[arg(long, value_name = "VAR")]
    pub(crate) password_env: Option<String>,
    /// User name for the login, when it differs from the address
    #[arg(long, value_name = "NAME")]
    pub(crate) auth_user: Option<String>,
    /// Registrar (default: the domain of the address)
    #[arg(long, value_name = "URI")]
    pub(crate) registrar: Option<String>,
    /// Outbound proxy, e.g. 'sip:host:port;transport=tcp;lr'
    #[arg(long, value_name = "URI")]
    pub(crate) proxy: Option<String>,
    /// Transport (default: what the address and DNS say)
    #[arg(long, value_name = "KIND")]
    pub(crate) transport: Option<TransportWord>,
    /// Local address and port
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) bind: Option<String>,
    /// Do not register
    #[arg(long)]
    pub(crate) no_register: bool,
    /// Media encryption
    #[arg(long, value_name = "POLICY")]
    pub(crate) srtp: Option<SrtpWord>,
    /// Where the keys for it come from
    #[arg(long, value_name = "KIND", requires = "srtp")]
    pub(crate) srtp_keys: Option<SrtpKeysWord>,
    /// Call without telling who it is
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Codecs in order, e.g. opus,g722,pcmu,pcma
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) codecs: Vec<String>,
    /// How digits are sent
    #[arg(long, value_name = "MODE")]
    pub(crate) dtmf: Option<DtmfWord>,
    /// CA certificate for TLS
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Client certificate for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Environment variable that holds the passphrase of that key
    #[arg(long, value_name = "VAR", requires = "tls_key")]
    pub(crate) tls_key_password_env: Option<String>,
    /// Trust this certificate whatever is wrong with it: its SHA-256 (may be repeated)
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) tls_trust: Vec<String>,
    /// What WebSocket servers are asked for (default: /ws)
    #[arg(long, value_name = "PATH")]
    pub(crate) ws_path: Option<String>,
    /// A header for outgoing calls, or for what `send` sends, e.g. 'X-Room: 42' (may be repeated)
    #[arg(long, value_name = "LINE")]
    pub(crate) header: Vec<String>,
    /// Change a header on its way, e.g. 'out INVITE add X-Room: 42', 'out * set User-Agent: Desk 7',
    /// 'out * remove X-Old', 'in * remove Server', or 'out * compact' (may be repeated)
    #[arg(long, value_name = "RULE")]
    pub(crate) header_rule: Vec<String>,
    /// Write header names in their compact forms, like --header-rule 'out * compact'
    #[arg(long)]
    pub(crate) compact_headers: bool,
    /// A further outbound proxy, to which a flow of its own is kept (may be repeated)
    #[arg(long, value_name = "URI")]
    pub(crate) also_proxy: Vec<String>,
    /// Keep so many flows to the registrar (RFC 5626); 0 registers without flows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=4))]
    pub(crate) flows: Option<u8>,
    /// Ask for an address that reaches this phone from anywhere (GRUU)
    #[arg(long)]
    pub(crate) gruu: bool,
    /// The address at which the world reaches us, where it is not the local one
    #[arg(long, value_name = "IP[:PORT]")]
    pub(crate) public_address: Option<String>,
    /// A network that is inside, e.g. 192.168.0.0/16: peers there are told the local address (may be repeated)
    #[arg(long, value_name = "NETWORK")]
    pub(crate) inside: Vec<String>,
    /// A name for peers inside in place of the local address
    #[arg(long, value_name = "NAME", requires = "inside")]
    pub(crate) inside_name: Option<String>,
    /// STUN server that tells where the world sees our media
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) stun: Option<String>,
    /// Relay for media that finds no other way, e.g. turn:turn.example.com?transport=tcp or turns:turn.example.com
    #[arg(long, value_name = "URI")]
    pub(crate) turn: Option<String>,
    /// The user at the relay (default: the account's login)
    #[arg(long, value_name = "NAME", requires = "turn_password_env")]
    pub(crate) turn_user: Option<String>,
    /// Environment variable that holds its password
    #[arg(long, value_name = "VAR", requires = "turn_user")]
    pub(crate) turn_password_env: Option<String>,
    /// Try all ways to the peer for media (ICE)
    #[arg(long)]
    pub(crate) ice: bool,
    /// Answer no login by MD5, only SHA-256 and SHA-512/256 (RFC 8760)
    #[arg(long, conflicts_with = "token")]
    pub(crate) no_md5: bool,
    /// What is done to what the microphone hears, e.g. echo,noise (default: all of it)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) voice: Vec<VoiceWord>,
    /// Let both hear a tone when a recording begins, and each time so many seconds have passed; 0 is only at the start
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) recording_tone: Option<u32>,
    /// Record as Ogg Opus where no file is named
    #[arg(long)]
    pub(crate) recording_opus: bool,
    /// Play this to whom we hold, again and again (default: silence)
    #[arg(long, value_name = "FILE.wav")]
    pub(crate) hold_music: Option<PathBuf>,
    /// Send no sound while nothing is said
    #[arg(long)]
    pub(crate) silence_suppression: bool,
    /// Send every media packet twice, for bad networks
    #[arg(long)]
    pub(crate) send_twice: bool,
    /// Ask peers to send at most so much, in kbit/s with all headers
    #[arg(long, value_name = "KBIT", value_parser = clap::value_parser!(u32).range(8..=100_000))]
    pub(crate) bandwidth: Option<u32>,
    /// Tell a collector at the end of each call how it sounded (RFC 6035)
    #[arg(long, value_name = "URI")]
    pub(crate) quality_report: Option<String>,
    /// The password is a bearer token (RFC 8898)
    #[arg(long)]
    pub(crate) token: bool,
    /// Let others join calls that are going on
    #[arg(long, value_name = "WHOM")]
    pub(crate) joins: Option<JoinsWord>,
    /// A further login, e.g. realm=pbx.example,user=alice,env=PBX_PASSWORD; server=HOST in place of
    /// or beside the realm (may be repeated)
    #[arg(long, value_name = "PARTS")]
    pub(crate) login: Vec<String>,
    /// Show those who ask for another login that of a guest: anonymous, without a password
    #[arg(long)]
    pub(crate) guest_login: bool,
    /// What needs a login that is not there waits so long for one: from `ctl answer_login`, or typed at the terminal
    /// (default: two minutes at a terminal, else it fails)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) login_wait: Option<Duration>,
    /// Ask for waiting messages
    #[arg(long)]
    pub(crate) mwi: bool,
    /// Have the registrar tell what becomes of the registration (RFC 3680)
    #[arg(long)]
    pub(crate) reg_event: bool,
    /// Watch somebody's calls and presence (may be repeated)
    #[arg(long, value_name = "WHOM")]
    pub(crate) watch: Vec<String>,
    /// Publish our own presence
    #[arg(long)]
    pub(crate) publish_presence: bool,
    /// A host name with its address for this run, e.g. pbx.test=192.0.2.1 (may be repeated)
    #[arg(long, value_name = "NAME=IP")]
    pub(crate) host: Vec<String>,
    /// A name server to ask in place of the system's, IP or IP:PORT (may be repeated)
    #[arg(long, value_name = "IP[:PORT]")]
    pub(crate) dns: Vec<String>,
}

/// `--voice`: one thing that is done to what the microphone hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VoiceWord {
    /// What the speaker plays is taken out
    Echo,
    /// Steady noise is lowered
    Noise,
    /// Quiet speech is made louder
    Gain,
    /// What is deeper than any voice is cut off
    HighPass,
    /// Nothing
    Off,
}

/// `--transport`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportWord {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// `--direction`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectionWord {
    Sendrecv,
    Sendonly,
    Recvonly,
    Inactive,
}

impl From<DirectionWord> for MediaDirection {
    fn from(word: DirectionWord) -> Self {
        match word {
            DirectionWord::Sendrecv => Self::Both,
            DirectionWord::Sendonly => Self::SendOnly,
            DirectionWord::Recvonly => Self::ReceiveOnly,
            DirectionWord::Inactive => Self::Inactive,
        }
    }
}

/// `--srtp`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SrtpWord {
    /// Plain
    Off,
    /// Where the other side can, offered in one media line, as most phones understand it
    Optional,
    /// Where the other side can, offered in a line with and a line without, as some gateways want it
    OptionalTwoLines,
    /// No call without
    Required,
}

/// `--srtp-keys`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SrtpKeysWord {
    /// The session description
    Sdes,
    /// A handshake on the media's own path
    Dtls,
}

/// `--joins`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinsWord {
    Never,
    /// Those whom the account's own server sends
    FromServer,
    /// Whoever can name the call
    Always,
}

/// `--dtmf`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtmfWord {
    /// Telephone events beside the sound
    Rfc4733,
    /// INFO requests
    Info,
    /// Tones in the sound
    Inband,
    /// Telephone events where the other side takes them, else INFO
    Auto,
}

/// Where sound comes from and goes to.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AudioArgs {
    /// `devices`, `null`, or `pipe`: a program speaks by standard input and hears by standard output, 16 bits
    /// little-endian at 48 kHz (default: null when --play or --record is given, devices otherwise)
    #[arg(long, value_name = "KIND")]
    pub(crate) audio: Option<AudioWord>,
    /// Play a WAV file to the peer
    #[arg(long, value_name = "FILE")]
    pub(crate) play: Option<PathBuf>,
    /// Play it again and again
    #[arg(long = "loop", requires = "play")]
    pub(crate) looped: bool,
    /// Record what the peer says, as Ogg Opus where the name ends with .opus and as WAV otherwise; {call} in the name
    /// becomes the call's number
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// The same of both sides, left what is said here and right what the peer says
    #[arg(long, value_name = "FILE")]
    pub(crate) record_both: Option<PathBuf>,
    /// The microphone, by its id, in place of the one of the settings
    #[arg(long, value_name = "ID")]
    pub(crate) microphone: Option<String>,
    /// The speaker
    #[arg(long, value_name = "ID")]
    pub(crate) speaker: Option<String>,
    /// What rings, where that is not the speaker
    #[arg(long, value_name = "ID")]
    pub(crate) ringer: Option<String>,
    /// The country whose tones are heard, e.g. GB (default: that of the locale)
    #[arg(long, value_name = "CODE", value_parser = tones)]
    pub(crate) tones: Option<String>,
    /// Ports for sound, an even one and the next for each stream (default: 16384-32767)
    #[arg(long, value_name = "FIRST-LAST", value_parser = ports)]
    pub(crate) rtp_ports: Option<RangeInclusive<u16>>,
}

/// `--audio`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AudioWord {
    Devices,
    Null,
    Pipe,
}

#[derive(Debug, Args)]
pub(crate) struct HeadlessArgs {
    /// Path of the socket (default: in the settings folder)
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    #[command(flatten, next_help_heading = "Sound")]
    pub(crate) audio: AudioArgs,
    /// Send back what is heard
    #[arg(long)]
    pub(crate) echo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CtlArgs {
    /// Path of the socket (default: in the settings folder)
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// The method: snapshot, events, place_call, answer_call, hold_call …; `methods` lists them all
    pub(crate) method: String,
    /// Its parameters as a JSON object
    pub(crate) params: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    /// Stay registered so long, and give up when that takes longer or 2s (default: until interrupted)
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) stay: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// A number, a name, user@host, or a sip: or tel: URI
    #[arg(value_parser = target)]
    pub(crate) target: String,
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    #[command(flatten, next_help_heading = "Sound")]
    pub(crate) audio: AudioArgs,
    /// Hang up so long after the answer (default: until the peer hangs up, or interrupted)
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) talk: Option<Duration>,
    /// Give up when nobody answers for so long, also when signing in takes that long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ring_for: Option<Duration>,
    /// Which way media is to flow, seen from here
    #[arg(long, value_name = "WAY", default_value = "sendrecv")]
    pub(crate) direction: DirectionWord,
    /// Digits to send once connected: 0-9, *, #, A-D; `,` or `p` waits half a second
    #[arg(long, value_name = "DIGITS", value_parser = digits)]
    pub(crate) dtmf_send: Option<String>,
    /// Send back what is heard
    #[arg(long)]
    pub(crate) echo: bool,
    /// When told that it moved (3xx), call the first address that was given
    #[arg(long)]
    pub(crate) follow: bool,
    /// When the peer wants us to call somebody else instead (a transfer), do so (default: decline)
    #[arg(long)]
    pub(crate) follow_transfers: bool,
    /// Make so many calls
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Start so many calls a second
    #[arg(long, value_name = "R", default_value_t = 10.0, value_parser = rate)]
    pub(crate) rate: f64,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    #[command(flatten, next_help_heading = "Sound")]
    pub(crate) audio: AudioArgs,
    /// Decline with this status instead of answering
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(300..=699))]
    pub(crate) code: Option<u16>,
    /// Let it ring so long first
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pub(crate) after: Duration,
    /// Let callers hear what is sent while it still rings; needs --play, --echo or --audio null
    #[arg(long)]
    pub(crate) announce: bool,
    /// Which way media is to flow, seen from here
    #[arg(long, value_name = "WAY", default_value = "sendrecv")]
    pub(crate) direction: DirectionWord,
    /// End after so many calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
    /// Send back what is heard
    #[arg(long)]
    pub(crate) echo: bool,
    /// Hang up so long after the answer (default: until the peer hangs up)
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) talk: Option<Duration>,
    /// Hang up when what --play names has been played: an announcement
    #[arg(long, requires = "play", conflicts_with_all = ["talk", "looped", "echo"])]
    pub(crate) once: bool,
    /// What the keys of callers do, a line each: `1 call 601`, `2 call bob@example.com`, `9 hang-up`
    #[arg(long, value_name = "FILE")]
    pub(crate) menu: Option<PathBuf>,
    /// When the peer wants us to call somebody else instead (a transfer), do so (default: decline)
    #[arg(long)]
    pub(crate) follow_transfers: bool,
    /// Digits to send once connected: 0-9, *, #, A-D; `,` or `p` waits half a second
    #[arg(long, value_name = "DIGITS", value_parser = digits)]
    pub(crate) dtmf_send: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// A number, a name, user@host, or a sip: or tel: URI
    #[arg(value_parser = target)]
    pub(crate) target: String,
    /// What to say
    pub(crate) text: String,
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    /// Wait so long for the answer (default: 32s)
    #[arg(long = "for", alias = "timeout", value_name = "TIME", value_parser = duration)]
    pub(crate) limit: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The method, known or not: PUBLISH, REFER, X-PING …; upper and lower case differ
    pub(crate) method: String,
    /// A number, a name, user@host, or a sip: URI
    pub(crate) target: String,
    /// Its body; `-` reads standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) body: Option<String>,
    /// What the body is (default: text/plain)
    #[arg(long = "type", value_name = "TYPE", requires = "body")]
    pub(crate) content_type: Option<String>,
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    /// Wait so long for the answer (default: 32s)
    #[arg(long = "for", alias = "timeout", value_name = "TIME", value_parser = duration)]
    pub(crate) limit: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct OptionsArgs {
    /// A number, a name, user@host, or a sip: or tel: URI
    #[arg(value_parser = target)]
    pub(crate) target: String,
    #[command(flatten, next_help_heading = "The account")]
    pub(crate) account: AccountArgs,
    /// Wait so long for the answer (default: 32s)
    #[arg(long = "for", alias = "timeout", value_name = "TIME", value_parser = duration)]
    pub(crate) limit: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct SipArgs {
    #[command(subcommand)]
    pub(crate) verb: SipVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SipVerb {
    /// Print what a message says, a JSON line per file; exit 0 when all are valid, 1 when one is not
    Parse {
        /// Frame each file as on TCP, a line per message
        #[arg(long)]
        stream: bool,
        /// Files; `-` or none is standard input
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(subcommand)]
    pub(crate) verb: TraceVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TraceVerb {
    /// One line per message
    List(TraceSelection),
    /// The messages themselves, with a ladder per call
    Show(TraceSelection),
    /// Write them out
    Export {
        #[command(flatten)]
        selection: TraceSelection,
        /// In this format
        #[arg(long, value_enum, default_value_t = TraceFormat::Text)]
        format: TraceFormat,
        /// Into this file, which must not be there yet (default: standard output)
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Feed what was recorded into calls and registrations once more: the same must come out
    ///
    /// Exits with 1 when something comes out differently. A tape holds no passwords, but it is not
    /// masked: it names people, and it stays in the settings folder unless somebody copies it.
    Replay {
        /// A tape (default: those of the settings folder)
        file: Option<PathBuf>,
        /// Only of this tenant, by name or id
        #[arg(long, value_name = "TENANT", conflicts_with = "file")]
        tenant: Option<String>,
        /// Write the lines of this call or registration, as listed, instead of playing them
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
}

/// Which records.
#[derive(Debug, Args)]
pub(crate) struct TraceSelection {
    /// Only what matches, e.g. 'method:INVITE code:4xx account:alice'; = may stand for :
    #[arg(long, value_name = "EXPR", default_value = "")]
    pub(crate) filter: String,
    /// Only of this tenant, by name or id
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Show identities and addresses as they are; credentials and keys are never stored
    #[arg(long)]
    pub(crate) no_redact: bool,
    /// Only the newest N of them (default: 1000 for `list`, all for the others)
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// All of them
    #[arg(long, conflicts_with = "last")]
    pub(crate) all: bool,
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    Text,
    Json,
    /// For Wireshark and sngrep
    Pcapng,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchboardArgs {
    /// Where to listen, e.g. udp:127.0.0.1:5060, also tcp, tls, ws and wss (may be repeated;
    /// default: UDP and TCP on port 5060)
    #[arg(long, value_name = "TRANSPORT:IP:PORT")]
    pub(crate) listen: Vec<String>,
    /// The certificate for TLS and WSS, as PEM (default: one is made and its fingerprint printed)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Users and their passwords as TOML, a line `alice = "secret"` each under `[users]` (default: everybody may register)
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// Host names and their addresses, one `name ip[:port]` a line
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Option<PathBuf>,
    /// Write every message to this file; at 16 MB it becomes FILE.1, of which there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Realm of the logins
    #[arg(long, value_name = "NAME")]
    pub(crate) realm: Option<String>,
    /// A host whose web pages may come in by WebSocket, besides those of its own addresses (may be repeated)
    #[arg(long, value_name = "HOST")]
    pub(crate) page: Vec<String>,
    /// Ask for logins by MD5 alone, for phones that know nothing else
    #[arg(long)]
    pub(crate) md5: bool,
    /// Print the numbers that it answers itself, and end
    #[arg(long)]
    pub(crate) numbers: bool,
}

/// A country whose tones are known.
fn tones(code: &str) -> Result<String, String> {
    engine::check_tones(code).map(|()| code.to_owned())
}

/// A range of ports with room for a stream.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |port: &str| port.trim().parse::<u16>().ok();
    let ends = text.split_once('-');
    let Some((first, last)) = ends.and_then(|(a, b)| number(a).zip(number(b))) else {
        return Err("expected two ports like 40000-40099, none above 65535".to_owned());
    };
    if first < 1024 {
        return Err("ports below 1024 are those of the system".to_owned());
    }
    // RFC 3550 §11: an even port for sound and the next one for its reports.
    if first
        .checked_next_multiple_of(2)
        .is_none_or(|even| even >= last)
    {
        return Err(format!(
            "{first}-{last} has no even port with the next one after it"
        ));
    }
    Ok(first..=last)
}

/// `250ms`, `10s`, `2m`, `1h`, or a bare number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a time like 250ms, 10s or 2m".to_owned())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => {
            return Err(format!(
                "“{unit}” is no unit of time; there are ms, s, m and h"
            ));
        }
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| "that is too long".to_owned())
}

/// Digits that a telephone can send, and pauses among them.
fn target(text: &str) -> Result<String, String> {
    engine::check_target(text)
        .map(|()| text.to_owned())
        .map_err(model::Sentence::into_revealed)
}

fn digits(text: &str) -> Result<String, String> {
    let known =
        |c: &char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d' | ',' | 'p' | 'P');
    match text.chars().find(|c| !known(c)) {
        Some(c) => Err(format!(
            "“{c}” is no digit; there are 0-9, *, # and A-D, and , or p for a pause"
        )),
        None if text.is_empty() => Err("there is no digit".to_owned()),
        None => Ok(text.to_ascii_uppercase()),
    }
}

/// Calls a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number of calls a second between 0.01 and 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    /// Words as a shell makes them of a line, single quotes understood.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (at, part) in line.split('\'').enumerate() {
            let mut pieces = match at % 2 {
                0 => part.split(' ').collect::<Vec<_>>(),
                _ => vec![part],
            }
            .into_iter();
            if let (Some(last), Some(first)) = (words.last_mut(), pieces.next()) {
                last.push_str(first);
            }
            words.extend(pieces.map(str::to_owned));
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_guide_says_in_three_languages_what_there_is() {
        let guides = [
            include_str!("../../../assets/guide/README.md"),
            include_str!("../../../assets/guide/es.md"),
            include_str!("../../../assets/guide/pt.md"),
        ];
        let lines = |guide: &str| -> Vec<Vec<String>> {
            let lines = guide.lines().filter_map(|line| line.strip_prefix("    "));
            lines.map(words).collect()
        };
        let [english, others @ ..] = guides.map(lines);
        assert!(english.len() > 10);
        for line in &english {
            assert_eq!(line[0], "tipring");
            if let Err(error) = Cli::try_parse_from(line) {
                panic!("{line:?}: {error}");
            }
        }
        for other in others {
            // Only what is said in a message differs.
            let said = |lines: &[Vec<String>]| -> Vec<Vec<String>> {
                let without = |line: &Vec<String>| match line[1..].first().map(String::as_str) {
                    Some("message") => [&line[..3], &line[4..]].concat(),
                    _ => line.clone(),
                };
                lines.iter().map(without).collect()
            };
            assert_eq!(said(&other), said(&english));
        }
    }

    #[test]
    fn a_country_whose_tones_are_not_known_is_refused_with_those_that_are() {
        let call = |code: &str| {
            let line = [
                "tipring",
                "call",
                "600",
                "--aor",
                "sip:a@example.com",
                "--tones",
                code,
            ];
            Cli::try_parse_from(line).map(drop)
        };
        for known in ["GB", "gb", "US"] {
            call(known).expect(known);
        }
        for unknown in ["XX", "England", "G"] {
            let error = call(unknown).expect_err(unknown).to_string();
            assert!(error.contains("GB") && error.contains("US"), "{error}");
        }
    }

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in [
            "",
            "s",
            "10x",
            "1..2s",
            "1e999h",
            "99999999999999999999999h",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_of_ports_holds_a_stream() {
        assert_eq!(ports("40000-40099"), Ok(40_000..=40_099));
        assert_eq!(ports("40000-40001"), Ok(40_000..=40_001));
        for (bad, why) in [
            ("40000", "two ports"),
            ("40000-70000", "65535"),
            ("40001-40002", "no even port"),
            ("40100-40000", "no even port"),
            ("65535-65535", "no even port"),
            ("80-100", "below 1024"),
        ] {
            let error = ports(bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_digit_that_no_telephone_has_is_named() {
        assert_eq!(digits("12,p#*d"), Ok("12,P#*D".to_owned()));
        for (text, named) in [("12x3", "“x”"), ("1 2", "“ ”"), ("٣", "“٣”")] {
            let error = digits(text).expect_err(text);
            assert!(error.contains(named), "{error}");
        }
        assert!(digits("").is_err());
    }

    #[test]
    fn rates_are_numbers_that_can_be_kept() {
        assert_eq!(rate("2.5"), Ok(2.5));
        for bad in ["nan", "inf", "0", "-1", "1e9", "x"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_takes_an_account_in_place() {
        let cli = Cli::try_parse_from([
            "tipring",
            "call",
            "600",
            "--aor",
            "sip:alice@example.com",
            "--password-env",
            "PW",
            "--transport",
            "tcp",
            "--codecs",
            "pcmu,opus",
            "--for",
            "2s",
            "--header",
            "X-Room: 42",
            "--json",
        ])
        .expect("the words are right");
        assert!(cli.common.json);
        let Some(Verb::Call(call)) = cli.verb else {
            panic!("no call")
        };
        assert_eq!(call.account.codecs, ["pcmu", "opus"]);
        assert_eq!(call.talk, Some(Duration::from_secs(2)));
    }
}
