//! What must never be said: no password and nobody's name in a log, an event or a panic.

use std::sync::{Arc, Mutex};

use model::{
    AccountSettings, CallState, Command, Event, LampState, MessageState, RegistrationState,
    Transfer, TransferState, WatchKind,
};

use super::house::{House, PASSWORD, account, switchboard, tenant, tone};
use crate::tenant::Child;

/// Writes down everything that is logged.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<String>>);

impl tracing::field::Visit for Listener {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let mut text = self.0.lock().expect("nobody panics here");
        text.push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// That all of it was heard, and that nobody is named in it.
fn assert_discreet(log: &Mutex<String>, told: &[(String, &str)]) {
    let log = log.lock().expect("nobody panics here").clone();
    assert!(log.contains("registration"), "the log was heard");
    let masked = |(text, place): &(String, &str)| *place == "events" && text.contains("****5910@");
    assert!(told.iter().any(masked), "masked as promised");
    assert_names_nobody("log", &log);
    for (text, place) in told {
        assert_names_nobody(place, text);
    }
}

#[tokio::test]
async fn passwords_stand_in_no_log_no_event_and_no_debug_output() {
    let listener = Listener::default();
    let log = Arc::clone(&listener.0);
    let _guard = tracing::subscriber::set_default(listener);
    let mut house = House::open().await;
    house.engine.send(Command::UpdateAccount {
        account: house.id_of("alice"),
        settings: Box::new(house.account("alice").settings),
        password: Some(model::Password(PASSWORD.to_owned())),
    });
    house.until_registered(3).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    let (_switchboard, addr) = switchboard().await;
    let given = format!("{:?}", account("sip:alice@alpha.test", addr, |_| {}));
    let events = format!("{:?}", house.seen);
    let log = log.lock().expect("nobody panics here").clone();
    assert!(log.contains("registration"), "the log was heard");
    for (text, place) in [(&given, "settings"), (&events, "events"), (&log, "log")] {
        assert!(!text.contains(PASSWORD), "it stands in the {place}");
    }
    house.close().await;
}

#[tokio::test]
async fn callers_and_numbers_stand_in_no_log_and_no_debug_output() {
    let listener = Listener::default();
    let log = Arc::clone(&listener.0);
    let _guard = tracing::subscriber::set_default(listener);
    let config = switchboard::Config::open_at((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let switchboard = switchboard::Switchboard::start(config).await;
    let switchboard = switchboard.expect("a port is free");
    let (_, addr) = switchboard.local_addrs()[0];
    let named = |settings: &mut model::AccountSettings| {
        settings.display_name = "Tarleton".into();
        settings.label = "Tarleton at home".into();
        settings.headers = vec!["X-Room: the-secret-room".into()];
    };
    let given = vec![
        tenant(
            "Alpha",
            vec![account("sip:quentin.tarleton@alpha.test", addr, named)],
        ),
        tenant(
            "Beta",
            vec![account("sip:4915712345910@beta.test", addr, named)],
        ),
    ];
    let given_printed = format!("{given:?}");
    let mut house = House::start(given, tone()).await;
    house.until_registered(2).await;
    let (out, into) = house
        .talk("quentin.tarleton", "sip:4915712345910@beta.test")
        .await;
    house.engine.send(Command::SendDtmf {
        call: out,
        digits: "735190264".into(),
    });
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    let wrong = house
        .dial("quentin.tarleton", "sip:quentin.tarleton@[nowhere")
        .await;
    house.until_state(wrong, CallState::Ended).await;
    house.engine.send(Command::SendOptions {
        account: house.id_of("quentin.tarleton"),
        target: "4915712345910".into(),
    });
    house
        .until_event("the question is answered", |event| {
            matches!(event, Event::OptionsAnswered { .. }).then_some(())
        })
        .await;
    let mut settings = Box::new(house.account("quentin.tarleton").settings);
    settings.aor = "quentin tarleton".into();
    house.engine.send(Command::UpdateAccount {
        account: house.id_of("quentin.tarleton"),
        settings,
        password: None,
    });
    house.until_notice("quentin tarleton").await;
    let events = format!("{:?}", house.seen);
    let snapshot = format!("{:?}", house.engine.snapshot());
    house.close().await;
    let told = [
        (given_printed, "settings"),
        (events, "events"),
        (snapshot, "snapshot"),
    ];
    assert_discreet(&log, &told);
}

/// What nobody may find out from a log.
const SEEDS: [&str; 12] = [
    "quentin",
    "arleton",
    "491571234",
    "rosalind",
    "quillfeather",
    "nobody.in.part",
    "secret-room",
    "secret-word",
    "735190264",
    "wr0ng-canary",
    "subject-canary",
    PASSWORD,
];

fn assert_names_nobody(place: &str, text: &str) {
    let lower = text.to_lowercase();
    for seed in SEEDS {
        let before = lower.split_once(seed).map(|(before, _)| before);
        let before = before.map(|before| {
            let from = before.char_indices().rev().nth(120).map_or(0, |(at, _)| at);
            before.get(from..).unwrap_or_default()
        });
        assert_eq!(before, None, "{seed} stands in the {place}, behind this");
    }
}

/// Everything that is said to a subscriber at every level, by our crates and by those that we use, while registrations,
/// calls, transfers, messages and subscriptions come about and fail, and while actors do.
#[tokio::test]
async fn nobody_is_named_whatever_happens_and_whatever_fails() {
    const NUMBER: &str = "sip:4915712345910@beta.test";
    let listener = Listener::default();
    let log = Arc::clone(&listener.0);
    let _guard = tracing::subscriber::set_default(listener);
    let mut config = switchboard::Config::open_at((std::net::Ipv4Addr::LOCALHOST, 0).into());
    config.users = switchboard::Users::List(
        ["quentin.tarleton", "rosalind", "4915712345910"]
            .map(|user| (user.to_owned(), PASSWORD.to_owned()))
            .into(),
    );
    let switchboard = switchboard::Switchboard::start(config).await;
    let switchboard = switchboard.expect("a port is free");
    let mut happenings = switchboard.happenings();
    let (_, addr) = switchboard.local_addrs()[0];
    let named = |settings: &mut AccountSettings| {
        settings.display_name = "Quillfeather".into();
        settings.label = "Quillfeather at home".into();
        settings.headers = vec!["X-Room: the-secret-room".into()];
        settings.reg_event = true;
        settings.mwi = true;
        settings.publish_presence = true;
        settings.watch = WatchKind::Both;
        settings.watched = vec![NUMBER.into(), "nobody.in.particular".into()];
    };
    let given = vec![
        tenant(
            "Alpha",
            vec![
                account("sip:quentin.tarleton@alpha.test", addr, named),
                account("sip:rosalind@alpha.test", addr, |_| {}),
            ],
        ),
        tenant("Beta", vec![account(NUMBER, addr, |_| {})]),
    ];
    let given_printed = format!("{given:?}");
    let mut house = House::start(given, tone()).await;
    house.until_registered(3).await;

    // Subscriptions, one of which leads nowhere.
    house
        .until("a lamp is lit", |s| {
            let lit = |a: &model::AccountView| a.lamps.iter().any(|l| l.lamp == LampState::Idle);
            s.accounts.iter().any(lit).then_some(())
        })
        .await;

    // Messages: one that arrives, one that does not.
    for (to, wanted) in [
        (NUMBER, MessageState::Delivered),
        ("sip:nobody.in.particular@alpha.test", MessageState::Failed),
    ] {
        house.engine.send(Command::SendMessage {
            account: house.id_of("quentin.tarleton"),
            to: to.into(),
            text: "the-secret-word".into(),
        });
        house
            .until("the message has ended", |s| {
                s.messages.iter().any(|m| m.state == wanted).then_some(())
            })
            .await;
    }

    // Calls both ways, one with digits, one that is transferred, and those that come to nothing.
    let (out, into) = house
        .talk("4915712345910", "sip:quentin.tarleton@alpha.test")
        .await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    let (out, into) = house.talk("quentin.tarleton", NUMBER).await;
    house.engine.send(Command::SendDtmf {
        call: out,
        digits: "735190264".into(),
    });
    house.engine.send(Command::TransferCall {
        call: into,
        target: "sip:nobody.in.particular@[nowhere".into(),
    });
    house.engine.send(Command::TransferCall {
        call: into,
        target: "sip:rosalind@alpha.test".into(),
    });
    house
        .until("a transfer is asked for", |s| {
            let view = s.calls.iter().find(|c| c.id == out)?;
            matches!(view.transfer, Some(Transfer::Wanted { .. })).then_some(())
        })
        .await;
    house.engine.send(Command::AnswerTransfer {
        call: out,
        accept: true,
    });
    let third = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call: third });
    house
        .until("the transfer is done", |s| {
            let view = s.calls.iter().find(|c| c.id == into)?;
            let done = matches!(&view.transfer, Some(Transfer::Ours { state, .. }) if *state == TransferState::Done);
            done.then_some(())
        })
        .await;
    house.until_state(out, CallState::Ended).await;
    for target in [
        "sip:nobody.in.particular@alpha.test",
        "sip:quentin.tarleton@[nowhere",
        "sip:nobody.in.particular@nowhere.invalid:1",
    ] {
        let failed = house.dial("quentin.tarleton", target).await;
        house.until_state(failed, CallState::Ended).await;
    }

    // Parts of us fail, and say with what they did.
    house.crash("rosalind", Child::Dialog(third));
    house.until_state(third, CallState::Ended).await;
    let quentin = house.id_of("quentin.tarleton");
    house.crash("quentin.tarleton", Child::Account(quentin.clone()));
    house.until_notes("and is started again", 1).await;

    // A registration that is refused, and settings that cannot be used.
    let mut settings = Box::new(house.account("quentin.tarleton").settings);
    house.engine.send(Command::UpdateAccount {
        account: quentin.clone(),
        settings: settings.clone(),
        password: Some(model::Password("wr0ng-canary".to_owned())),
    });
    house
        .until("the registration is refused", |s| {
            let refused =
                |a: &model::AccountView| a.id == quentin && a.state == RegistrationState::Refused;
            s.accounts.iter().any(refused).then_some(())
        })
        .await;
    settings.proxy = Some("sip:quentin.tarleton@[nowhere".into());
    house.engine.send(Command::UpdateAccount {
        account: quentin,
        settings,
        password: None,
    });
    house.until_notice("quentin.tarleton").await;

    let events = format!("{:?}", house.seen);
    let snapshot = format!("{:?}", house.engine.snapshot());
    house.close().await;
    let mut happened = String::new();
    while let Ok(happening) = happenings.try_recv() {
        happened.push_str(&format!("{happening:?}\n"));
    }
    let told = [
        (given_printed, "settings"),
        (events, "events"),
        (snapshot, "snapshot"),
        (happened, "words of the switchboard"),
    ];
    assert_discreet(&log, &told);
}
