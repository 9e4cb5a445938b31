//! The people, accounts and calls that the tests show, and the harness that shows them.

use egui_kittest::{Harness, SnapshotOptions};
use model::*;
use ui::{Action, Live, ViewState, apply, install, show};

pub(crate) use crate::traffic::*;

/// What a test runs: a view, its clock, and what was asked for so far.
pub(crate) struct App {
    pub(crate) state: ViewState,
    pub(crate) now: Timestamp,
    pub(crate) actions: Vec<Action>,
}

pub(crate) const WIDE: [f32; 2] = [1100.0, 700.0];
pub(crate) const COMPACT: [f32; 2] = [360.0, 560.0];

pub(crate) fn harness(state: ViewState, size: [f32; 2]) -> Harness<'static, App> {
    let preferences = state.data.preferences;
    let app = App {
        state,
        now: now(),
        actions: Vec::new(),
    };
    Harness::builder()
        .with_size(size)
        .with_options(
            // Drivers round the edges of letters and circles differently; a real change moves more.
            SnapshotOptions::new().threshold(1.2).max_failed_pixels(60),
        )
        .with_context_setup(move |ctx| install(ctx, &preferences))
        .build_ui_state(
            |ui, app: &mut App| {
                // The harness draws inside a panel with margins; the window has none.
                let whole = ui.ctx().content_rect();
                let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(whole));
                ui.set_clip_rect(whole);
                let levels = |call: CallId| Levels {
                    capture: 0.12,
                    playout: if call.0.is_multiple_of(2) { 0.05 } else { 0.4 },
                };
                let live = Live {
                    now: app.now,
                    levels: &levels,
                    devices: Levels {
                        capture: 0.12,
                        playout: 0.05,
                    },
                };
                let actions = show(&mut ui, &mut app.state, &live);
                app.actions.extend(actions);
            },
            app,
        )
}

/// The time that it is in the scene.
pub(crate) fn now() -> Timestamp {
    at("2026-11-20T14:32:07Z")
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

/// A certificate that nobody vouches for.
pub(crate) fn self_signed() -> CertificateView {
    CertificateView {
        host: "pbx.acme.example".to_owned(),
        fingerprint: ["AB"; 32].join(":"),
        fault: CertificateFault::SelfSigned,
        subject: "CN=pbx.acme.example".to_owned(),
        issuer: "CN=pbx.acme.example".to_owned(),
        names: Vec::new(),
        not_before: Timestamp(0),
        not_after: Timestamp(0),
        remembered: None,
    }
}

/// A call of ours that is sent to one of two other places.
pub(crate) fn sent_on(call: CallView) -> CallView {
    CallView {
        state: CallState::Trying,
        redirect: Some(Redirect {
            targets: vec![
                party("", "sip:mobile@acme.example"),
                party("", "sip:desk@acme.example"),
            ],
            followed: None,
        }),
        ..call
    }
}

pub(crate) fn tenant(id: &str, name: &str, colour: u8) -> TenantView {
    TenantView {
        id: TenantId::new(id),
        name: name.to_owned(),
        colour,
        degraded: false,
        bind: None,
        traffic: model::Traffic::default(),
        trusted: Vec::new(),
    }
}

pub(crate) fn account(
    id: &str,
    tenant: &str,
    label: &str,
    aor: &str,
    state: RegistrationState,
) -> AccountView {
    let registered = state == RegistrationState::Registered;
    let settings = AccountSettings {
        label: label.into(),
        codecs: ["opus", "pcmu", "pcma"].map(str::to_owned).to_vec(),
        ..AccountSettings::new(aor)
    };
    let since = at("2026-11-20T08:02:11Z");
    AccountView {
        state,
        expires_at: registered.then(|| at("2026-11-20T14:40:30Z")),
        target: registered.then(|| "udp:192.0.2.17:5060".to_owned()),
        mapped: registered.then(|| "198.51.100.23:49210".to_owned()),
        round_trip_ms: registered.then_some(18.4),
        ..AccountView::new(AccountId::new(id), TenantId::new(tenant), settings, since)
    }
}

pub(crate) fn refused() -> Failure {
    Failure::new(FailureKind::Status {
        code: 403,
        phrase: "Forbidden".into(),
    })
    .registering()
    .said_by("udp:203.0.113.9:5060 (Kamailio 5.8)")
}

/// Two organisations and a club, with one account in each state that matters.
pub(crate) fn snapshot() -> Snapshot {
    use RegistrationState as S;
    let mut accounts = vec![
        account(
            "a1",
            "acme",
            "Reception",
            "sip:reception@acme.example",
            S::Registered,
        ),
        account(
            "a2",
            "acme",
            "Support line",
            "sip:support@acme.example",
            S::Registered,
        ),
        account(
            "a3",
            "acme",
            "Warehouse",
            "sip:4711@pbx.acme.example",
            S::Refused,
        ),
        account(
            "n1",
            "north",
            "",
            "sip:dora@northwind.example",
            S::Registered,
        ),
        account(
            "n2",
            "north",
            "Fax gateway",
            "sip:fax@northwind.example",
            S::Silent,
        ),
        account(
            "n3",
            "north",
            "Night desk",
            "sip:night@northwind.example",
            S::Trying,
        ),
        account(
            "c1",
            "club",
            "Clubhouse",
            "sip:club@voip.example.org",
            S::Off,
        ),
    ];
    accounts[2].failure = Some(refused());
    accounts[4].failure = Some(
        Failure::new(FailureKind::NoAnswer { asked: None })
            .registering()
            .said_by("udp:198.51.100.40:5060"),
    );
    accounts[4].retry_at = Some(at("2026-11-20T14:32:47Z"));
    Snapshot {
        tenants: vec![
            tenant("acme", "Acme GmbH", 0),
            tenant("north", "Northwind Logistics", 2),
            tenant("club", "Rowing Club", 1),
        ],
        accounts,
        calls: Vec::new(),
        messages: Vec::new(),
        history: history(),
        trace: Vec::new(),
        logins: Vec::new(),
        devices: DevicesView {
            without_microphone: false,
            without_speaker: false,
            capture: vec![
                device("hw:0", "Jabra Evolve2 65"),
                device("hw:1", "Built-in microphone"),
            ],
            playout: vec![
                device("hw:0", "Jabra Evolve2 65"),
                device("hw:2", "HDMI output"),
            ],
            chosen_capture: Some(DeviceId::new("hw:0")),
            chosen_playout: None,
            chosen_ringer: None,
            speaker_volume: Volume::default(),
            microphone_gain: Volume::default(),
            chosen_tones: None,
            tones: Vec::new(),
            test: model::SoundTest::Ring,
            warning: None,
            testing: false,
        },
        secrets: model::SecretsView::default(),
        notices: Vec::new(),
        preferences: Preferences {
            theme: ThemeChoice::Dark,
            text_scale: 1.0,
        },
    }
}

fn device(id: &str, name: &str) -> DeviceView {
    DeviceView {
        id: DeviceId::new(id),
        name: name.to_owned(),
    }
}

pub(crate) fn party(display: &str, uri: &str) -> Party {
    Party {
        display: Some(display).filter(|d| !d.is_empty()).map(Into::into),
        uri: uri.into(),
    }
}

#[allow(clippy::type_complexity, reason = "a table that is written once")]
fn history() -> Vec<HistoryEntry> {
    use {Direction::*, Outcome::*};
    let rows: [(
        &str,
        &str,
        Party,
        Direction,
        Outcome,
        &str,
        u64,
        Option<&str>,
    ); 10] = [
        (
            "a1",
            "acme",
            party("Bob Keller", "sip:bob@acme.example"),
            Incoming,
            Answered,
            "2026-11-20T14:20:41Z",
            252_000,
            None,
        ),
        (
            "a2",
            "acme",
            party("", "sip:+4930901820@acme.example"),
            Outgoing,
            Answered,
            "2026-11-20T13:58:02Z",
            3_753_000,
            None,
        ),
        (
            "n1",
            "north",
            party("Harbour office", "sip:200@northwind.example"),
            Incoming,
            Missed,
            "2026-11-20T13:12:30Z",
            0,
            None,
        ),
        (
            "n1",
            "north",
            party("", "sip:00442079460000@northwind.example"),
            Outgoing,
            Failed,
            "2026-11-20T11:47:19Z",
            0,
            Some(
                "Number unknown: The server knows nobody by this number or name (404 Not Found). Said by udp:192.0.2.40:5060. Check the number.",
            ),
        ),
        (
            "a1",
            "acme",
            party(
                "Dr. Annegret Wiesenthal-Oppenheimer von Hohenlohe",
                "sip:wiesenthal@kanzlei.example",
            ),
            Outgoing,
            Cancelled,
            "2026-11-20T10:05:00Z",
            0,
            None,
        ),
        (
            "a2",
            "acme",
            party("Unknown caller", "sip:anonymous@anonymous.invalid"),
            Incoming,
            Declined,
            "2026-11-19T17:44:10Z",
            0,
            None,
        ),
        (
            "n1",
            "north",
            party("Bob Keller", "sip:bob@acme.example"),
            Outgoing,
            Answered,
            "2026-11-19T16:02:00Z",
            61_000,
            None,
        ),
        (
            "a3",
            "acme",
            party(
                "Warehouse gate",
                "sip:gate@[2001:db8:85a3::8a2e:370:7334]:5070",
            ),
            Outgoing,
            Failed,
            "2026-11-19T09:30:12Z",
            0,
            Some(
                "Server silent: The request was sent again and again and no answer came. A firewall, a wrong port or transport, or a server that is down. Check the address and the transport, or try TCP.",
            ),
        ),
        (
            "a1",
            "acme",
            party("Bob Keller", "sip:bob@acme.example"),
            Incoming,
            Missed,
            "2026-11-17T18:20:00Z",
            0,
            None,
        ),
        (
            "a1",
            "acme",
            party("Payroll", "sip:payroll@acme.example"),
            Incoming,
            Answered,
            "2026-11-17T09:01:44Z",
            734_000,
            None,
        ),
    ];
    rows.into_iter()
        .enumerate()
        .map(
            |(index, (account, tenant, remote, direction, outcome, time, talk_ms, sentence))| {
                HistoryEntry {
                    id: 1000 - index as i64,
                    tenant: TenantId::new(tenant),
                    account: AccountId::new(account),
                    direction,
                    remote,
                    started_at: at(time),
                    talk_ms,
                    outcome,
                    sounded: (outcome == Outcome::Answered).then_some(Sounded {
                        mos: Some(4.3 - index as f32 / 10.0),
                        worst_mos: Some(3.4),
                        lost: 0.002,
                        jitter_ms: 3.0,
                        rtt_ms: Some(24.0),
                    }),
                    status: None,
                    sentence: sentence.map(Into::into),
                    sip_call_id: format!("history-{index}@192.0.2.5"),
                }
            },
        )
        .collect()
}

pub(crate) fn call(
    id: u64,
    account: &str,
    tenant: &str,
    remote: Party,
    state: CallState,
) -> CallView {
    let up = matches!(state, CallState::Connected | CallState::Held);
    CallView {
        id: CallId(id),
        tenant: TenantId::new(tenant),
        account: AccountId::new(account),
        direction: Direction::Outgoing,
        remote,
        state,
        held_by_us: state == CallState::Held,
        held_by_peer: false,
        muted: false,
        created_at: at("2026-11-20T14:27:50Z"),
        connected_at: up.then(|| at("2026-11-20T14:28:03Z")),
        ended_at: None,
        codec: up.then(|| "opus/48000".to_owned()),
        secured: up,
        security: if up { sdes() } else { MediaSecurity::default() },
        media_peer: up.then(|| "192.0.2.77:40208".to_owned()),
        dtmf_sent: model::Private::default(),
        dtmf_received: model::Private::default(),
        stats: up.then_some(MediaStats {
            sent: 12_190,
            received: 12_166,
            lost: 24,
            late: 3,
            jitter_ms: 4.2,
            rtt_ms: Some(31.0),
            buffer_ms: 60.0,
            concealed: 0.002,
            mos: Some(4.3),
        }),
        failure: None,
        last_status: None,
        sip_call_id: format!("call-{id}@192.0.2.5"),
        transfer: None,
        redirect: None,
        details: model::CallDetails::default(),
        conference: None,
        sound: if up { heard() } else { SoundView::default() },
        ending: None,
    }
}

/// Sound both ways, from another address than the one that was told: there is a router between.
pub(crate) fn heard() -> SoundView {
    let light = Light {
        on: true,
        level: 0.2,
        last: Some(at("2026-11-20T14:32:06Z")),
    };
    let mark = |second: i64, mos| SoundMark {
        at: Timestamp(at("2026-11-20T14:28:03Z").0 + second * 1_000_000),
        seconds: 10,
        stats: MediaStats {
            mos: Some(mos),
            ..MediaStats::default()
        },
        captured: 0.2,
        played: 0.2,
    };
    let course = [4.3, 4.3, 4.2, 3.4, 3.1, 3.9, 4.3, 4.3, 4.2, 4.3];
    SoundView {
        captured: light,
        sent: light,
        received: light,
        played: light,
        we_speak: true,
        they_speak: true,
        quality: None,
        peer_quality: None,
        expected_peer: Some("10.0.0.12:40208".to_owned()),
        actual_peer: Some("192.0.2.77:40208".to_owned()),
        target: Some("192.0.2.77:40208".to_owned()),
        silences: Vec::new(),
        course: (1..)
            .zip(course)
            .map(|(n, mos)| mark(n * 10, mos))
            .collect(),
    }
}

/// Both directions encrypted, with keys that travelled inside TLS.
pub(crate) fn sdes() -> MediaSecurity {
    let suite = Protection::Sdes {
        suite: "AES_CM_128_HMAC_SHA1_80".to_owned(),
    };
    MediaSecurity {
        sent: Some(suite.clone()),
        received: Some(suite),
        keys_in_clear: false,
    }
}

pub(crate) fn incoming(id: u64, account: &str, tenant: &str, remote: Party) -> CallView {
    CallView {
        direction: Direction::Incoming,
        ..call(id, account, tenant, remote, CallState::Ringing)
    }
}

pub(crate) fn state_of(snapshot: Snapshot) -> ViewState {
    let mut state = ViewState::default();
    apply(
        &mut state,
        Event::Resync {
            snapshot: Box::new(snapshot),
        },
    );
    state
}

pub(crate) fn themed(mut snapshot: Snapshot, theme: ThemeChoice, text_scale: f32) -> Snapshot {
    snapshot.preferences = Preferences { theme, text_scale };
    snapshot
}
