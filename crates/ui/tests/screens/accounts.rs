//! What can be seen of an account and done with it beside its registration: calls that come in, people who are
//! watched, its own presence, its codecs, and what happened to it.

use egui::Key;
use egui_kittest::kittest::Queryable as _;
use model::*;
use ui::{AccountForm, Screen, ViewState};

use crate::behaviour::{Shown, commands, place, shown, typed};
use crate::pictures::{base, both, each, on};
use crate::scene::*;

/// An account with everything around it.
fn busy(theme: ThemeChoice) -> Snapshot {
    let mut snapshot = base(theme);
    let account = &mut snapshot.accounts[0];
    account.settings.calls.do_not_disturb = DoNotDisturb::Busy;
    account.settings.calls.forward_no_answer = Some("reception-2".into());
    account.waiting = Some(WaitingView {
        waiting: true,
        new: 3,
        urgent: 1,
        mailbox: Some("sip:*97@acme.example".into()),
        at: at("2026-11-20T13:40:00Z"),
        ..WaitingView::default()
    });
    account.lamps = lamps();
    account.presence = Some(OwnPresence {
        published: true,
        on_the_phone: true,
        note: "In the warehouse until three".into(),
        ..OwnPresence::default()
    });
    account.watched_since = at("2026-11-19T14:00:00Z");
    account.up_ms = 60_000_000;
    account.marks = marks();
    snapshot.accounts[1].settings.calls.forward_always = Some("reception".into());
    snapshot
}

fn lamps() -> Vec<LampView> {
    let lamp = |watched: &str, lamp| LampView {
        watched: watched.into(),
        lamp,
        ..LampView::default()
    };
    let mut ringing = lamp("202", LampState::Ringing);
    ringing.calls = vec![LampCall {
        id: "1".to_owned(),
        lamp: LampState::Ringing,
        remote: Some(party("Harbour office", "sip:200@northwind.example")),
        call_id: Some("f3a1@192.0.2.91".to_owned()),
        local_tag: Some("theirs".to_owned()),
        remote_tag: Some("callers".to_owned()),
        target: Some("sip:202@192.0.2.91:5060".into()),
    }];
    let mut talking = lamp("sip:carol@acme.example", LampState::Talking);
    talking.presence = Some(PresenceView {
        open: Some(true),
        activities: vec!["on-the-phone".to_owned()],
        note: Some("Back at two".into()),
    });
    let mut unknown = lamp("204", LampState::Unknown);
    unknown.sentence = Some("The server knows no such event (489 Bad Event).".into());
    vec![lamp("201", LampState::Idle), ringing, talking, unknown]
}

fn marks() -> Vec<RegistrationMark> {
    use RegistrationState::*;
    let mark = |time: &str, state, text: Option<&str>| RegistrationMark {
        time: at(&format!("2026-11-{time}Z")),
        state,
        text: text.map(Into::into),
    };
    vec![
        mark("19T14:00:00", Trying, None),
        mark("19T14:00:01", Registered, None),
        mark(
            "20T06:11:40",
            Silent,
            Some("Server silent: no answer from udp:192.0.2.17:5060 in 32 s."),
        ),
        mark("20T06:12:10", Trying, None),
        mark(
            "20T06:12:12",
            Refused,
            Some("Password not accepted (401 Unauthorized). Said by udp:192.0.2.17:5060."),
        ),
        mark("20T08:02:10", Trying, Some("A person asked for it.")),
        mark(
            "20T08:02:11",
            Registered,
            Some("By udp:192.0.2.17:5060, for 600 s."),
        ),
    ]
}

fn looking_at(id: &str, snapshot: Snapshot) -> ViewState {
    let mut state = on(Screen::Accounts, snapshot);
    state.window.account = Some(AccountId::new(id));
    state
}

fn reception() -> Shown {
    let mut harness = harness(looking_at("a1", busy(ThemeChoice::Dark)), [1100.0, 1300.0]);
    harness.run();
    harness
}

/// What an account is changed to when only its policies are.
fn changed(harness: &mut Shown) -> CallPolicies {
    let asked = commands(harness);
    let [
        Command::UpdateAccount {
            settings,
            password: None,
            ..
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    let before = &harness.state().state.data.accounts[0].settings;
    let rest = AccountSettings {
        calls: before.calls.clone(),
        ..(**settings).clone()
    };
    assert_eq!(rest, *before, "nothing else is changed");
    settings.calls.clone()
}

#[test]
fn account_with_people_calls_and_log() {
    both("account_people", [1100.0, 1300.0], |theme| {
        looking_at("a1", busy(theme))
    });
}

#[test]
fn lamps_and_badges_in_the_list_and_in_a_narrow_window() {
    let mut high = looking_at(
        "a1",
        themed(busy(ThemeChoice::Dark), ThemeChoice::HighContrast, 1.0),
    );
    high.window.screen = Screen::Phone;
    each([
        ("contrast_lamps", WIDE, high),
        (
            "compact_account_people",
            [360.0, 900.0],
            looking_at("a1", busy(ThemeChoice::Light)),
        ),
        (
            "phone_lamps",
            WIDE,
            on(Screen::Phone, busy(ThemeChoice::Light)),
        ),
    ]);
}

/// The form of the first account with these parts open.
fn opened(state: &ViewState, parts: &[&'static str]) -> AccountForm {
    let mut form = AccountForm::edit(&state.data.accounts[0]);
    form.advanced = true;
    form.open.extend(parts);
    form
}

fn saved(harness: &mut Shown) -> AccountSettings {
    harness.get_by_label("Save").click();
    let asked = commands(harness);
    let [Command::UpdateAccount { settings, .. }] = &asked[..] else {
        panic!("{asked:?}");
    };
    (**settings).clone()
}

#[test]
fn parts_of_the_form_unfold_by_click_and_key_and_say_what_is_set() {
    let mut state = on(Screen::Accounts, base(ThemeChoice::Dark));
    state.window.form = Some(opened(&state, &[]));
    let mut harness = harness(state, [900.0, 1400.0]);
    harness.run();
    assert!(harness.query_by_label("STUN server").is_none());
    harness.get_by_label("Network").click();
    harness.run();
    typed(&mut harness, "STUN server", "stun.example.com");
    harness.get_by_label("Calls").focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    harness.get_by_label("Call anonymously").click();
    harness.run();
    harness.get_by_label("Sound and encryption").click();
    harness.run();
    // Where nothing is encrypted there are no keys to speak of.
    assert!(
        harness
            .query_by_label("Keys: By a handshake (DTLS)")
            .is_none()
    );
    harness.get_by_label("Media encryption: Required").click();
    harness.run();
    harness.get_by_label("Keys: By a handshake (DTLS)").click();
    harness.run();
    let settings = saved(&mut harness);
    assert_eq!(settings.stun, Some("stun.example.com".into()));
    assert!(settings.calls.anonymous);
    let encryption = (settings.srtp, settings.srtp_keys);
    assert_eq!(encryption, (SrtpPolicy::Required, SrtpKeys::Dtls));
}

#[test]
fn a_part_with_a_fault_in_it_opens_when_it_is_to_be_saved() {
    let mut state = on(Screen::Accounts, base(ThemeChoice::Dark));
    let mut form = opened(&state, &[]);
    *form.typed("Further proxies") = "sip:one.example.com\nhttp://two".to_owned();
    state.window.form = Some(form);
    let mut harness = harness(state, [900.0, 1400.0]);
    harness.run();
    harness.get_by_label("Save").click();
    assert_eq!(commands(&mut harness), []);
    harness.run();
    harness.get_by_label("A proxy looks like sip:proxy.example.com:5061;transport=tls;lr.");
    let form = harness.state_mut().state.window.form.as_mut();
    *form.expect("it stays").typed("Further proxies") =
        "one.example.com\n\ntwo.example.com".to_owned();
    harness.run();
    let wanted = ["sip:one.example.com", "sip:two.example.com"];
    assert_eq!(saved(&mut harness).more_proxies, wanted);
}

#[test]
fn account_form_parts() {
    let make = |theme, parts: &[&'static str], scale| {
        let mut state = on(Screen::Accounts, themed(base(theme), theme, scale));
        state.data.accounts[0].settings.header_rules = vec!["out * set User-Agent: Desk 7".into()];
        state.data.accounts[0].settings.srtp = SrtpPolicy::Required;
        state.window.form = Some(opened(&state, parts));
        state
    };
    let dark = ThemeChoice::Dark;
    each([
        (
            "account_form_parts",
            WIDE,
            make(ThemeChoice::Light, &[], 1.0),
        ),
        ("account_form_network", WIDE, make(dark, &["Network"], 1.0)),
        (
            "account_form_calls",
            [900.0, 1100.0],
            make(dark, &["Calls", "Headers"], 1.0),
        ),
        (
            "account_form_server",
            [900.0, 1200.0],
            make(ThemeChoice::Light, &["Server and transport"], 1.0),
        ),
        (
            "compact_account_form",
            [360.0, 1000.0],
            make(dark, &["Sound and encryption"], 1.0),
        ),
        (
            "text_200_account_form",
            [700.0, 1100.0],
            make(dark, &["Sound and encryption"], 2.0),
        ),
    ]);
}

#[test]
fn account_form_with_codecs() {
    let mut state = on(Screen::Accounts, base(ThemeChoice::Dark));
    state.window.form = Some(opened(&state, &["Sound and encryption"]));
    each([("account_form_codecs", [900.0, 1200.0], state)]);
}

#[test]
fn not_to_be_disturbed_is_one_click_beside_the_account_to_call_with() {
    let mut harness = shown(on(Screen::Phone, base(ThemeChoice::Dark)));
    harness.get_by_label("Do not disturb").click();
    assert_eq!(changed(&mut harness).do_not_disturb, DoNotDisturb::Busy);
    let mut harness = shown(on(Screen::Phone, busy(ThemeChoice::Dark)));
    harness.get_by_label("Do not disturb").click();
    assert_eq!(changed(&mut harness).do_not_disturb, DoNotDisturb::Off);
}

#[test]
fn what_callers_hear_and_who_answers_is_chosen_on_the_account() {
    let mut harness = reception();
    harness.get_by_label("Callers hear: Not available").click();
    let calls = changed(&mut harness);
    assert_eq!(calls.do_not_disturb, DoNotDisturb::Unavailable);
    harness
        .get_by_label("Answered: When the caller asks")
        .click();
    assert_eq!(changed(&mut harness).auto_answer, AutoAnswer::WhenAsked);
}

#[test]
fn forwarding_is_typed_checked_and_saved_as_a_whole() {
    let mut harness = reception();
    assert!(harness.query_by_label("Save forwarding").is_none());
    typed(&mut harness, "Forward all", "the boss");
    harness.run();
    let words = "Forward to a number or an address without blanks.";
    assert!(harness.query_by_label(words).is_some());
    harness.get_by_label("Save forwarding").click();
    assert_eq!(commands(&mut harness), []);
    harness
        .state_mut()
        .state
        .window
        .forward
        .as_mut()
        .expect("typed")
        .typed[0] = "boss".to_owned();
    harness.run();
    harness.get_by_label("Save forwarding").click();
    let calls = changed(&mut harness);
    assert_eq!(calls.forward_always.expect("set").reveal(), "boss");
    assert_eq!(
        calls.forward_no_answer.expect("kept").reveal(),
        "reception-2"
    );
}

#[test]
fn a_ringing_lamp_is_picked_up_by_a_click_and_another_one_is_ready_to_be_called() {
    let mut harness = shown(on(Screen::Phone, busy(ThemeChoice::Dark)));
    harness
        .get_by_label("202, Rings, with Harbour office, Pick up")
        .click();
    let taken = Command::PickUp {
        account: AccountId::new("a1"),
        target: "sip:202@192.0.2.91:5060".into(),
        dialog: DialogName {
            call_id: "f3a1@192.0.2.91".to_owned(),
            local_tag: "theirs".to_owned(),
            remote_tag: "callers".to_owned(),
        },
    };
    assert_eq!(commands(&mut harness), std::slice::from_ref(&taken));
    harness.get_by_label("201, Free").click();
    assert_eq!(commands(&mut harness), [], "nobody is called by looking");
    assert_eq!(harness.state().state.window.dial, "201");
    let mut harness = reception();
    harness.get_by_label("Pick up").click();
    assert_eq!(commands(&mut harness), [taken]);
}

#[test]
fn the_list_says_what_waits_and_where_calls_go() {
    let harness = shown(on(Screen::Phone, busy(ThemeChoice::Dark)));
    for words in [
        "Reception, Registered, Voice messages: 3 new, 1 urgent, Do not disturb",
        "Support line, Registered, Forwards to reception",
        "carol@acme.example, Talks  ·  on the phone \u{201c}Back at two\u{201d}",
    ] {
        assert!(harness.query_by_label(words).is_some(), "{words}");
    }
}

#[test]
fn the_mailbox_is_called_by_a_click() {
    let mut harness = reception();
    harness.get_by_label("Listen").click();
    assert_eq!(
        commands(&mut harness),
        [place("a1", "sip:*97@acme.example")]
    );
}

#[test]
fn presence_is_chosen_with_a_word() {
    let mut harness = reception();
    harness
        .get_by_label("What others are told of you: Away")
        .click();
    let told = |state, note: &str| Command::SetPresence {
        account: Some(AccountId::new("a1")),
        state,
        note: note.into(),
    };
    let kept = "In the warehouse until three";
    assert_eq!(commands(&mut harness), [told(PresenceState::Away, kept)]);
    let field = "A word with it, if you like";
    typed(&mut harness, field, " or so");
    harness.run();
    harness.key_press(Key::Enter);
    let asked = commands(&mut harness);
    assert!(
        matches!(&asked[..], [Command::SetPresence { note, .. }] if note.reveal().contains("or so")),
        "{asked:?}"
    );
}

#[test]
fn what_happened_to_a_registration_is_told_with_times_and_reasons() {
    let mut harness = reception();
    let refused =
        "06:12:12 Refused Password not accepted (401 Unauthorized). Said by udp:192.0.2.17:5060.";
    assert!(harness.query_by_label(refused).is_some());
    let first = "2026-11-19 14:00 Trying";
    assert!(harness.query_by_label(first).is_none());
    harness.get_by_label("Show all 7").click();
    harness.run();
    assert!(harness.query_by_label(first).is_some());
    let share = "What happened  ·  registered for 94.4 % of 25 h";
    assert!(harness.query_by_label(share).is_some());
}

#[test]
fn codecs_are_switched_on_and_off_and_put_in_order() {
    let mut state = on(Screen::Accounts, base(ThemeChoice::Dark));
    state.window.form = Some(opened(&state, &["Sound and encryption"]));
    let mut harness = harness(state, [900.0, 1300.0]);
    harness.run();
    harness.get_by_label("G.722").click();
    harness.run();
    for _ in 0..2 {
        harness.get_by_label("Prefer G.722 more").click();
        harness.run();
    }
    harness.get_by_label("G.711 µ-law").click();
    harness.run();
    harness.get_by_label("Save").click();
    let asked = commands(&mut harness);
    let [Command::UpdateAccount { settings, .. }] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(settings.codecs, ["opus", "g722", "pcma"]);
}

#[test]
fn an_account_without_codecs_is_not_saved() {
    let mut state = on(Screen::Accounts, base(ThemeChoice::Dark));
    let mut form = AccountForm::edit(&state.data.accounts[0]);
    form.settings.codecs.clear();
    state.window.form = Some(form);
    let mut harness = harness(state, [900.0, 1500.0]);
    harness.run();
    harness.get_by_label("Save").click();
    assert_eq!(commands(&mut harness), []);
    harness.run();
    let words = "At least one codec must be on, and all must be known.";
    assert!(harness.query_by_label(words).is_some());
}
