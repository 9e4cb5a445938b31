//! Text messages: written, shown with what became of them, and read.

use egui::Key;
use egui_kittest::kittest::Queryable as _;
use model::*;
use ui::{Screen, Thread, ViewState, apply};

use crate::behaviour::{asked, commands, shown, typed};
use crate::pictures::{base, both, each, on};
use crate::scene::*;

fn message(id: u64, ours: bool, time: &str, text: &str, state: MessageState) -> MessageView {
    MessageView {
        id,
        tenant: TenantId::new("acme"),
        account: AccountId::new("a1"),
        direction: if ours {
            Direction::Outgoing
        } else {
            Direction::Incoming
        },
        remote: party("Bob Keller", "sip:bob@acme.example"),
        text: text.into(),
        subject: None,
        time: at(&format!("2026-11-{time}Z")),
        state,
        failure: None,
        round_trip_ms: None,
    }
}

fn some() -> Vec<MessageView> {
    use MessageState::*;
    let mut failed = message(
        7,
        true,
        "20T14:30:40",
        "And the other half at three, if the lorry comes.",
        Failed,
    );
    failed.failure = Some(
        Failure::new(FailureKind::Status {
            code: 480,
            phrase: "Temporarily Unavailable".into(),
        })
        .said_by("udp:192.0.2.17:5060 (Kamailio 5.8)"),
    );
    let mut other = message(
        8,
        false,
        "20T14:31:02",
        "Gate 4 is open until six.",
        Received,
    );
    other.tenant = TenantId::new("north");
    other.account = AccountId::new("n1");
    other.remote = party("Harbour office", "sip:200@northwind.example");
    vec![
        message(1, false, "19T17:02:11", "Are you in tomorrow?", Read),
        message(2, true, "19T17:03:40", "Yes, from eight.", Delivered),
        message(
            3,
            false,
            "20T14:21:00",
            "Half of the pallets for Hohenlohe have arrived. Do we send them on today, or do we wait for \
             the rest and send everything together?",
            Read,
        ),
        message(4, true, "20T14:22:10", "Today.", Accepted),
        message(5, true, "20T14:30:02", "I am at the gate.", Sending),
        other,
        failed,
    ]
}

fn with_messages(theme: ThemeChoice) -> ViewState {
    let mut snapshot = base(theme);
    snapshot.messages = some();
    on(Screen::Messages, snapshot)
}

fn bob() -> Option<Thread> {
    Some(Thread {
        account: AccountId::new("a1"),
        address: "sip:bob@acme.example".to_owned(),
    })
}

#[test]
fn what_became_of_each_message_is_shown() {
    both("messages", WIDE, |theme| {
        let mut state = with_messages(theme);
        state.window.messages.with = bob();
        state
    });
}

#[test]
fn messages_to_somebody_new_nothing_yet_and_a_narrow_window() {
    let mut writing = with_messages(ThemeChoice::Dark);
    writing.window.messages.writing = true;
    writing.window.messages.to = "201".to_owned();
    writing.window.messages.draft = "Lunch?".to_owned();
    let mut narrow = with_messages(ThemeChoice::Light);
    narrow.window.messages.with = bob();
    each([
        ("messages_new", WIDE, writing),
        (
            "messages_empty",
            WIDE,
            on(Screen::Messages, base(ThemeChoice::Light)),
        ),
        ("compact_message", COMPACT, narrow),
        (
            "compact_messages",
            COMPACT,
            with_messages(ThemeChoice::Dark),
        ),
    ]);
}

#[test]
fn the_tab_says_how_many_wait_and_opening_them_reads_only_these() {
    let mut state = with_messages(ThemeChoice::Dark);
    state.window.screen = Screen::Phone;
    let mut harness = shown(state);
    harness.get_by_label("Messages, 1 not read").click();
    assert_eq!(commands(&mut harness), [], "nothing was looked at yet");
    harness
        .get_by_label("Harbour office, Gate 4 is open until six., 1 not read")
        .click();
    let read = Command::MarkMessagesRead {
        account: AccountId::new("n1"),
        from: Some("sip:200@northwind.example".into()),
    };
    assert_eq!(commands(&mut harness), [read]);
    harness.run();
    assert_eq!(asked(&mut harness), [], "it is told once");
}

#[test]
fn an_answer_is_typed_and_sent_with_the_account_that_was_written_to() {
    let mut state = with_messages(ThemeChoice::Dark);
    state.window.messages.with = bob();
    let mut harness = shown(state);
    typed(&mut harness, "Message text", "On my way");
    harness.run();
    harness.key_press(Key::Enter);
    let sent = Command::SendMessage {
        account: AccountId::new("a1"),
        to: "sip:bob@acme.example".into(),
        text: "On my way".into(),
    };
    assert_eq!(commands(&mut harness), [sent]);
    assert_eq!(harness.state().state.window.messages.draft, "");
    // What was not delivered goes again as it is.
    harness.get_by_label("Send again").click();
    let again = commands(&mut harness);
    assert!(
        matches!(&again[..], [Command::SendMessage { text, .. }]
            if text.reveal().starts_with("And the other half")),
        "{again:?}"
    );
}

#[test]
fn a_message_to_somebody_new_shows_its_thread_once_it_is_on_its_way() {
    let mut harness = shown(on(Screen::Messages, base(ThemeChoice::Dark)));
    harness.get_by_label("New message").click();
    harness.run();
    typed(&mut harness, "To", "201");
    harness.run();
    typed(&mut harness, "Message text", "Lunch?");
    harness.run();
    harness.get_by_label("Send").click();
    let sent = Command::SendMessage {
        account: AccountId::new("a1"),
        to: "201".into(),
        text: "Lunch?".into(),
    };
    assert_eq!(commands(&mut harness), [sent]);
    let mut message = message(9, true, "20T14:32:07", "Lunch?", MessageState::Sending);
    message.remote = party("", "sip:201@acme.example");
    let thread = Thread::of(&message);
    let event = Event::Message {
        message: Box::new(message),
    };
    apply(&mut harness.state_mut().state, event);
    harness.run();
    let window = &harness.state().state.window.messages;
    assert_eq!((window.writing, &window.with), (false, &Some(thread)));
    assert!(harness.query_by_label("Lunch?, Sending").is_some());
}
