//! All words of the window, in one place. Sentence case, no colon after a label; what asks for more ends
//! in `…`.

pub(crate) mod settings;

use model::{
    CallState, CallView, Login, MemberState, RegistrationState, Roster, Silence, Transfer,
    TransferState,
};

use crate::view_state::is_ringing_here;
use crate::window::{OutcomeFilter, Screen};

pub(crate) const PRODUCT: &str = "Tipring";

// Screens
pub(crate) fn screen(screen: Screen) -> &'static str {
    match screen {
        Screen::Phone => "Phone",
        Screen::History => "History",
        Screen::Messages => MESSAGES,
        Screen::Trace => "Trace",
        Screen::Accounts => "Accounts",
        Screen::Settings => "Settings",
    }
}

// States
pub(crate) const STATE_OFF: &str = "Off";
pub(crate) const STATE_TRYING: &str = "Trying";
pub(crate) const STATE_REGISTERED: &str = "Registered";
pub(crate) const STATE_REFUSED: &str = "Refused";
pub(crate) const STATE_SILENT: &str = "Silent";
pub(crate) const STATE_LEAVING: &str = "Signing out";
pub(crate) const STATE_DEGRADED: &str = "Degraded";

pub(crate) fn registration(state: RegistrationState) -> &'static str {
    match state {
        RegistrationState::Off => STATE_OFF,
        RegistrationState::Trying => STATE_TRYING,
        RegistrationState::Registered => STATE_REGISTERED,
        RegistrationState::Refused => STATE_REFUSED,
        RegistrationState::Silent => STATE_SILENT,
        RegistrationState::Leaving => STATE_LEAVING,
        RegistrationState::Degraded => STATE_DEGRADED,
    }
}

pub(crate) const OUTCOME_ANSWERED: &str = "Answered";
pub(crate) const OUTCOME_MISSED: &str = "Missed";
pub(crate) const OUTCOME_ELSEWHERE: &str = "Answered elsewhere";
pub(crate) const OUTCOME_DECLINED: &str = "Declined";
pub(crate) const OUTCOME_CANCELLED: &str = "Cancelled";
pub(crate) const OUTCOME_FAILED: &str = "Failed";

pub(crate) fn outcome_filter(filter: OutcomeFilter) -> &'static str {
    match filter {
        OutcomeFilter::All => "All",
        OutcomeFilter::Answered => OUTCOME_ANSWERED,
        OutcomeFilter::Missed => OUTCOME_MISSED,
        OutcomeFilter::Failed => OUTCOME_FAILED,
    }
}

/// The word for what a call is doing.
pub(crate) fn call_state(call: &CallView) -> &'static str {
    match call.state {
        CallState::Trying | CallState::Ringing if is_ringing_here(call) => "Incoming call",
        CallState::Trying => "Calling",
        CallState::Ringing => "Ringing",
        CallState::Answering => "Answering",
        CallState::Early => "Ringing, with sound",
        CallState::Connected if call.conference.is_some() => match call.muted {
            true => "In conference, muted",
            false => "In conference",
        },
        CallState::Connected if call.muted => "Connected, muted",
        CallState::Connected => "Connected",
        CallState::Held => match (call.held_by_us, call.held_by_peer) {
            (true, true) => "Held by both",
            (false, true) => "Held by them",
            _ => "On hold",
        },
        CallState::Ending => "Hanging up",
        CallState::Ended => "Ended",
    }
}

// Shell
pub(crate) const ALL_TENANTS: &str = "All organisations";
pub(crate) const STARTING: &str = "Starting";
pub(crate) const STARTING_TEXT: &str = "The engine reads its settings and opens the sound devices.";
pub(crate) const STOPPED: &str = "The engine has stopped";
pub(crate) const STOPPED_TEXT: &str =
    "No call can come in or go out. Close the window and start Tipring again.";
pub(crate) const SHORTCUTS: &str = "Keyboard shortcuts";
pub(crate) const DISMISS: &str = "Dismiss";
pub(crate) const CANCEL: &str = "Cancel";
pub(crate) const CLOSE: &str = "Close";
pub(crate) const COPY_FAILURE: &str = "Copy this for the provider";
pub(crate) const COPIED: &str = "Copied, with names and secrets masked";

// Account list
pub(crate) const ACCOUNTS: &str = "Accounts";
pub(crate) const ACCOUNT: &str = "Account";
pub(crate) const ADD_ACCOUNT: &str = "Add account…";
pub(crate) const FIND_ACCOUNT: &str = "Find an account";
pub(crate) const NO_ACCOUNT_MATCHES: &str = "No account matches";
pub(crate) const DIAL_WITH: &str = "Account to call with";
pub(crate) const NO_ACCOUNT: &str = "No account";

// Phone
pub(crate) const NUMBER: &str = "Number or address";
pub(crate) const NUMBER_HINT: &str = "Number, name or sip: address";
pub(crate) const CALL: &str = "Call";
pub(crate) const RECENT: &str = "Recent";
pub(crate) const DIAL_PAD: &str = "Dial pad";
pub(crate) const ERASE: &str = "Erase the last character";
pub(crate) const TEST_NUMBERS: &str = "Test numbers";
pub(crate) const NO_CALLS: &str = "No calls yet";
pub(crate) const NO_CALLS_TEXT: &str =
    "Type a number and press Enter. Calls you make or miss appear here.";

pub(crate) const NO_CALLS_DEMO: &str = "The echo test answers at once and sends back what it hears. Calls you make or miss appear here.";

// Calls
pub(crate) const ANSWER: &str = "Answer";
pub(crate) const REJECT: &str = "Reject";
pub(crate) const HANG_UP: &str = "Hang up";
pub(crate) const CANCEL_CALL: &str = "Cancel call";
pub(crate) const HOLD: &str = "Hold";
pub(crate) const RESUME: &str = "Resume";
pub(crate) const MUTE: &str = "Mute";
pub(crate) const RECORD_CALL: &str = "Record";
pub(crate) const STOP_RECORDING: &str = "Stop recording";
pub(crate) const STOP_PLAYING: &str = "Stop playing";
pub(crate) const RECORD_TIP: &str = "Record both sides of this call into a file";
pub(crate) const UNMUTE: &str = "Unmute";
pub(crate) const KEYPAD: &str = "Keypad";
pub(crate) const LADDER: &str = "Ladder";
pub(crate) const SHOW_LADDER: &str = "Show the ladder of this call";
pub(crate) const CALL_AGAIN: &str = "Call again";
pub(crate) const MICROPHONE_LEVEL: &str = "Microphone level";
pub(crate) const SPEAKER_LEVEL: &str = "Speaker level";
pub(crate) const ENCRYPTED: &str = "Encrypted";
pub(crate) const NOT_ENCRYPTED: &str = "Not encrypted";
pub(crate) const WITH: &str = "with";
pub(crate) const WAITING_FOR_SOUND: &str = "Waiting for sound";
pub(crate) const SENT_TONES: &str = "Sent";
pub(crate) const RECEIVED_TONES: &str = "Received";

pub(crate) fn tones_to(party: &str) -> String {
    format!("Tones to {party}")
}

// The way of the sound
pub(crate) const LIGHTS: [&str; 4] = ["Captured", "Sent", "Received", "Played"];
pub(crate) const LIGHT_TIPS: [&str; 4] = [
    "Whether your microphone gives sound",
    "Whether packets leave for the other side",
    "Whether packets come from the other side",
    "Whether what comes is sound, and goes to your speaker",
];

pub(crate) fn light(name: &str, on: bool) -> String {
    format!("{name}: {}", if on { "yes" } else { "no" })
}

pub(crate) fn last_at(clock: &str) -> String {
    format!("Last at {clock}")
}

/// Why there is no sound, without figures that count on.
pub(crate) fn silence(why: &Silence) -> String {
    match why {
        Silence::NotSent { .. } => "The network refuses what is sent.".to_owned(),
        Silence::StoppedReceiving { .. } => "Nothing comes from the other side.".to_owned(),
        Silence::WrongKey { .. } => "What comes is not encrypted with the agreed key.".to_owned(),
        Silence::Dropped { .. } => {
            "What comes is not what was agreed on, by its sender or its codec.".to_owned()
        }
        other => other.to_string(),
    }
}

pub(crate) fn unexpected_peer(expected: &str, actual: &str) -> String {
    format!("Expected from {expected}, last came from {actual}.")
}

// Figures of a call
pub(crate) const SHOW_FIGURES: &str = "Show all details";
pub(crate) const HIDE_FIGURES: &str = "Hide the details";
pub(crate) const CODEC: &str = "Codec";

pub(crate) fn two_codecs(ours: &str, theirs: &str) -> String {
    format!("{ours}, they send {theirs}")
}

pub(crate) const QUALITY: &str = "Quality (MOS)";
pub(crate) const PACKETS_SENT: &str = "Packets sent";
pub(crate) const PACKETS_RECEIVED: &str = "Packets received";
pub(crate) const PACKETS_LOST: &str = "Lost";
pub(crate) const PACKETS_LATE: &str = "Too late";
pub(crate) const JITTER: &str = "Jitter";
pub(crate) const BUFFER: &str = "Buffer";
pub(crate) const ROUND_TRIP: &str = "Round trip";
pub(crate) const CONCEALED: &str = "Concealed";
pub(crate) const PEER_EXPECTED: &str = "Expected from";
pub(crate) const PEER_ACTUAL: &str = "Comes from";
pub(crate) const PEER_TARGET: &str = "Sent to";
pub(crate) const IN_THE_CONFERENCE: &str = "In the conference";
pub(crate) const COURSE: &str = "Quality over the call";

pub(crate) fn lost(percent: &str) -> String {
    format!("{percent} % lost")
}

pub(crate) fn jitter(ms: &str) -> String {
    format!("jitter {ms} ms")
}

pub(crate) fn round_trip(ms: &str) -> String {
    format!("round trip {ms} ms")
}

pub(crate) fn more_members(n: usize) -> String {
    format!("{n} more")
}

pub(crate) fn course(lowest: &str, now: &str) -> String {
    format!("{COURSE}: {now} now, {lowest} at worst")
}

// Conferences
pub(crate) const JOIN: &str = "Join";
pub(crate) const TAKE_OUT: &str = "Take out";
pub(crate) const TAKE_OUT_TIP: &str =
    "Takes this call out of the conference and holds it; you go on talking to the others";

pub(crate) fn join_whom(party: &str) -> String {
    format!("Bring {party} together with")
}

pub(crate) fn join_with(party: &str) -> String {
    format!("Join with {party}")
}

pub(crate) fn join_all(calls: usize) -> String {
    format!("Join all {calls} calls")
}

pub(crate) fn in_conference_with(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("Conference with {one}"),
        [first @ .., last] => format!("Conference with {} and {last}", first.join(", ")),
    }
}

// Transfers
pub(crate) const TRANSFER: &str = "Transfer";
pub(crate) const TRANSFER_TO: &str = "Number to transfer to";
pub(crate) const OR_CONNECT: &str = "Or connect with another call, and leave both";
pub(crate) const CONNECT_TIP: &str =
    "Connects the two with each other; you are in neither call any more";
pub(crate) const STAY_HERE: &str = "Stay here";

pub(crate) fn transfer_of(party: &str) -> String {
    format!("Transfer {party}")
}

pub(crate) fn connect_with(party: &str) -> String {
    format!("Connect with {party}")
}

pub(crate) fn call_party(party: &str) -> String {
    format!("Call {party}")
}

pub(crate) fn wants_you_to_call(party: &str) -> String {
    format!("Wants you to call {party}")
}

pub(crate) fn transfer_wanted(by: &str, target: &str) -> String {
    format!("{by} asks you to call {target} instead.")
}

/// How a transfer goes. A status stands only where the peer told one.
pub(crate) fn transfer_progress(transfer: &Transfer) -> String {
    let who = transfer.target().title();
    let told = match transfer {
        Transfer::Ours {
            status: Some((code, phrase)),
            ..
        } => format!("  ·  {code} {}", phrase.reveal()),
        _ => String::new(),
    };
    match transfer {
        Transfer::Ours { state, .. } => match state {
            TransferState::Asked => format!("Asked to call {who}"),
            TransferState::Trying => format!("Calls {who}{told}"),
            TransferState::Done => format!("Transferred to {who}{told}"),
            TransferState::Failed => format!("Not transferred to {who}{told}"),
        },
        Transfer::Wanted { .. } => wants_you_to_call(who),
        Transfer::Following { .. } => format!("You call {who} instead"),
    }
}

// What a call says beside itself
pub(crate) const VOUCHED: &str = "The server vouches for the caller";
pub(crate) const SIGNED: &str = "Carries a signed identity; its signature is not checked";
pub(crate) const ANONYMOUS: &str = "Wants to stay unknown to you";
pub(crate) const REPLACES: &str =
    "Wants the place of another call of yours: if you answer, that one ends";
pub(crate) const AUTO_ANSWERED: &str = "Answered by itself";
pub(crate) const CALL_NONE: &str = "Call none of them";

pub(crate) fn forwarded_by(party: &str, more: usize) -> String {
    match more {
        0 => format!("Forwarded by {party}"),
        _ => format!("Forwarded by {party}{}", and_more(more)),
    }
}

/// A conference in a line: what it is about and who is in it.
pub(crate) fn roster(roster: &Roster) -> String {
    let about = roster
        .subject
        .as_ref()
        .map(|subject| format!("Conference “{}”", subject.reveal()));
    let title = about.unwrap_or_else(|| "Conference".to_owned());
    if roster.over {
        return format!("{title}, over");
    }
    if let (Some(sentence), true) = (&roster.sentence, roster.members.is_empty()) {
        return format!("{title}. {}", sentence.reveal());
    }
    let count = usize::try_from(roster.count).unwrap_or(usize::MAX);
    let names: Vec<&str> = roster
        .members
        .iter()
        .take(4)
        .map(|member| member.who.title())
        .collect();
    match (names.len(), count) {
        (0, _) => title,
        (shown, count) if count > shown => {
            format!(
                "{title} with {}{}",
                names.join(", "),
                and_more(count - shown)
            )
        }
        _ => format!("{title} with {}", names.join(", ")),
    }
}

/// Somebody in a conference.
pub(crate) fn member(name: &str, state: MemberState) -> String {
    match state {
        MemberState::Present => name.to_owned(),
        MemberState::Held => format!("{name} (on hold)"),
        MemberState::Coming => format!("{name} (is being called)"),
        MemberState::Gone => format!("{name} (has left)"),
    }
}

pub(crate) fn and_more(n: usize) -> String {
    format!(" and {n} more")
}

pub(crate) fn claims(party: &str) -> String {
    format!("Says it is {party}; the server says otherwise")
}

pub(crate) fn about(subject: &str) -> String {
    format!("About \u{201c}{subject}\u{201d}")
}

pub(crate) fn redirected(party: &str) -> String {
    format!("Sent on to {party}")
}

pub(crate) fn redirect_asks(party: &str, places: usize) -> String {
    match places {
        1 => format!("{party} is to be reached elsewhere. Call there?"),
        _ => format!("{party} is to be reached elsewhere. Where do you want to call?"),
    }
}

/// The word for a quality (ITU-T P.800 categories).
pub(crate) fn quality(mos: f32) -> &'static str {
    match mos {
        m if m >= 4.0 => "Good",
        m if m >= 3.6 => "Fair",
        m if m >= 3.1 => "Poor",
        _ => "Bad",
    }
}

/// The worst second of a call, by its quality.
pub(crate) fn at_worst(mos: &str) -> String {
    format!("{mos} at worst")
}

// Messages
pub(crate) const NEW_MESSAGE: &str = "New message";
pub(crate) const NO_MESSAGES: &str = "No messages";
pub(crate) const NO_MESSAGES_TEXT: &str =
    "Text messages go to any number or address that takes them. What comes in appears here.";
pub(crate) const CHOOSE_THREAD: &str = "Choose a conversation";
pub(crate) const CHOOSE_THREAD_TEXT: &str = "What was said, and what became of each message.";
pub(crate) const ALL_MESSAGES: &str = "All messages";
pub(crate) const MESSAGE_TO: &str = "To";
pub(crate) const MESSAGE_TEXT: &str = "Message text";
pub(crate) const SEND: &str = "Send";
pub(crate) const SEND_AGAIN: &str = "Send again";
pub(crate) const COPY_TEXT: &str = "Copy text";
pub(crate) const YOU: &str = "You";
pub(crate) const MESSAGE_SENDING: &str = "Sending";
pub(crate) const MESSAGE_DELIVERED: &str = "Delivered";
pub(crate) const MESSAGE_ACCEPTED: &str = "Taken by the server, which passes it on later";
pub(crate) const MESSAGE_FAILED: &str = "Not delivered";
pub(crate) const FORGET_MESSAGES: &str = "Forget messages…";
pub(crate) const FORGET_MESSAGES_TIP: &str = "Forgets all messages of this account";
pub(crate) const FORGET_MESSAGES_TEXT: &str =
    "All messages of this account are deleted here. This cannot be undone.";

pub(crate) fn forget_messages(title: &str) -> String {
    format!("Forget the messages of {title}?")
}

pub(crate) fn unread(n: usize) -> String {
    format!("{n} not read")
}

// History
pub(crate) const FIND_CALL: &str = "Find a call";
pub(crate) const ALL_ACCOUNTS: &str = "All accounts";
pub(crate) const OUTCOME: &str = "Outcome";
pub(crate) const TODAY: &str = "Today";
pub(crate) const YESTERDAY: &str = "Yesterday";
pub(crate) const NO_HISTORY: &str = "No calls yet";
pub(crate) const NO_HISTORY_TEXT: &str = "Calls you make or miss appear here.";
pub(crate) const GO_TO_NUMBER: &str = "Go to the number field";
pub(crate) const NO_MATCH: &str = "Nothing matches";
pub(crate) const CLEAR_FILTER: &str = "Clear filter";
pub(crate) const INCOMING: &str = "Incoming";
pub(crate) const OUTGOING: &str = "Outgoing";

pub(crate) fn hidden_by_filter(n: &str) -> String {
    match n {
        "1" => "1 call is hidden by the filter.".to_owned(),
        _ => format!("{n} calls are hidden by the filter."),
    }
}

pub(crate) fn calls_listed(n: &str) -> String {
    match n {
        "1" => "1 call".to_owned(),
        _ => format!("{n} calls"),
    }
}

// Trace
pub(crate) const TRACE_EMPTY: &str = "The recorder is running";
pub(crate) const TRACE_EMPTY_TEXT: &str =
    "Each SIP message appears here as it is sent or received.";
pub(crate) const FILTER_TRACE: &str = "Filter the trace";
pub(crate) const FILTER_TRACE_HINT: &str = "method:INVITE code:4xx, or any text";
pub(crate) const PAUSE: &str = "Pause";
pub(crate) const GO_ON: &str = "Go on";
pub(crate) const HIDE_NOISE: &str = "Hide noise";
pub(crate) const NOISE_TIP: &str = "OPTIONS, and registrations that go well";
pub(crate) const SHOW_HIDDEN: &str = "Show hidden";
pub(crate) const FOLLOW_CALL: &str = "Only this call";
pub(crate) const NO_LADDER: &str = "No dialog";
pub(crate) const NO_LADDER_TEXT: &str =
    "This belongs to no SIP dialog; select a message to see its ladder.";
pub(crate) const CALL_NOT_HELD: &str =
    "The messages of this call are no longer in view; the recorder keeps them on disk.";
pub(crate) const COPY_MESSAGE: &str = "Copy message";
pub(crate) const COPY_MESSAGE_TIP: &str = "Copy message, with names and secrets masked";
pub(crate) const COPY_CALL: &str = "Copy call";
pub(crate) const COPY_CALL_TIP: &str =
    "Copies all messages of this call, with names and secrets masked";
pub(crate) const ONE_CALL: &str = "One call";
pub(crate) const BACK_TO_ALL: &str = "Back to all";
pub(crate) const TIME: &str = "Time";
pub(crate) const MESSAGE: &str = "Message";
pub(crate) const FROM: &str = "From";
pub(crate) const TO: &str = "To";
pub(crate) const PEER: &str = "Peer";

pub(crate) fn pause(length: &str) -> String {
    format!("{length} later")
}

pub(crate) fn authenticated(code: u16) -> String {
    format!("after {code}")
}

pub(crate) fn noise_hidden(n: &str) -> String {
    format!("{n} hidden as noise")
}

pub(crate) fn trace_hidden(n: &str) -> String {
    match n {
        "1" => "1 message is hidden by the filter.".to_owned(),
        _ => format!("{n} messages are hidden by the filter."),
    }
}

pub(crate) fn messages(n: &str, has_older: bool) -> String {
    if has_older {
        format!("{n} shown; older ones are on disk")
    } else {
        format!("{n} shown")
    }
}

// Accounts screen
pub(crate) const EDIT: &str = "Edit…";
pub(crate) const REMOVE: &str = "Remove…";
pub(crate) const REMOVE_NOW: &str = "Remove";
pub(crate) const RETRY: &str = "Retry now";
pub(crate) const SIGN_IN: &str = "Sign in";
pub(crate) const SIGN_OUT: &str = "Sign out";
pub(crate) const ASK_SERVER: &str = "Ask server";
pub(crate) const ASK_SERVER_TIP: &str = "Sends OPTIONS and shows what the server can do";
pub(crate) const ASK_SERVER_TEXT: &str =
    "Sends one OPTIONS request: how fast the server answers, what it is, and what it allows.";
pub(crate) const SHOW_TRACE: &str = "Show trace";
pub(crate) const REGISTRATION: &str = "Registration";
pub(crate) const CONFIGURATION: &str = "Configuration";
pub(crate) const SERVER: &str = "Server";
pub(crate) const CHOOSE_ACCOUNT: &str = "Choose an account";
pub(crate) const CHOOSE_ACCOUNT_TEXT: &str =
    "Its registration, its settings and what its server can do are shown here.";
pub(crate) const THEY_HEAR: &str = "They hear you";
pub(crate) const NOT_TOLD: &str = "Not told";
pub(crate) const NOTHING: &str = "–";
pub(crate) const AUTOMATIC: &str = "Automatic";

pub(crate) fn remove_account(title: &str) -> String {
    format!("Remove {title}?")
}

pub(crate) const REMOVE_ACCOUNT_TEXT: &str =
    "It signs out, and its password is deleted from the key store. Its calls stay in the history.";

pub(crate) fn remove_tenant(name: &str, accounts: usize) -> String {
    match accounts {
        0 => format!("Remove {name}?"),
        1 => format!("Remove {name} and its account?"),
        n => format!("Remove {name} and its {n} accounts?"),
    }
}

pub(crate) const REMOVE_TENANT_TEXT: &str = "Accounts, passwords, history and trace of this organisation are deleted. This cannot be undone.";
pub(crate) fn clear_history(name: &str) -> String {
    format!("Forget the history of {name}?")
}
pub(crate) const CLEAR_HISTORY_TEXT: &str = "The list of calls is deleted. This cannot be undone.";
pub(crate) const CLEAR_HISTORY_NOW: &str = "Forget";

// Around an account
pub(crate) const SERVERS: &str = "Servers";
pub(crate) const SERVER_UNTRIED: &str = "Not tried";
pub(crate) const SERVER_IN_USE: &str = "In use";
pub(crate) const SERVER_WORKING: &str = "Works";
pub(crate) const SERVER_RESTING: &str = "Rests";
pub(crate) const FLOWS: &str = "Ways to the server";
pub(crate) const MAILBOX: &str = "Mailbox";
pub(crate) const MESSAGES: &str = "Messages";
pub(crate) const VOICE_MESSAGES: &str = "Voice messages";
pub(crate) const LISTEN: &str = "Listen";
pub(crate) const WATCHED: &str = "Watched";
pub(crate) const LAMP_UNKNOWN: &str = "Unknown";
pub(crate) const LAMP_IDLE: &str = "Free";
pub(crate) const LAMP_CALLING: &str = "Calls somebody";
pub(crate) const LAMP_RINGING: &str = "Rings";
pub(crate) const LAMP_TALKING: &str = "Talks";
pub(crate) const PICK_UP: &str = "Pick up";
pub(crate) const YOUR_PRESENCE: &str = "What others are told of you";
pub(crate) const AVAILABLE: &str = "Available";
pub(crate) const NOT_AVAILABLE: &str = "not available";
pub(crate) const BUSY: &str = "Busy";
pub(crate) const AWAY: &str = "Away";
pub(crate) const TELL: &str = "Tell";
pub(crate) const PRESENCE_NOTE: &str = "A word with it, if you like";
pub(crate) const PRESENCE_TOLD: &str = "The server has it.";
pub(crate) const PRESENCE_NOT_TOLD: &str = "The server does not have it yet.";
pub(crate) const AND_ON_THE_PHONE: &str = " That you are on the phone is told by itself.";

// What an account does with calls
pub(crate) const INCOMING_CALLS: &str = "Incoming calls";
pub(crate) const CALLERS_HEAR: &str = "Callers hear";
pub(crate) const DISTURB: [&str; 3] = ["Ringing", "Busy", "Not available"];
pub(crate) const ANSWERED: &str = "Answered";
pub(crate) const AUTO_ANSWER: [&str; 3] = ["By hand", "When the caller asks", "Always"];
pub(crate) const FORWARD_ALWAYS: &str = "Forward all";
pub(crate) const FORWARD_BUSY: &str = "When busy";
pub(crate) const FORWARD_NO_ANSWER: &str = "When nobody answers";
pub(crate) const FORWARD_AFTER: &str = "After, in seconds";
pub(crate) const FORWARD_NOWHERE: &str = "Not forwarded";
pub(crate) const FORWARD_WRONG: &str = "Forward to a number or an address without blanks.";
pub(crate) const FORWARD_AFTER_WRONG: &str = "After 1 to 600 seconds.";
pub(crate) const SAVE_FORWARDING: &str = "Save forwarding";
pub(crate) const DO_NOT_DISTURB: &str = "Do not disturb";
pub(crate) const DO_NOT_DISTURB_ON: &str =
    "Do not disturb is on: callers hear that the line is busy. Click to let it ring again.";
pub(crate) const DO_NOT_DISTURB_OFF: &str = "Do not disturb: callers hear that the line is busy";

pub(crate) fn forwards_to(target: &str) -> String {
    format!("Forwards to {target}")
}

pub(crate) fn voice_messages(waiting: &model::WaitingView) -> String {
    format!("Voice messages: {}", self::waiting(waiting))
}

// What happened to a registration
pub(crate) const FEWER: &str = "Show fewer";

pub(crate) fn log(share: &str) -> String {
    match share {
        "" => "What happened".to_owned(),
        share => format!("What happened  ·  {share}"),
    }
}

pub(crate) fn all_steps(n: usize) -> String {
    format!("Show all {n}")
}

pub(crate) fn up_share(percent: &str, of: &str) -> String {
    format!("registered for {percent} % of {of}")
}

// What is missing for a call
pub(crate) const MISSING_ACCOUNT: &str = "There is no account to call with.";
pub(crate) const MISSING_MICROPHONE: &str =
    "There is no microphone: whoever you call will not hear you.";
pub(crate) const MISSING_SPEAKER: &str = "There is no speaker: you will not hear whoever you call.";
pub(crate) const MISSING_SOUND: &str =
    "There is no microphone and no speaker: a call will be silent.";

pub(crate) fn missing_registration(account: &str, state: &str) -> String {
    format!("{account} is not registered ({state}): the server may refuse the call.")
}

// Secrecy
pub(crate) const KEYS_READABLE: &str = "Encrypted, but the keys were readable on their way";
pub(crate) const SENT_PLAIN: &str = "What you say is not encrypted";
pub(crate) const HEARD_PLAIN: &str = "What you hear is not encrypted";
pub(crate) const PLAIN: &str = "plain";
pub(crate) const SECRECY: &str = "Secrecy of this call";
pub(crate) const WAY_SENT: &str = "Sent";
pub(crate) const WAY_HEARD: &str = "Heard";
pub(crate) const BY_SDES: &str = "key from the signalling (SDES)";
pub(crate) const BY_DTLS: &str = "key from a handshake (DTLS)";
pub(crate) const RENEW_KEYS: &str = "Renew keys";

pub(crate) const BINDINGS: &str = "Registered under this address";
pub(crate) const BINDINGS_TEXT: &str = "The registrar has not been asked which phones it knows.";
pub(crate) const BINDING_OWN: &str = "This phone";
pub(crate) const BINDING_OTHER: &str = "Another phone";
pub(crate) const LIST_BINDINGS: &str = "Ask the registrar";
pub(crate) const CLEAR_BINDINGS: &str = "Remove all…";
pub(crate) const CLEAR_BINDINGS_TIP: &str =
    "Removes every phone under this address, then signs this one in again";
pub(crate) const CLEAR_BINDINGS_TEXT: &str = "Calls reach none of them until they register again by themselves. \
This phone registers again at once.";

pub(crate) fn clear_bindings(title: &str) -> String {
    format!("Remove every phone of {title} from the registrar?")
}

pub(crate) const PASSED_OVER: &str = "Passed over by this organisation";
pub(crate) const CERTIFICATE_OF: &str = "Certificate of";
pub(crate) const SIGNED_BY: &str = "Signed by";
pub(crate) const FINGERPRINT: &str = "SHA-256";
pub(crate) const TRUST: &str = "Trust this certificate…";
pub(crate) const TRUST_NOW: &str = "Trust";
pub(crate) const TRUST_TEXT: &str = "Do this only when whoever runs the server tells you the same \
fingerprint. Another certificate there is an alarm from then on.";

pub(crate) fn trust_certificate(host: &str) -> String {
    format!("Trust the certificate of {host}?")
}

pub(crate) fn waiting(waiting: &model::WaitingView) -> String {
    match (waiting.waiting, waiting.new) {
        (false, _) => "None wait".to_owned(),
        (true, 0) => "Some wait".to_owned(),
        (true, n) if waiting.urgent > 0 => format!("{n} new, {} urgent", waiting.urgent),
        (true, n) => format!("{n} new"),
    }
}

// Account form
pub(crate) const NEW_ACCOUNT: &str = "New account";
pub(crate) const EDIT_ACCOUNT: &str = "Edit account";
pub(crate) const ADDRESS: &str = "Address";
pub(crate) const ADDRESS_HINT: &str = "alice@example.com";
pub(crate) const ADDRESS_HELP: &str = "As your provider gave it to you.";
pub(crate) const ADDRESS_MISSING: &str =
    "An address looks like alice@example.com or 1001@pbx.local.";
pub(crate) const PASSWORD: &str = "Password";
pub(crate) const PASSWORD_HELP: &str =
    "Kept in the system’s keystore where there is one, never in plain text.";
pub(crate) const PASSWORD_KEEP: &str = "Leave empty to keep the one that is stored.";
pub(crate) const SHOW_PASSWORD: &str = "Show the password";
pub(crate) const ORGANISATION: &str = "Organisation";
pub(crate) fn move_up(codec: &str) -> String {
    format!("Prefer {codec} more")
}

pub(crate) fn move_down(codec: &str) -> String {
    format!("Prefer {codec} less")
}
pub(crate) const ADVANCED: &str = "Advanced";
pub(crate) const SAVE: &str = "Save";
pub(crate) const ADD: &str = "Add account";

// First run
pub(crate) const WELCOME: &str = "Add your first account";
pub(crate) const WELCOME_TEXT: &str = "Two fields are enough. Nothing to sign up for.";
pub(crate) const CONNECT: &str = "Connect";
pub(crate) const TRY_DEMO: &str = "Try the built-in switchboard";
pub(crate) const TRY_DEMO_TEXT: &str =
    "No account at hand? Starts a switchboard inside Tipring, with accounts and numbers to call.";

// Settings
pub(crate) fn percent(percent: u8) -> String {
    format!("{percent} %")
}

/// What puts this back to as it comes.
pub(crate) fn reset(what: &str) -> String {
    format!("{RESET}: {what}")
}

pub(crate) const SOUND: &str = "Sound";
pub(crate) const MICROPHONE: &str = "Microphone";
pub(crate) const SPEAKER: &str = "Speaker";
pub(crate) const MICROPHONE_GAIN: &str = "Microphone gain";
pub(crate) const SPEAKER_VOLUME: &str = "Speaker volume";
pub(crate) const RESET: &str = "Reset";
pub(crate) const RINGER: &str = "Rings at";
pub(crate) const RINGS_AT_SPEAKER: &str = "The speaker";
pub(crate) const COUNTRY_TONES: &str = "Tones";
pub(crate) const SYSTEM_COUNTRY: &str = "As the system’s language";
pub(crate) const SOUND_TEST: &str = "What is heard";
pub(crate) const SOUND_TESTS: [&str; 3] = ["Ringing", "A sentence", "Yourself"];
pub(crate) const SYSTEM_DEFAULT: &str = "System default";
pub(crate) const TRY_SOUND: &str = "Try microphone and speaker";
pub(crate) const STOP_TRYING: &str = "Stop";
pub(crate) const TRYING_SOUND: &str =
    "Speak: the microphone’s bars move. What you chose comes from the speaker.";
pub(crate) const TRYING_RINGER: &str =
    "Speak: the microphone’s bars move. The ringing comes from the device that it rings at.";
pub(crate) const LOOK_AGAIN: &str = "Look for devices again";
pub(crate) const NO_DEVICE: &str = "None found";
pub(crate) const APPEARANCE: &str = "Appearance";
pub(crate) const THEME: &str = "Theme";
pub(crate) const THEMES: [&str; 4] = ["System", "Dark", "Light", "High contrast"];
pub(crate) const TEXT_SIZE: &str = "Text size";
pub(crate) const TEXT_SIZES: [(&str, f32); 5] = [
    ("100 %", 1.0),
    ("110 %", 1.1),
    ("125 %", 1.25),
    ("150 %", 1.5),
    ("200 %", 2.0),
];
pub(crate) const PASSWORDS: &str = "Passwords";
pub(crate) const PASSWORDS_IN_KEYSTORE: &str = "Kept in the system\u{2019}s keystore.";
pub(crate) const LOGIN_USER: &str = "User name";
pub(crate) const LOGIN_KEEP: &str = "Keep this login for the next time";
pub(crate) const LOGIN_NOW: &str = "Sign in";
pub(crate) const LOGIN_NOT: &str = "Not now";

/// What stands above a login that is asked for.
pub(crate) fn login_wanted(account: &str) -> String {
    format!("A login is wanted of {account}")
}

pub(crate) const FURTHER_LOGINS: &str = "Further logins";
pub(crate) const ADD_LOGIN: &str = "Add a login\u{2026}";
pub(crate) const SAVE_LOGIN: &str = "Save the login";
pub(crate) const LOGIN_REALM: &str = "Realm";
pub(crate) const LOGIN_SERVER: &str = "Server";
pub(crate) const LOGIN_IS_FOR: &str =
    "For whoever asks in the name of this realm, for this server, or for both together.";
pub(crate) const RELAY_PASSWORD: &str = "Password for the relay";
pub(crate) const SAVE_RELAY_PASSWORD: &str = "Save the password for the relay";

/// A further login in a line.
pub(crate) fn further_login(login: &Login) -> String {
    let user = login.user.reveal();
    match (&login.realm, &login.server) {
        (Some(realm), Some(server)) => format!("{user} for {realm} at {server}"),
        (Some(only), None) | (None, Some(only)) => format!("{user} for {only}"),
        (None, None) => user.to_owned(),
    }
}

/// What takes it away.
pub(crate) fn remove_login(login: &str) -> String {
    format!("Remove {login}")
}

pub(crate) const CALL_ONE_WAY: &str = "Call with sound one way";
pub(crate) const SOUND_FLOWS: &str = "Sound flows";
pub(crate) const WAYS_OF_SOUND: [&str; 4] =
    ["Both ways", "Only from you", "Only to you", "Not at all"];

pub(crate) const PASSPHRASE: &str = "Passphrase";
pub(crate) const KEEP_IN_FILE: &str = "Keep in an encrypted file";
pub(crate) const UNLOCK: &str = "Unlock";
pub(crate) const ORGANISATIONS: &str = "Organisations";
pub(crate) const ORGANISATIONS_TEXT: &str =
    "Each has its own accounts, secrets, history and trace; nothing crosses between them.";
pub(crate) const NEW_ORGANISATION: &str = "Name of a new organisation";
pub(crate) const ADD_ORGANISATION: &str = "Add";
pub(crate) const COLOUR: &str = "Colour";
pub(crate) const NAME: &str = "Name";
pub(crate) const RENAME: &str = "Rename";
pub(crate) const FORGET_HISTORY: &str = "Forget history…";
pub(crate) const ABOUT: &str = "About";
pub(crate) const ABOUT_TEXT: &str = "A softphone for many accounts of many organisations, which says why \
a call or a registration failed. Free software under MIT or Apache-2.0. Typefaces Inter and JetBrains \
Mono (OFL), icons Phosphor (MIT).";

pub(crate) fn accounts_of(n: usize) -> String {
    match n {
        0 => "No accounts".to_owned(),
        1 => "1 account".to_owned(),
        n => format!("{n} accounts"),
    }
}

// Status bar
pub(crate) fn registered(there: usize, wanted: usize) -> String {
    format!("{there} of {wanted} registered")
}
pub(crate) fn failing(n: usize) -> String {
    match n {
        1 => "1 needs a look".to_owned(),
        n => format!("{n} need a look"),
    }
}
pub(crate) const SOUND_GOOD: &str = "Sound ready";
pub(crate) const SOUND_BAD: &str = "Sound needs a look";
pub(crate) const NO_MICROPHONE: &str = "No microphone";
pub(crate) const NO_SPEAKER: &str = "No speaker";
pub(crate) const NO_SOUND: &str = "No microphone, no speaker";
pub(crate) const RECORDING: &str = "Trace on";
