//! The words of an account's settings: each with a name, and what it does in a line.

pub(crate) const NAMES: &str = "Names";
pub(crate) const NAMES_ABOUT: &str =
    "What the account is called here and by others, and how it signs in.";
pub(crate) const LABEL: &str = "Name in lists";
pub(crate) const LABEL_HELP: &str = "Empty means the address.";
pub(crate) const DISPLAY_NAME: &str = "Your name, as others see it";
pub(crate) const DISPLAY_NAME_HELP: &str = "Goes out with each call and message.";
pub(crate) const AUTH_USER: &str = "Authentication name";
pub(crate) const AUTH_USER_HELP: &str = "Only when it differs from the address.";
pub(crate) const LOGIN: &str = "Signs in with a";
pub(crate) const LOGIN_HELP: &str =
    "A token stands in the password’s place, and is shown over TLS only.";

pub(crate) const STRONG_LOGIN: &str = "Never sign in by MD5";
pub(crate) const STRONG_LOGIN_HELP: &str =
    "Servers that know nothing newer refuse the account then.";

pub(crate) const GUEST_LOGIN: &str = "Try as a guest";
pub(crate) const GUEST_LOGIN_HELP: &str =
    "Servers that ask for a login you do not have are shown “anonymous”, without a password.";
pub(crate) const LOGIN_WAIT: &str = "Ask me for a missing login for, in seconds";
pub(crate) const LOGIN_WAIT_HELP: &str =
    "A call or message waits so long for it. 0 does not ask: it fails at once.";
pub(crate) const LOGIN_WAIT_WRONG: &str = "A whole number from 0 to 3600; 60 is usual.";

pub(crate) const SERVER: &str = "Server and transport";
pub(crate) const SERVER_ABOUT: &str = "Where it registers, and by which way.";
pub(crate) const REGISTRAR: &str = "Registrar";
pub(crate) const REGISTRAR_HELP: &str = "Empty means the domain of the address.";
pub(crate) const REGISTRAR_WRONG: &str =
    "A registrar looks like sip:pbx.example.com or sip:192.0.2.10:5060.";
pub(crate) const PROXY: &str = "Outbound proxy";
pub(crate) const PROXY_HELP: &str = "Everything goes by it. Empty means the registrar itself.";
pub(crate) const PROXY_WRONG: &str =
    "A proxy looks like sip:proxy.example.com:5061;transport=tls;lr.";
pub(crate) const MORE_PROXIES: &str = "Further proxies";
pub(crate) const MORE_PROXIES_HELP: &str =
    "One a line. A way is kept open by each of them, for when another fails.";
pub(crate) const TRANSPORT: &str = "Transport";
pub(crate) const TRANSPORT_HELP: &str = "Automatic takes what the address and DNS say.";
pub(crate) const WS_PATH: &str = "WebSocket path";
pub(crate) const WS_PATH_HELP: &str = "What WebSocket servers are asked for. Empty means /ws.";
pub(crate) const WS_PATH_WRONG: &str = "A path begins with a slash and has no blanks, like /sip.";
pub(crate) const REGISTER: &str = "Register with the server";
pub(crate) const REGISTER_HELP: &str = "Off for trunks, which know where this phone is.";
pub(crate) const EXPIRES: &str = "Register for, in seconds";
pub(crate) const EXPIRES_HELP: &str = "What is asked for; the server decides.";
pub(crate) const EXPIRES_WRONG: &str = "A whole number from 30 to 86400; 600 is usual.";
pub(crate) const FLOWS: &str = "Ways kept open to the server";
pub(crate) const FLOWS_HELP: &str =
    "1 is usual, more survive a failure at once, 0 is for old servers.";
pub(crate) const FLOWS_WRONG: &str = "A whole number from 0 to 4.";
pub(crate) const GRUU: &str = "Ask for an address of this phone alone";
pub(crate) const GRUU_HELP: &str = "Calls can then be sent on to this very phone (GRUU).";

pub(crate) const REG_EVENT: &str = "Have the server tell what becomes of it";
pub(crate) const REG_EVENT_HELP: &str =
    "A registration that the server ends is made again at once, where it may be.";

pub(crate) const NETWORK: &str = "Network";
pub(crate) const NETWORK_ABOUT: &str =
    "Addresses of this phone, and how sound finds its way through routers.";
pub(crate) const BIND: &str = "Local address";
pub(crate) const BIND_HELP: &str = "Empty means any address and port.";
pub(crate) const BIND_WRONG: &str = "A local address looks like 192.168.1.20:5060 or [fd00::20]:0.";
pub(crate) const PUBLIC: &str = "Public address";
pub(crate) const PUBLIC_HELP: &str = "Where the world reaches this phone, when you know it.";
pub(crate) const PUBLIC_WRONG: &str =
    "A public address looks like 198.51.100.7 or 198.51.100.7:5060.";
pub(crate) const STUN: &str = "STUN server";
pub(crate) const STUN_HELP: &str = "Is asked for each call where the world sees its sound.";
pub(crate) const STUN_WRONG: &str = "A STUN server looks like stun.example.com or 192.0.2.10:3478.";
pub(crate) const TURN: &str = "Relay (TURN)";
pub(crate) const TURN_HELP: &str =
    "With ICE it carries sound where no other way leads; without, all of it.";
pub(crate) const TURN_WRONG: &str = "A relay looks like turn:relay.example.com, turn:192.0.2.10:3478?transport=tcp or turns:relay.example.com.";
pub(crate) const TURN_USER: &str = "User of the relay";
pub(crate) const TURN_USER_HELP: &str =
    "Empty means the account’s own login. Its password is given on the account’s page.";
pub(crate) const INSIDE: &str = "Networks inside";
pub(crate) const INSIDE_HELP: &str =
    "One a line. Who is there is told the local address, others the public one.";
pub(crate) const INSIDE_WRONG: &str = "A network looks like 192.168.0.0/16 or fd00::/8.";
pub(crate) const INSIDE_NAME: &str = "Name inside";
pub(crate) const INSIDE_NAME_HELP: &str = "Told there in place of the local address.";
pub(crate) const INSIDE_NAME_WRONG: &str = "A name looks like desk-7.example.com.";
pub(crate) const ICE: &str = "Try all ways until one works (ICE)";
pub(crate) const ICE_HELP: &str = "Where the other side does so, too.";

pub(crate) const CERTIFICATES: &str = "Certificates";
pub(crate) const CERTIFICATES_ABOUT: &str =
    "Whom to trust on encrypted ways, and who you are there.";
pub(crate) const TLS_CA: &str = "File of authorities";
pub(crate) const TLS_CA_HELP: &str = "In PEM. They are trusted instead of those of the system.";
pub(crate) const TLS_CERT: &str = "File of your certificate";
pub(crate) const TLS_CERT_HELP: &str = "In PEM, for servers that want one.";
pub(crate) const TLS_KEY: &str = "File of its private key";
pub(crate) const TLS_KEY_HELP: &str = "In PEM.";
pub(crate) const TLS_KEY_WRONG: &str = "A certificate and its key go together.";
pub(crate) const TLS_TRUST: &str = "Trusted fingerprints";
pub(crate) const TLS_TRUST_HELP: &str =
    "One a line, SHA-256. Such a certificate is trusted whatever is wrong with it.";
pub(crate) const TLS_TRUST_WRONG: &str = "64 hexadecimal digits a line, with or without colons.";

pub(crate) const MEDIA: &str = "Sound and encryption";
pub(crate) const MEDIA_ABOUT: &str = "How it is coded, protected, and how typed digits travel.";
pub(crate) const ENCRYPTION: &str = "Media encryption";
pub(crate) const ENCRYPTION_HELP: &str =
    "Required lets no call through without it. Two lines is for gateways that want to choose.";
pub(crate) const ENCRYPTIONS: [&str; 4] = ["Off", "When possible", "Two lines", "Required"];
pub(crate) const KEYS: &str = "Keys";
pub(crate) const KEYS_HELP: &str =
    "Servers on the way can read keys in the signalling; those of a handshake nobody can.";
pub(crate) const DTMF: &str = "Tones";
pub(crate) const DTMF_HELP: &str = "How digits reach the other side during a call.";
pub(crate) const TONES: [&str; 4] = ["In RTP", "INFO", "In the audio", "As the peer can"];
pub(crate) const CODECS: &str = "Codecs";
pub(crate) const CODECS_HELP: &str = "They are offered in this order.";
pub(crate) const CODECS_WRONG: &str = "At least one codec must be on, and all must be known.";
pub(crate) const ECHO: &str = "Take out the echo";
pub(crate) const ECHO_HELP: &str =
    "What the speaker plays is not sent back, so that nobody hears themselves.";
pub(crate) const NOISE: &str = "Lower the noise";
pub(crate) const NOISE_HELP: &str = "Steady noise, like that of a fan. Off for music.";
pub(crate) const GAIN: &str = "Even out the level";
pub(crate) const GAIN_HELP: &str = "Quiet speech becomes louder. Off for music.";
pub(crate) const HIGH_PASS: &str = "Cut off rumble";
pub(crate) const HIGH_PASS_HELP: &str = "What is deeper than any voice, like steps on the floor.";
pub(crate) const HOLD_MUSIC: &str = "Music on hold";
pub(crate) const HOLD_MUSIC_HELP: &str =
    "A WAV file that is played again and again to whom you hold. Silence when empty.";
pub(crate) const QUALITY_REPORT: &str = "Quality is told to";
pub(crate) const QUALITY_REPORT_HELP: &str = "A collector that hears after each call how it sounded (RFC 6035), like sip:quality@example.com.";
pub(crate) const RECORDING_TONE: &str = "Tone while recording";
pub(crate) const RECORDING_TONE_HELP: &str = "How often both hear that the call is recorded, in seconds; 0 is once at the start, empty is never.";
pub(crate) const RECORDING_OPUS: &str = "Small recordings";
pub(crate) const RECORDING_OPUS_HELP: &str =
    "Recordings are Ogg Opus files, a fifth to a twentieth as long as WAV.";
pub(crate) const RECORDING_TONE_WRONG: &str =
    "It is a number of seconds from 0 to 3600, or nothing.";
pub(crate) const QUIET: &str = "Send nothing while nothing is said";
pub(crate) const QUIET_HELP: &str =
    "Spares the network. The other side hears a quiet room meanwhile.";
pub(crate) const TWICE: &str = "Send everything twice";
pub(crate) const TWICE_HELP: &str = "For networks that lose much and have room for it.";
pub(crate) const BANDWIDTH: &str = "Bandwidth";
pub(crate) const BANDWIDTH_HELP: &str =
    "What others are asked to send at most, in kbit/s with all headers. Empty asks for nothing.";
pub(crate) const BANDWIDTH_WRONG: &str = "A bandwidth is a number from 8 to 100000, or nothing.";

pub(crate) const CALLS: &str = "Calls";
pub(crate) const CALLS_ABOUT: &str = "What calls do by themselves, and what they tell.";
pub(crate) const ANONYMOUS: &str = "Call anonymously";
pub(crate) const ANONYMOUS_HELP: &str = "Whom you call is not told who you are.";
pub(crate) const EARLY_MEDIA: &str = "Hear what comes before the answer";
pub(crate) const EARLY_MEDIA_HELP: &str = "Announcements, and the network’s own ring tone.";
pub(crate) const REDIRECTS: &str = "When a call is sent elsewhere";
pub(crate) const REDIRECTS_HELP: &str = "What to do when whom you call says where to call instead.";
pub(crate) const MOST_CALLS: &str = "Most calls at once";
pub(crate) const MOST_CALLS_HELP: &str = "Further callers find the line busy. 0 is no limit.";
pub(crate) const MOST_CALLS_WRONG: &str = "A whole number from 0 to 1000.";
pub(crate) const JOINS: &str = "May join a call that goes on";
pub(crate) const JOINS_HELP: &str = "All hear each other then.";
pub(crate) const PRACK: &str = "Acknowledge ringing (PRACK)";
pub(crate) const PRACK_HELP: &str = "Some gateways ring and announce only to phones that do.";
pub(crate) const SESSION_TIMERS: &str = "End calls whose other side has vanished";
pub(crate) const SESSION_TIMERS_HELP: &str =
    "Both sides say from time to time that they are there.";
pub(crate) const SESSION: &str = "After, in seconds";
pub(crate) const SESSION_HELP: &str = "How long a call lasts without such a word.";
pub(crate) const SESSION_WRONG: &str = "A whole number from 90 to 86400; 1800 is usual.";
pub(crate) const MIN_SESSION: &str = "At least, in seconds";
pub(crate) const MIN_SESSION_HELP: &str = "A shorter time is not agreed to.";
pub(crate) const MIN_SESSION_WRONG: &str = "A whole number from 90 to the time above.";

pub(crate) const PEOPLE: &str = "People and messages";
pub(crate) const PEOPLE_ABOUT: &str = "Whom to watch, and what others learn of you.";
pub(crate) const MWI: &str = "Ask for waiting voice messages";
pub(crate) const MWI_HELP: &str = "A server may tell of them in any case.";
pub(crate) const WATCH_WHOM: &str = "Watch these numbers";
pub(crate) const WATCH_WHOM_HELP: &str =
    "Numbers or addresses, one a line. Their lamps stand below the account.";
pub(crate) const WATCH_WHOM_WRONG: &str = "Like 201 or bob@example.com, one a line.";
pub(crate) const WATCH: &str = "Show";
pub(crate) const WATCH_HELP: &str = "What is asked about them.";
pub(crate) const PUBLISH: &str = "Tell others whether I am available";
pub(crate) const PUBLISH_HELP: &str = "What they are told is chosen on the account’s page.";

pub(crate) const HEADERS_PART: &str = "Headers";
pub(crate) const HEADERS_ABOUT: &str = "What stands in messages beside what must.";
pub(crate) const HEADERS: &str = "Extra headers of calls";
pub(crate) const HEADERS_HELP: &str = "One a line, as Name: value.";
pub(crate) const HEADERS_WRONG: &str = "A header looks like X-Room: 42.";
pub(crate) const HEADER_RULES: &str = "Rules for headers";
pub(crate) const HEADER_RULES_HELP: &str =
    "One a line, like out INVITE add X-Room: 42, or in * remove Server.";
pub(crate) const HEADER_RULES_WRONG: &str = "A rule looks like out * set User-Agent: Desk 7.";

/// How many of a part's settings are not as in a new account.
pub(crate) fn changed(n: usize) -> String {
    match n {
        0 => String::new(),
        n => format!("{n} set"),
    }
}
