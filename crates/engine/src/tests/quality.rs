//! How a call sounds, told by both ends to each other and to a collector.

use model::{CallState, Command};

use sip_message::Method;

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol_with};

/// RFC 3611 §5.2: both ask for it, and the report goes both ways.
#[tokio::test]
async fn each_end_says_how_it_hears_the_other() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for call in [out, into] {
        let (ours, theirs) = house
            .until("both qualities are known", |s| {
                let sound = &s.calls.iter().find(|c| c.id == call)?.sound;
                let judged = sound.quality.filter(|quality| quality.mos_cq.is_some())?;
                Some((judged, sound.peer_quality?))
            })
            .await;
        for quality in [ours, theirs] {
            assert!(
                quality.lost < 0.5 && quality.end_system_ms >= 60,
                "{quality:?}"
            );
            assert!(quality.buffer_most_ms >= quality.buffer_ms, "{quality:?}");
        }
        // A tone speaks without a pause, and what is heard of it is as loud at both ends.
        assert!(
            ours.signal_dbm.is_some_and(|dbm| (-30..=4).contains(&dbm)),
            "{ours:?}"
        );
        let sound = house.call(call).sound;
        assert!(sound.we_speak && sound.they_speak, "{sound:?}");
    }
    house.close().await;
}

/// RFC 6035: one PUBLISH at the end of each call, taken by the switchboard.
#[tokio::test]
async fn a_collector_is_told_at_the_end_how_a_call_sounded() {
    let mut house = House::open_with(
        |settings| {
            if settings.aor.reveal().contains("alice") {
                settings.quality_report = Some("sip:collector@alpha.test".into());
            }
        },
        tone(),
    )
    .await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for call in [out, into] {
        house.until_heard(call, 60).await;
    }
    house.engine.send(Command::EndCall { call: out });
    house.until_state(out, CallState::Ended).await;
    house
        .until_notes("the report on how the call sounded was taken", 1)
        .await;
    // Both calls are written down, whoever is told.
    house.until_notes("the peer was heard with MOS ", 2).await;
    let call_id = house.call(out).sip_call_id;
    for part in [
        "PUBLISH sip:collector@alpha.test SIP/2.0",
        "Event: vq-rtcpxr",
        "Content-Type: application/vq-rtcpxr",
        "VQSessionReport:CallTerm\r\n",
        &format!("CallID:{call_id}\r\n"),
        &format!("DialogID:{call_id};to-tag="),
        "LocalID:<sip:alice@alpha.test>\r\n",
        "RemoteGroup:beta.test\r\n",
        "LocalMetrics:\r\nTimestamps:START=",
        "SessionDesc:PT=",
        "BurstGapLoss:BLD=",
    ] {
        assert!(house.count_messages(true, part) >= 1, "{part}");
    }
    // Bob's account asks for none.
    assert_eq!(house.count_messages(true, "LocalID:<sip:bob@"), 0);
    house.close().await;
}

/// RFC 6035: whoever collects reports looks for calls in which nothing was heard before all others.
#[tokio::test]
async fn a_collector_is_told_of_a_call_in_which_nothing_was_heard() {
    let dan = Peer::bind().await;
    let collector = format!("sip:quality@{}", dan.local);
    let with = |account: &mut model::AccountSettings| {
        account.quality_report = Some(collector.as_str().into());
    };
    let (mut house, _) = carol_with(tone(), with).await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    dan.send(from, &answer(&invite, "200 OK", &contact, SDP))
        .await;
    house.until_state(call, CallState::Connected).await;
    tokio::time::sleep(std::time::Duration::from_millis(3_500)).await;
    house.end(call);
    let (bye, from) = dan.request(Method::Bye).await;
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    let (report, from) = dan.request(Method::Publish).await;
    dan.send(from, &answer(&report, "200 OK", "SIP-ETag: 1\r\n", ""))
        .await;
    let body = String::from_utf8_lossy(&report.body).into_owned();
    assert!(body.contains("PacketLoss:NLR=100.0 JDR=0.0"), "{body}");
    assert!(body.contains("SSRC=0x00000000"), "{body}");
    assert!(!body.contains("MOSCQ"), "{body}");
    house
        .until_notes("nothing was heard of the peer in 3 s", 1)
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_finished_call_keeps_how_each_second_of_it_sounded() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for call in [out, into] {
        house.until_heard(call, 120).await;
    }
    house
        .until("it was judged", |s| {
            let mut stats = s.calls.iter().map(|c| c.stats.and_then(|s| s.mos));
            stats.all(|mos| mos.is_some()).then_some(())
        })
        .await;
    house.engine.send(Command::EndCall { call: out });
    house.until_state(into, CallState::Ended).await;
    let line = house
        .until("both are filed", |s| {
            (s.history.len() == 2).then(|| s.history[0].clone())
        })
        .await;
    let sounded = line.sounded.expect("it was heard");
    assert!(sounded.mos.is_some_and(|mos| mos > 3.5), "{sounded:?}");
    assert!(sounded.lost < 0.1, "{sounded:?}");
    house.engine.send(Command::ReadQuality { entry: line.id });
    house
        .until_event("how it sounded", |event| match event {
            model::Event::Quality { entry, trend } if *entry == line.id => {
                assert_eq!(trend.step_s, 1);
                assert!(trend.steps.len() >= 2, "{trend:?}");
                assert!(trend.steps.iter().any(|step| step.mos_tenths > 35));
                Some(())
            }
            _ => None,
        })
        .await;
    house.close().await;
}
