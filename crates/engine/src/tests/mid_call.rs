//! What is done in the middle of a call.

use std::collections::HashSet;

use model::{CallId, CallState, Command, DtmfMode, Event};

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol, carol_with, to_tag};
use crate::tenant::Child;
use sip_message::Method;

/// Waits until this call heard these digits.
async fn until_digits(house: &mut House, call: model::CallId, digits: &str) {
    house
        .until(&format!("{digits} is heard"), |s| {
            let call = s.calls.iter().find(|c| c.id == call)?;
            (call.dtmf_received == digits).then_some(())
        })
        .await;
}

async fn until_sent(house: &mut House, call: model::CallId, digits: &str) {
    house
        .until(&format!("{digits} is sent"), |s| {
            let call = s.calls.iter().find(|c| c.id == call)?;
            (call.dtmf_sent == digits).then_some(())
        })
        .await;
}

#[tokio::test]
async fn either_side_holds_and_resumes() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for (ours, theirs) in [(out, into), (into, out)] {
        house.engine.send(Command::HoldCall { call: ours });
        let held = house.until_state(theirs, CallState::Held).await;
        assert!(held.held_by_peer && !held.held_by_us);
        let held = house.until_state(ours, CallState::Held).await;
        assert!(held.held_by_us && !held.held_by_peer);
        house.engine.send(Command::ResumeCall { call: ours });
        for call in [ours, theirs] {
            house.until_state(call, CallState::Connected).await;
        }
    }
    let heard = house.until_heard(into, 0).await;
    house.until_heard(into, heard + 20).await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn changing_ones_mind_about_hold_at_once_ends_where_one_wants() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.engine.send(Command::HoldCall { call: out });
    house.engine.send(Command::ResumeCall { call: out });
    house.engine.send(Command::HoldCall { call: out });
    house.engine.send(Command::ResumeCall { call: out });
    house.engine.send(Command::HoldCall { call: out });
    house.until_state(out, CallState::Held).await;
    house.engine.send(Command::ResumeCall { call: out });
    house
        .until("both talk", |s| {
            let talks = |id| {
                s.calls
                    .iter()
                    .any(|c| c.id == id && c.state == CallState::Connected)
            };
            (talks(out) && talks(into)).then_some(())
        })
        .await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn a_muted_microphone_sends_silence_and_comes_back() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.until_heard(into, 20).await;
    house.engine.send(Command::MuteCall {
        call: out,
        muted: true,
    });
    house
        .until("the mute is shown", |s| {
            s.calls.iter().any(|c| c.id == out && c.muted).then_some(())
        })
        .await;
    let loud = |house: &House| house.engine.levels(into).playout > 0.01;
    while loud(&house) {
        let heard = house.until_heard(into, 0).await;
        house.until_heard(into, heard).await;
    }
    house.engine.send(Command::MuteCall {
        call: out,
        muted: false,
    });
    while !loud(&house) {
        let heard = house.until_heard(into, 0).await;
        house.until_heard(into, heard).await;
    }
    house.close().await;
}

#[tokio::test]
async fn digits_arrive_both_ways_as_events_and_as_info() {
    for mode in [DtmfMode::Rfc4733, DtmfMode::Info] {
        let mut house = House::open_with(|settings| settings.dtmf = mode, tone()).await;
        let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
        house.until_heard(into, 5).await;
        house.until_heard(out, 5).await;
        for (from, to) in [(out, into), (into, out)] {
            press(&house, from, "1x2#*a");
            until_digits(&mut house, to, "12#*A").await;
            until_sent(&mut house, from, "12#*A").await;
        }
        house
            .until_event("the digit is told", |event| {
                matches!(event, Event::Dtmf { call, digit: '#', .. } if *call == into).then_some(())
            })
            .await;
        if mode == DtmfMode::Info {
            house.until_message(true, "INFO sip:").await;
        } else {
            assert_eq!(house.count_messages(true, "INFO sip:"), 0);
        }
        house.close().await;
    }
}

/// Presses these digits in a call.
fn press(house: &House, call: CallId, digits: &str) {
    let digits = digits.to_owned().into();
    house.engine.send(Command::SendDtmf { call, digits });
}

/// Digits are sent in their order, so what is heard of a later one shows that the ones before it are gone.
#[tokio::test]
async fn digits_that_nobody_would_hear_are_refused_and_never_sent_later() {
    for mode in [DtmfMode::Rfc4733, DtmfMode::Inband] {
        let mut house = House::open_with(|settings| settings.dtmf = mode, tone()).await;
        let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
        house.until_heard(into, 5).await;
        for (holds, why) in [(out, "is on hold"), (into, "the other side holds the call")] {
            house.engine.send(Command::HoldCall { call: holds });
            house.until_state(out, CallState::Held).await;
            press(&house, out, "12345");
            house.until_notice(why).await;
            assert_eq!(house.call(out).dtmf_sent, "", "{mode:?}, {why}");
            house.engine.send(Command::ResumeCall { call: holds });
            for call in [out, into] {
                house.until_state(call, CallState::Connected).await;
            }
        }
        press(&house, out, "7");
        until_digits(&mut house, into, "7").await;
        until_sent(&mut house, out, "7").await;
        house.close().await;
    }
}

#[tokio::test]
async fn digits_under_way_when_a_call_is_held_are_gone_after_it() {
    let mut house = House::open_with(|s| s.dtmf = DtmfMode::Rfc4733, tone()).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.until_heard(into, 5).await;
    for (holds, last) in [(out, '8'), (into, '9')] {
        // Thirteen seconds of digits.
        press(&house, out, &"1".repeat(60));
        let heard = house.call(into).dtmf_received.reveal().len();
        house
            .until("a digit is heard", |s| {
                let call = s.calls.iter().find(|c| c.id == into)?;
                (call.dtmf_received.reveal().len() > heard).then_some(())
            })
            .await;
        house.engine.send(Command::HoldCall { call: holds });
        house.until_state(out, CallState::Held).await;
        house.engine.send(Command::ResumeCall { call: holds });
        for call in [out, into] {
            house.until_state(call, CallState::Connected).await;
        }
        press(&house, out, &last.to_string());
        let all = house
            .until("the last digit is heard", |s| {
                let call = s.calls.iter().find(|c| c.id == into)?;
                let all = call.dtmf_received.reveal();
                all.ends_with(last).then(|| all[heard..].to_owned())
            })
            .await;
        assert!(all.len() < 40, "{all}");
        // What is said to have been sent is what went out; those that were broken off may have been heard or not.
        let sent = house.call(out).dtmf_sent.reveal().to_owned();
        let more = sent.len() - house.call(into).dtmf_received.reveal().len();
        assert!(sent.ends_with(last) && more <= 2, "{sent}");
    }
    house.close().await;
}

#[tokio::test]
async fn changing_an_account_leaves_its_calls_alone() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    let mut settings = house.account("alice").settings;
    settings.display_name = "Alice the Second".into();
    house.engine.send(Command::UpdateAccount {
        account: house.id_of("alice"),
        settings: Box::new(settings),
        password: None,
    });
    house
        .until("the new account is signed in", |s| {
            s.accounts
                .iter()
                .any(|a| {
                    a.settings.display_name == "Alice the Second"
                        && a.state == model::RegistrationState::Registered
                })
                .then_some(())
        })
        .await;
    let heard = house.until_heard(into, 0).await;
    house.until_heard(into, heard + 20).await;
    house.engine.send(Command::HoldCall { call: out });
    house.until_state(into, CallState::Held).await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn a_removed_account_is_gone_for_good_and_its_call_goes_on() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    let removed = house.id_of("alice");
    house.engine.send(Command::RemoveAccount {
        account: removed.clone(),
    });
    house.until_message(true, "Expires: 0").await;
    let heard = house.until_heard(into, 0).await;
    house.until_heard(into, heard + 60).await;
    let shown = |s: &model::Snapshot| s.accounts.iter().any(|a| a.id == removed);
    assert!(!house.engine.hub.read(shown), "nothing brings it back");
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn the_last_figures_of_a_call_are_those_of_its_end_whoever_hangs_up() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for call in [out, into] {
        house
            .until("the first packet comes", |s| {
                let call = s.calls.iter().find(|c| c.id == call)?;
                call.media_peer.as_ref().map(drop)
            })
            .await;
    }
    // Sooner than the first report of a second's figures.
    house.end(out);
    for call in [out, into] {
        let ended = house.until_state(call, CallState::Ended).await;
        let stats = ended.stats.expect("there are figures");
        assert!(stats.sent > 0 && stats.received > 0, "{stats:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn an_offer_that_the_peer_leaves_open_breaks_neither_its_changes_nor_hold() {
    let (mut house, addr) = carol(tone()).await;
    let peer = Peer::bind().await;
    peer.send(addr, &peer.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&peer.final_response().await);
    let tag = Some(tag.as_str());
    peer.send(addr, &peer.says("ACK", 1, tag, "")).await;
    house.until_state(call, CallState::Connected).await;

    peer.send(addr, &peer.says("INVITE", 2, tag, "")).await;
    let offered = peer.final_response().await;
    assert_eq!(offered.status.code(), 200);
    assert!(!offered.body.is_empty(), "the offer is ours");
    peer.send(addr, &peer.says("ACK", 2, tag, "")).await;
    house
        .until_notes("an ACK came without the answer it owes", 1)
        .await;

    // The peer holds and resumes.
    let hold = SDP.replace("o=- 1 1", "o=- 1 2") + "a=sendonly\r\n";
    peer.send(addr, &peer.says("INVITE", 3, tag, &hold)).await;
    assert_eq!(peer.final_response().await.status.code(), 200);
    peer.send(addr, &peer.says("ACK", 3, tag, "")).await;
    assert!(house.until_state(call, CallState::Held).await.held_by_peer);
    let resume = SDP.replace("o=- 1 1", "o=- 1 3");
    peer.send(addr, &peer.says("INVITE", 4, tag, &resume)).await;
    assert_eq!(peer.final_response().await.status.code(), 200);
    peer.send(addr, &peer.says("ACK", 4, tag, "")).await;
    house.until_state(call, CallState::Connected).await;

    // It leaves another offer open, and the user holds while it is.
    peer.send(addr, &peer.says("INVITE", 5, tag, "")).await;
    assert_eq!(peer.final_response().await.status.code(), 200);
    house.engine.send(Command::HoldCall { call });
    peer.send(addr, &peer.says("ACK", 5, tag, "")).await;
    let (held, _) = peer.request(Method::Invite).await;
    let text = String::from_utf8_lossy(&held.body).into_owned();
    assert!(text.contains("a=sendonly"), "{text}");
    let answered = SDP.replace("o=- 1 1", "o=- 1 4") + "a=recvonly\r\n";
    let more = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    peer.send(addr, &answer(&held, "200 OK", &more, &answered))
        .await;
    assert!(house.until_state(call, CallState::Held).await.held_by_us);
    house.close().await;
}

/// What stands behind this in the lines of all descriptions that were sent and received.
fn described(state: &model::Snapshot, behind: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    for record in &state.trace {
        if let model::TraceBody::Sip { bytes, .. } = &record.body {
            let text = String::from_utf8_lossy(bytes);
            let values = text.lines().filter_map(|line| line.split_once(behind));
            found.extend(values.map(|(_, value)| value.to_owned()));
        }
    }
    found
}

/// Both ends hear each other for more than a second from now on.
async fn both_go_on(house: &mut House, calls: [CallId; 2]) {
    for call in calls {
        let received = house.call(call).stats.map_or(0, |stats| stats.received);
        house.until_heard(call, received + 60).await;
    }
}

#[tokio::test]
async fn keys_are_renewed_in_a_call_that_goes_on() {
    let mut house = House::open_with(|s| s.srtp = model::SrtpPolicy::Required, tone()).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.until_heard(out, 20).await;
    let keys = |s: &model::Snapshot| described(s, " inline:");
    let before = keys(&house.engine.snapshot());
    assert!(before.len() >= 2, "{before:?}");
    house.engine.send(Command::RenewKeys { call: out });
    house
        .until("another key is agreed on", |s| {
            let new = keys(s).difference(&before).count();
            (new >= 1).then_some(())
        })
        .await;
    both_go_on(&mut house, [out, into]).await;
    for call in [out, into] {
        assert!(house.call(call).security.sent.is_some());
    }
    house.close().await;
}

/// Where encryption is a wish, a peer may take it back in its offer or in its answer; that is told.
#[tokio::test]
async fn a_call_that_is_encrypted_no_longer_is_told_of() {
    let optional = |s: &mut model::AccountSettings| s.srtp = model::SrtpPolicy::Optional;
    let (mut house, addr) = carol_with(tone(), optional).await;
    let peer = Peer::bind().await;
    let described =
        |version: u32, more: &str| SDP.replace("o=- 1 1", &format!("o=- 1 {version}")) + more;
    let key =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    let words = "is not encrypted any more";
    let first = described(1, key);
    peer.send(addr, &peer.says("INVITE", 1, None, &first)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&peer.final_response().await);
    let tag = Some(tag.as_str());
    peer.send(addr, &peer.says("ACK", 1, tag, "")).await;
    house.until_state(call, CallState::Connected).await;
    assert!(house.call(call).security.sent.is_some());

    // Plain in its offer, and with keys again.
    for (cseq, more) in [(2, ""), (3, key)] {
        let offer = described(cseq, more);
        peer.send(addr, &peer.says("INVITE", cseq, tag, &offer))
            .await;
        assert_eq!(peer.final_response().await.status.code(), 200);
        peer.send(addr, &peer.says("ACK", cseq, tag, "")).await;
        house
            .until("the lock says so", |s| {
                let call = s.calls.iter().find(|c| c.id == call)?;
                (call.security.sent.is_none() == more.is_empty()).then_some(())
            })
            .await;
        house.until_notice(words).await;
        house.until_notes(words, 1).await;
    }

    // Plain in its answer.
    house.engine.send(Command::HoldCall { call });
    let (held, from) = peer.request(Method::Invite).await;
    let offered = String::from_utf8_lossy(&held.body).into_owned();
    assert!(offered.contains("a=crypto:"), "{offered}");
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let plain = described(4, "a=recvonly\r\n");
    peer.send(from, &answer(&held, "200 OK", &contact, &plain))
        .await;
    let held = house.until_state(call, CallState::Held).await;
    assert_eq!(held.security, model::MediaSecurity::default());
    house.until_notes(words, 2).await;
    house.close().await;
}

/// RFC 7675 §5.1 and RFC 8445 §9: whoever lost the peer's consent asks for it again with a restart, from both sides.
#[tokio::test]
async fn a_way_that_answers_no_more_is_looked_for_again_in_a_call_that_goes_on() {
    let mut house = House::open_with(|s| s.ice = true, tone()).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.until_heard(out, 20).await;
    let names = |s: &model::Snapshot| described(s, "a=ice-ufrag:");
    let before = names(&house.engine.snapshot());
    assert_eq!(before.len(), 2, "{before:?}");
    house.crash("alice", Child::Way(out));
    house.until_notes("others are tried", 1).await;
    house
        .until("both sides begin again", |s| {
            let new = names(s).difference(&before).count();
            (new == 2).then_some(())
        })
        .await;
    both_go_on(&mut house, [out, into]).await;
    house.close().await;
}

/// RFC 4028 §7.4: a peer that takes no UPDATE has its session refreshed by a re-INVITE, whose answer says what is agreed
/// already.
#[tokio::test]
async fn a_session_is_refreshed_by_a_new_invite_and_goes_on() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    // The refresh is ours, at half of the interval.
    let more = format!(
        "Contact: <sip:dan@{}>\r\nAllow: INVITE, ACK, BYE, CANCEL\r\nRequire: timer\r\n\
         Session-Expires: 20;refresher=uac\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    dan.send(from, &answer(&invite, "200 OK", &more, SDP)).await;
    dan.request(Method::Ack).await;
    house.until_state(call, CallState::Connected).await;
    for _ in 0..2 {
        let (refresh, from) = dan.request(Method::Invite).await;
        assert_eq!(refresh.body, invite.body, "the session is the same");
        dan.send(from, &answer(&refresh, "200 OK", &more, SDP))
            .await;
        dan.request(Method::Ack).await;
    }
    assert_eq!(house.count_messages(true, "BYE sip:"), 0);
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}

/// A call of carol's to a peer that answers with these formats, and how that says something to her.
struct Talk {
    house: House,
    call: CallId,
    mouth: tokio::net::UdpSocket,
    ours: std::net::SocketAddr,
    sequence: u16,
}

impl Talk {
    async fn begin(formats: &str, maps: &str) -> Self {
        let (mut house, _) = carol(tone()).await;
        let peer = Peer::bind().await;
        let mouth = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = mouth.local_addr().unwrap().port().to_string();
        let them = format!("sip:dan@{}", peer.local);
        let call = house.dial("carol", &them).await;
        let (invite, from) = peer.request(Method::Invite).await;
        let contact = format!("Contact: <{them}>\r\nContent-Type: application/sdp\r\n");
        let body = SDP
            .replace("40000 RTP/AVP 0", &format!("{port} RTP/AVP {formats}"))
            .replace("PCMU/8000\r\n", &format!("PCMU/8000\r\n{maps}"));
        peer.send(from, &answer(&invite, "200 OK", &contact, &body))
            .await;
        house.until_state(call, CallState::Connected).await;
        let offer = String::from_utf8_lossy(&invite.body).into_owned();
        let line = offer.lines().find_map(|l| l.strip_prefix("m=audio "));
        let ours = line.and_then(|l| l.split(' ').next()?.parse::<u16>().ok());
        let ours = std::net::SocketAddr::from(([127, 0, 0, 1], ours.expect("it has a port")));
        Self {
            house,
            call,
            mouth,
            ours,
            sequence: 0,
        }
    }

    /// The peer says something loud every 20 ms until the call fits. `ticks` is what lies between two timestamps.
    async fn speak_until(
        &mut self,
        payload_type: u8,
        ticks: u32,
        fits: impl Fn(&model::CallView) -> bool,
    ) {
        let Self {
            house,
            call,
            mouth,
            ours,
            sequence,
        } = self;
        let speaks = async {
            loop {
                let mut packet = vec![0x80, payload_type];
                packet.extend(sequence.to_be_bytes());
                packet.extend((u32::from(*sequence) * ticks).to_be_bytes());
                packet.extend([1, 2, 3, 4]);
                packet.extend([0x10, 0x90].repeat(80));
                mouth.send_to(&packet, *ours).await.unwrap();
                *sequence = sequence.wrapping_add(1);
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let fits = |state: &model::Snapshot| {
            let call = state.calls.iter().find(|c| c.id == *call)?;
            fits(call).then_some(())
        };
        tokio::select! {
            () = speaks => {}
            () = house.until("it is told", fits) => {}
        }
    }
}

/// RFC 3264 §7: who answers with several codecs may send any of them, at any time.
#[tokio::test]
async fn a_peer_that_sends_another_of_the_agreed_codecs_is_heard_and_that_is_told() {
    let mut talk = Talk::begin("0 8", "a=rtpmap:8 PCMA/8000\r\n").await;
    for (payload_type, heard) in [(0, None), (8, Some("PCMA/8000")), (0, None)] {
        let received = talk.house.call(talk.call).stats.map_or(0, |s| s.received);
        talk.speak_until(payload_type, 160, |call| {
            let more = call.stats.is_some_and(|s| s.received > received + 20);
            more && call.details.heard_codec.as_deref() == heard
        })
        .await;
    }
    let codec = talk.house.call(talk.call).codec;
    assert_eq!(codec.as_deref(), Some("PCMU/8000"));
    talk.house.end(talk.call);
    talk.house.close().await;
}

/// Timestamps that stand still leave nothing to play: that is no silence of the other side, and no call without loss.
#[tokio::test]
async fn what_comes_and_cannot_be_played_is_told_as_that() {
    let mut talk = Talk::begin("0", "").await;
    talk.speak_until(0, 160, |call| call.sound.played.on).await;
    talk.speak_until(0, 0, |call| {
        let told =
            |why: &model::Silence| matches!(why, model::Silence::Discarded { packets: 100.. });
        call.sound.silences.iter().any(told)
    })
    .await;
    let call = talk.house.call(talk.call);
    let quality = call.sound.quality.expect("it is judged");
    assert!(quality.discarded > 0.3, "{quality:?}");
    let stats = call.stats.expect("there are figures");
    assert!(
        stats.concealed <= 1.0 && stats.mos.is_some_and(|mos| mos < 3.0),
        "{stats:?}"
    );
    talk.house.end(talk.call);
    talk.house.close().await;
}

/// Whoever listens to events is told of every key.
#[tokio::test]
async fn a_peer_presses_no_more_keys_than_a_person_could() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    let begun = std::time::Instant::now();
    for number in 2..302 {
        let info = dan.says("INFO", number, Some(&tag), "Signal=5\r\nDuration=100\r\n");
        let info = info.replace("application/sdp", "application/dtmf-relay");
        dan.send(at, &info).await;
    }
    dan.send(at, &dan.says("BYE", 302, Some(&tag), "")).await;
    house.until_state(call, CallState::Ended).await;
    let most = 32.0 + 25.0 * begun.elapsed().as_secs_f64();
    house
        .until_notes("keys of the peer were passed over", 1)
        .await;
    let taken = house.call(call).dtmf_received.reveal().len();
    assert!(taken >= 32 && taken as f64 <= most, "{taken} of {most}");
    house.close().await;
}
