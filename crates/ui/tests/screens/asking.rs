//! What the window asks: it never takes the keyboard from who is typing, and is answered with it.

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use model::*;
use ui::{Screen, apply};

use crate::behaviour::{Shown, asked, commands, shown, talking, typed};
use crate::pictures::{base, each, on};
use crate::scene::*;

/// Somebody types a number, and this happens.
fn while_typing(event: Event) -> Shown {
    let mut harness = shown(on(Screen::Phone, base(ThemeChoice::Dark)));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    harness.run();
    harness.get_by_label("Number or address").type_text("12");
    harness.run();
    apply(&mut harness.state_mut().state, event);
    harness.run();
    assert!(harness.get_by_label("Number or address").is_focused());
    harness.get_by_label("Number or address").type_text("34");
    assert_eq!(asked(&mut harness), []);
    assert_eq!(harness.state().state.window.dial, "1234");
    harness
}

/// Presses Tab until this has the keyboard, then Enter.
fn press(harness: &mut Shown, label: &str) {
    for _ in 0..60 {
        harness.key_press(Key::Tab);
        harness.run();
        if harness
            .query_all_by_label(label)
            .any(|node| node.is_focused())
        {
            harness.key_press(Key::Enter);
            harness.run();
            return;
        }
    }
    panic!("{label} is not reached");
}

fn changed(call: CallView) -> Event {
    Event::Call {
        call: Box::new(call),
    }
}

fn untrusted() -> CallView {
    let mut failure = Failure::new(FailureKind::Network {
        step: NetworkStep::Tls,
        detail: "the certificate is signed by itself".into(),
    });
    failure.certificate = Some(Box::new(self_signed()));
    let carol = party("Carol", "sip:carol@acme.example");
    CallView {
        ended_at: Some(at("2026-11-20T14:32:00Z")),
        failure: Some(failure),
        ..call(7, "a1", "acme", carol, CallState::Ended)
    }
}

#[test]
fn where_a_call_goes_on_is_chosen_with_the_keyboard() {
    let mut harness = while_typing(changed(sent_on(talking())));
    press(&mut harness, "Call desk");
    let follow = Command::FollowRedirect {
        call: CallId(1),
        target: 1,
    };
    assert_eq!(commands(&mut harness), [follow]);
}

#[test]
fn a_transfer_that_is_wished_for_is_decided_with_the_keyboard() {
    let mut harness = while_typing(changed(CallView {
        transfer: Some(Transfer::Wanted {
            target: party("Carol", "sip:carol@acme.example"),
            by: None,
        }),
        ..talking()
    }));
    press(&mut harness, "Stay here");
    let stay = Command::AnswerTransfer {
        call: CallId(1),
        accept: false,
    };
    assert_eq!(commands(&mut harness), [stay]);
}

#[test]
fn a_certificate_that_ended_a_call_is_trusted_with_the_keyboard() {
    let mut harness = while_typing(changed(untrusted()));
    press(&mut harness, "Trust this certificate…");
    assert_eq!(commands(&mut harness), []);
    press(&mut harness, "Trust");
    let trust = Command::TrustCertificate {
        tenant: TenantId::new("acme"),
        host: "pbx.acme.example".to_owned(),
        fingerprint: ["AB"; 32].join(":"),
    };
    assert_eq!(commands(&mut harness), [trust]);
}

/// A server wants a login of the first account.
fn login_wanted() -> LoginWanted {
    LoginWanted {
        id: QuestionId(7),
        account: AccountId::new("a1"),
        realm: "pbx.acme.example".to_owned(),
        server: Some("192.0.2.10:5060".to_owned()),
        user: "alice".into(),
        refused: false,
        purpose: LoginPurpose::Call,
        call: Some(CallId(1)),
        since: at("2026-11-20T14:32:05Z"),
    }
}

#[test]
fn a_login_that_is_asked_for_is_given_with_the_keyboard() {
    let mut harness = while_typing(Event::LoginWanted {
        login: Box::new(login_wanted()),
    });
    let sentence = "asks for a login for “pbx.acme.example”";
    assert!(
        harness
            .query_all_by_label_contains(sentence)
            .next()
            .is_some()
    );
    typed(&mut harness, "User name", "-2");
    harness.get_by_label("Password").focus();
    harness.run();
    harness.get_by_label("Password").type_text("s3cret");
    harness.run();
    press(&mut harness, "Sign in");
    let answer = |keep| Command::AnswerLogin {
        question: QuestionId(7),
        user: Some("alice-2".into()),
        password: Password("s3cret".to_owned()),
        keep,
    };
    // Nobody's password stays who has not said so.
    assert_eq!(commands(&mut harness), [answer(false)]);

    let mut harness = while_typing(Event::LoginWanted {
        login: Box::new(login_wanted()),
    });
    typed(&mut harness, "User name", "-2");
    harness.get_by_label("Password").focus();
    harness.run();
    harness.get_by_label("Password").type_text("s3cret");
    harness.run();
    press(&mut harness, "Keep this login for the next time");
    press(&mut harness, "Sign in");
    assert_eq!(commands(&mut harness), [answer(true)]);
}

#[test]
fn a_login_that_is_not_given_is_declined_and_the_question_goes() {
    let mut harness = while_typing(Event::LoginWanted {
        login: Box::new(login_wanted()),
    });
    press(&mut harness, "Not now");
    let decline = Command::DeclineLogin {
        question: QuestionId(7),
    };
    assert_eq!(commands(&mut harness), [decline]);
    let settled = Event::LoginSettled {
        login: Box::new(login_wanted()),
    };
    apply(&mut harness.state_mut().state, settled);
    harness.run();
    assert!(harness.query_all_by_label("Not now").next().is_none());
}

/// The page of the first account, with these further logins.
fn page_of(logins: Vec<Login>, relay_user: Option<&str>) -> Shown {
    let mut snapshot = snapshot();
    let account = &mut snapshot.accounts[0];
    account.settings.logins = logins;
    account.settings.turn_user = relay_user.map(Into::into);
    let id = account.id.clone();
    let mut state = state_of(snapshot);
    state.window.screen = Screen::Accounts;
    state.window.account = Some(id);
    shown(state)
}

/// Presses the button of this name with the keyboard, wherever on the page it stands.
fn press_below(harness: &mut Shown, name: &str) {
    harness.get_by_label(name).focus();
    harness.run();
    harness.key_press(egui::Key::Enter);
    harness.run();
}

#[test]
fn a_further_login_is_added_with_the_keyboard_and_taken_away_again() {
    let login = Login {
        realm: Some("pbx.acme.example".to_owned()),
        server: None,
        user: "alice-2".into(),
    };
    let mut harness = page_of(Vec::new(), None);
    let account = harness.state().state.data.accounts[0].id.clone();
    press_below(&mut harness, "Add a login\u{2026}");
    for (field, text) in [("User name", "alice-2"), ("Realm", " pbx.acme.example ")] {
        typed(&mut harness, field, text);
    }
    // Without its password there is nothing to keep.
    press_below(&mut harness, "Save the login");
    assert_eq!(commands(&mut harness), []);
    harness.get_by_label("Password").focus();
    harness.run();
    harness.get_by_label("Password").type_text("s3cret");
    harness.run();
    press_below(&mut harness, "Save the login");
    let set = Command::SetLogin {
        account: account.clone(),
        login: login.clone(),
        password: Some(Password("s3cret".to_owned())),
    };
    assert_eq!(commands(&mut harness), [set]);
    assert!(harness.query_by_label("Save the login").is_none());

    let mut harness = page_of(vec![login], None);
    press_below(&mut harness, "Remove alice-2 for pbx.acme.example");
    let remove = Command::RemoveLogin {
        account,
        realm: Some("pbx.acme.example".to_owned()),
        server: None,
    };
    assert_eq!(commands(&mut harness), [remove]);
}

#[test]
fn a_relay_with_a_user_of_its_own_is_given_its_password() {
    let mut harness = page_of(Vec::new(), None);
    assert!(harness.query_by_label("Password for the relay").is_none());
    harness = page_of(Vec::new(), Some("relay-7"));
    let account = harness.state().state.data.accounts[0].id.clone();
    harness.get_by_label("Password for the relay").focus();
    harness.run();
    harness
        .get_by_label("Password for the relay")
        .type_text("s3cret");
    harness.run();
    press_below(&mut harness, "Save the password for the relay");
    let set = Command::SetRelayPassword {
        account,
        password: Password("s3cret".to_owned()),
    };
    assert_eq!(commands(&mut harness), [set]);
}

#[test]
fn an_error_stays_until_it_is_put_away_with_the_keyboard() {
    let text = "The address 192.0.2.5:5060 is taken by another program.";
    let mut harness = while_typing(Event::Notice {
        notice: Notice {
            time: at("2026-11-20T14:32:05Z"),
            level: NoticeLevel::Error,
            tenant: None,
            text: text.into(),
        },
    });
    harness.state_mut().now = at("2026-11-20T18:00:00Z");
    harness.run();
    assert!(harness.query_all_by_label(text).next().is_some());
    press(&mut harness, "Dismiss");
    assert!(harness.query_all_by_label(text).next().is_none());
}

#[test]
fn phone_after_a_call_with_an_untrusted_server() {
    let mut snapshot = base(ThemeChoice::Light);
    snapshot.calls = vec![untrusted()];
    each([("phone_untrusted", WIDE, on(Screen::Phone, snapshot))]);
}
