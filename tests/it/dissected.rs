//! Our STUN, TURN, DTLS, RTP and RTCP, as somebody else's dissector (tshark) reads them.

use serde_json::Value;

use crate::hold::Call;
use crate::rig::capture::{Capture, Sound};
use crate::rig::coturn::Coturn;
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Program, SOON};
use crate::rig::{ports, seconds, sound, switchboard};

/// From here on tshark calls it a warning.
const WARNING: u64 = 0x0060_0000;

#[test]
fn nothing_is_wrong_with_our_stun_turn_and_dtls_in_the_eyes_of_tshark() {
    let folder = Folder::new("dissected");
    let coturn = Coturn::start(&folder);
    let (port, sound) = (ports::free(), Sound::free());
    let tshark = Capture::start(&folder, &format!("port {} or {sound}", coturn.port));
    let account = |name: &str, more: &str| {
        let more = format!(
            "--no-register --transport udp --codecs pcmu --srtp required --srtp-keys dtls --ice {more}"
        );
        Account::new(format!("sip:{name}@127.0.0.1"), &more)
    };
    let bob = account(
        "bob",
        &format!("--bind 127.0.0.1:{port} {}", sound.option()),
    );
    let bob = Program::start(&folder, "bob", "answer", &bob, "--count 1 --echo");
    switchboard::wait_taken(port, || {});
    let uri = coturn.uri("udp");
    let alice = account(
        "alice",
        &format!("--stun 127.0.0.1:{} --turn {uri}", coturn.port),
    );
    let args = format!("sip:bob@127.0.0.1:{port} --for 3s");
    let alice = Program::start(&folder, "alice", "call", &alice, &args);
    alice.finish(seconds(20)).assert_code(0);
    bob.finish(SOON).assert_code(0);
    let capture = tshark.stop(&format!("udp.port=={},turnchannel", coturn.port));

    // What coturn says is its own business.
    let ours = format!("udp.srcport != {}", coturn.port);
    let count = |what: &str| {
        let found = capture.fields(&format!("({what}) && {ours}"), &EXPERT);
        (found.lines().count(), found)
    };
    let (stun, _) = count("stun");
    let (dtls, _) = count("dtls");
    // Checks say how they are ranked, and that it is for us to choose (RFC 8445 §7.1).
    let (checks, _) = count("stun.att.type == 0x0024 && stun.att.type == 0x802a");
    assert!(stun >= 6, "{stun} STUN messages were seen");
    assert!(checks >= 2, "{checks} checks were seen");
    assert!(dtls >= 4, "{dtls} DTLS datagrams were seen");
    // A report that goes by the relay is encrypted, and now and then taken for one that is not: it is no STUN.
    let (wrong, which) = count(&format!(
        "(stun || dtls) && !rtcp && _ws.expert.severity >= {WARNING}"
    ));
    assert_eq!(wrong, 0, "{which}");
    println!(
        "\n{stun} STUN messages, {checks} of them checks, and {dtls} DTLS datagrams of ours, none of them wrong"
    );
}

/// How a call is heard, as tshark names what RFC 3611 §4.7 has, and as we do. A sound that is not known is 127, a round
/// trip 0.
const METRICS: [(&str, &str, f64); 13] = [
    ("ssrc.discarded", "discarded", 256.0),
    ("xr.voipmetrics.burstdensity", "burst_density", 256.0),
    ("xr.voipmetrics.gapdensity", "gap_density", 256.0),
    ("xr.voipmetrics.burstduration", "burst_ms", 1.0),
    ("xr.voipmetrics.gapduration", "gap_ms", 1.0),
    ("xr.voipmetrics.rtdelay", "rtt_ms", 1.0),
    ("xr.voipmetrics.esdelay", "end_system_ms", 1.0),
    ("xr.voipmetrics.signallevel", "signal_dbm", 1.0),
    ("xr.voipmetrics.noiselevel", "noise_dbm", 1.0),
    ("xr.voipmetrics.rfactor", "r_factor", 1.0),
    ("xr.voipmetrics.moslq", "mos_lq", 1.0),
    ("xr.voipmetrics.moscq", "mos_cq", 1.0),
    ("xr.voipmetrics.jbnominal", "buffer_ms", 1.0),
];

#[test]
fn our_rtp_and_reports_are_to_tshark_what_they_are_to_us() {
    let folder = Folder::new("dissected_reports");
    let speech = sound::speech(&folder, 48_000);
    let (port, sound) = (ports::free(), Sound::free());
    let more = format!(
        "--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port} {}",
        sound.option()
    );
    let bob = Account::new("sip:bob@127.0.0.1", &more);
    let tshark = Capture::start(&folder, &format!("port {port} or {sound}"));
    let bob = Program::start(&folder, "bob", "answer", &bob, "--count 1 --echo");
    switchboard::wait_taken(port, || {});
    let mut call = Call::place(&folder, &speech, port);
    let told = call
        .control
        .wait_for("word of how we are heard", seconds(20), |state| {
            let told = &state["calls"][0]["sound"]["peer_quality"];
            told["mos_cq"].is_number().then(|| told.clone())
        });
    call.end();
    bob.finish(SOON).assert_code(0);
    // Who is called has no port that tshark knows; what its SIP says tells where RTP is.
    let capture = tshark.stop(&format!("udp.port=={port},sip"));

    let count = |what: &str| capture.fields(what, &EXPERT).lines().count();
    // Sender report, description, farewell, extended report.
    let kinds = [200, 202, 203, 207].map(|kind| count(&format!("rtcp.pt == {kind}")));
    let packets = count("rtp");
    assert!(packets >= 100, "{packets} packets of speech were seen");
    assert!(kinds.iter().all(|count| *count >= 2), "reports: {kinds:?}");
    assert!(count("rtcp.xr.bt == 4") >= 2, "a clock in each report");
    let wrong = format!("(rtp || rtcp) && _ws.expert.severity >= {WARNING}");
    let wrong = capture.fields(&wrong, &EXPERT);
    assert_eq!(wrong, "");

    let names = METRICS.map(|(name, ..)| format!("rtcp.{name}"));
    let reports = capture.fields("rtcp.xr.bt == 7", &names.each_ref().map(String::as_str));
    let expected = METRICS.map(|(name, ours, scale)| match (&told[ours], name) {
        (Value::Null, "xr.voipmetrics.rtdelay") => 0.0,
        (Value::Null, _) => 127.0,
        (value, _) => value.as_f64().expect("a number") * scale,
    });
    let same = |line: &str| {
        let values: Vec<f64> = line
            .split('\t')
            .filter_map(|value| value.parse().ok())
            .collect();
        let near = |(ours, theirs): (&f64, &f64)| (ours - theirs).abs() < 0.01;
        values.len() == expected.len() && expected.iter().zip(&values).all(near)
    };
    assert!(
        reports.lines().any(same),
        "{told}\n{expected:?} is not in\n{reports}"
    );
    println!("\n{packets} packets of RTP and {kinds:?} reports of ours, none of them wrong");
}

/// Every kind of packet that a stream has: codecs, digits (RFC 4733), comfort noise (RFC 3389), and encrypted ones.
#[test]
fn nothing_is_wrong_with_any_codec_nor_with_digits_comfort_noise_and_encryption() {
    let calls = [
        ("opus", ""),
        ("g722", "--silence-suppression"),
        ("pcma", "--silence-suppression"),
        ("pcmu", "--srtp required"),
        ("opus", "--srtp required"),
    ];
    std::thread::scope(|scope| {
        let calls = calls.map(|(codec, more)| scope.spawn(move || dissect(codec, more)));
        for call in calls {
            call.join().expect("nothing is wrong with this call");
        }
    });
}

fn dissect(codec: &str, more: &str) {
    let folder = Folder::new(&format!("dissected_{codec}{}", more.replace(' ', "_")));
    let speech = sound::speech(&folder, 48_000);
    let (port, sound) = (ports::free(), Sound::free());
    let account = |name: &str, here: &str| {
        let more = format!("--no-register --transport udp --codecs {codec} {here} {more}");
        Account::new(format!("sip:{name}@127.0.0.1"), &more)
    };
    let tshark = Capture::start(&folder, &format!("port {port} or {sound}"));
    let here = format!("--bind 127.0.0.1:{port} {}", sound.option());
    let play = format!("--count 1 --play {}", speech.display());
    let bob = Program::start(&folder, "bob", "answer", &account("bob", &here), &play);
    switchboard::wait_taken(port, || {});
    // She says nothing but digits.
    let args = format!("sip:bob@127.0.0.1:{port} --for 6s --dtmf-send 19#");
    let alice = account("alice", "--bind 127.0.0.1:0");
    let alice = Program::start(&folder, "alice", "call", &alice, &args);
    alice.finish(seconds(20)).assert_code(0);
    bob.finish(SOON).assert_code(0);
    let seen = tshark.stop(&format!("udp.port=={port},sip"));

    let count = |what: &str| seen.fields(what, &EXPERT).lines().count();
    let (packets, digits) = (count("rtp"), count("rtpevent"));
    let noise = count("rtp.p_type == 13");
    assert!(packets >= 200, "{codec}{more}: {packets} packets");
    if !more.contains("srtp") {
        // Each digit at least five times while it is pressed, and three times at its end.
        assert!(digits >= 24, "{codec}{more}: {digits} of digits");
        let first = seen.fields("rtpevent", &["rtpevent.event_id"]);
        let mut order: Vec<&str> = first.lines().collect();
        order.dedup();
        assert_eq!(order, ["1", "9", "11"], "{codec}{more}");
    }
    assert_eq!(noise > 0, more.contains("silence"), "{codec}{more}");
    let wrong = format!("(rtp || rtcp) && _ws.expert.severity >= {WARNING}");
    assert_eq!(seen.fields(&wrong, &EXPERT), "", "{codec}{more}");
    println!(
        "\n{codec} {more}: {packets} packets of RTP, {digits} of digits, {noise} of comfort noise, none of them wrong"
    );
}

/// What is listed of a frame: its number, and what is wrong with it.
const EXPERT: [&str; 2] = ["frame.number", "_ws.expert.message"];
