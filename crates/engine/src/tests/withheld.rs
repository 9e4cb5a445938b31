//! What is said here gets to nobody whom the person does not talk to: not to peers that refuse to be put on hold, or to be
//! taken off it again (RFC 3264 §8.4, RFC 3261 §14.1), nor to calls that come for the place of another one before they have it
//! (RFC 3891 §3), nor while a call waits for something.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use model::{AccountSettings, CallId, CallState, Command, JoinPolicy};
use sip_message::{Method, Request};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::house::House;
use super::peer::{Peer, SDP, answer, carol_as, to_tag, with};
use crate::CallMedia;

/// Dan's end of the media: he says something all the time, and knows whether he hears anything.
struct Media {
    at: SocketAddr,
    hears: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Media {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let at = socket.local_addr().expect("it is bound");
        let hears = Arc::<AtomicBool>::default();
        let told = Arc::clone(&hears);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            let (mut to, mut number) = (None, 0u16);
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                tokio::select! {
                    received = socket.recv_from(&mut buffer) => {
                        let Ok((length, from)) = received else { return };
                        to = Some(from);
                        // PCMU of nothing is ones, with either sign.
                        let loud = |octet: &&u8| **octet | 0x80 < 0xf0;
                        let payload = buffer.get(12..length).unwrap_or_default();
                        told.store(payload.iter().filter(loud).count() > payload.len() / 2, Relaxed);
                    }
                    _ = pace.tick() => {
                        let Some(to) = to else { continue };
                        let mut packet = vec![0x80, 0];
                        packet.extend(number.to_be_bytes());
                        packet.extend((u32::from(number) * 160).to_be_bytes());
                        packet.extend([0xda; 4]);
                        packet.extend((0..160u8).map(|n| if n / 10 % 2 == 0 { 0x90 } else { 0x10 }));
                        number = number.wrapping_add(1);
                        let _ = socket.send_to(&packet, to).await;
                    }
                }
            }
        });
        Self { at, hears, task }
    }

    fn describe(&self, version: u32) -> String {
        let sdp = SDP.replace("m=audio 40000", &format!("m=audio {}", self.at.port()));
        sdp.replace("o=- 1 1", &format!("o=- 1 {version}"))
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A call in which both are heard.
struct Talk {
    house: House,
    carol: SocketAddr,
    dan: Peer,
    media: Media,
    tag: String,
    call: CallId,
    /// The number of the last change that we asked for.
    asked: u32,
}

impl Talk {
    async fn begin() -> Self {
        Self::begin_with(|_| {}).await
    }

    async fn begin_with(settings: impl FnOnce(&mut AccountSettings)) -> Self {
        let program = |config: &mut crate::EngineConfig| config.hardware = false;
        let (mut house, carol) = carol_as(CallMedia::Devices, settings, program).await;
        let (dan, media) = (Peer::bind().await, Media::start().await);
        dan.send(carol, &dan.says("INVITE", 1, None, &media.describe(1)))
            .await;
        let call = house.until_ringing().await;
        house.engine.send(Command::AnswerCall { call });
        let tag = to_tag(&dan.final_response().await);
        dan.send(carol, &dan.says("ACK", 1, Some(&tag), "")).await;
        house.until_state(call, CallState::Connected).await;
        Self {
            house,
            carol,
            dan,
            media,
            tag,
            call,
            asked: 0,
        }
    }

    /// What we ask for because of this.
    async fn asked(&mut self, command: Command) -> (Request, String) {
        self.house.engine.send(command);
        self.asked_next().await
    }

    /// Our next change of the session, and no repeat of an earlier one.
    async fn asked_next(&mut self) -> (Request, String) {
        loop {
            let (invite, _) = self.dan.request(Method::Invite).await;
            let number = invite.headers.cseq().expect("a CSeq").number;
            if number > self.asked {
                self.asked = number;
                let body = String::from_utf8(invite.body.clone()).expect("it is text");
                return (invite, body);
            }
        }
    }

    async fn refuse(&self, invite: &Request) {
        let refusal = answer(invite, "488 Not Acceptable Here", "", "");
        self.dan.send(self.carol, &refusal).await;
    }

    async fn accept(&self, invite: &Request, direction: &str) {
        let more = format!(
            "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
            self.dan.local
        );
        let body = format!("{}a={direction}\r\n", self.media.describe(2));
        let taken = answer(invite, "200 OK", &more, &body);
        self.dan.send(self.carol, &taken).await;
    }

    /// Whether both hear each other, from some moment on and then for half a second.
    async fn until_heard(&self, both: bool) {
        let (began, mut since) = (Instant::now(), Instant::now());
        while since.elapsed() < Duration::from_millis(500) {
            let heard = self.media.hears.load(Relaxed);
            let played = self.house.engine.device_levels().playout;
            let is_so = match both {
                true => heard && played > 0.05,
                false => !heard && played < 0.001,
            };
            if !is_so {
                since = Instant::now();
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "heard {heard}, played {played}, not {both}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Watches for this long that nothing is heard.
async fn assert_deaf(media: &Media, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(!media.hears.load(Relaxed), "after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The same of another call of Dan's.
fn other(request: &str) -> String {
    let request = request.replace("Call-ID: c1@", "Call-ID: c2@");
    request.replace("z9hG4bK-", "z9hG4bK-c2-")
}

/// Another call of Dan's that comes for the first, by a header, and is taken at once; its media, and the tag of our side.
async fn comes(talk: &Talk, header: &str) -> (Media, String) {
    let (dan, media) = (&talk.dan, Media::start().await);
    let invite = other(&dan.says("INVITE", 1, None, &media.describe(1)));
    let (at, tag) = (dan.local, &talk.tag);
    let header = format!("{header}: c1@{at};to-tag={tag};from-tag=dan-1\r\n");
    dan.send(talk.carol, &with(&invite, &header)).await;
    let taken = dan.final_response().await;
    assert_eq!(taken.status.code(), 200);
    (media, to_tag(&taken))
}

/// A steady tone of a quarter of full scale.
struct Sine(usize);

impl std::io::Read for Sine {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let whole = bytes.len() / 2 * 2;
        for pair in bytes[..whole].chunks_exact_mut(2) {
            let angle = self.0 as f32 * std::f32::consts::TAU / 120.0;
            pair.copy_from_slice(&((angle.sin() * 8_192.0) as i16).to_le_bytes());
            self.0 = (self.0 + 1) % 120;
        }
        Ok(whole)
    }
}

/// RFC 3261 §14.1: after a refusal the session is as it was. A person who pressed Hold is heard all the same no more.
#[tokio::test]
async fn who_refuses_to_be_put_on_hold_is_held_all_the_same() {
    let mut talk = Talk::begin().await;
    let call = talk.call;
    let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
    talk.until_heard(true).await;
    let (invite, offer) = talk.asked(Command::HoldCall { call }).await;
    assert!(offer.contains("a=sendonly"), "{offer}");
    // Before there is any answer.
    talk.until_heard(false).await;
    talk.refuse(&invite).await;
    talk.house
        .until_notes("is on hold without having agreed", 1)
        .await;
    talk.house.until_state(call, CallState::Held).await;
    talk.until_heard(false).await;
    let shown = |s: &model::Snapshot| {
        let view = s.calls.iter().find(|c| c.id == call);
        view.map(|c| (c.state, c.held_by_us))
    };
    let is_shown = shown(&talk.house.engine.snapshot());
    assert_eq!(is_shown, Some((CallState::Held, true)));
    // It is not asked again by itself, and no agreement is to be ended.
    let asked = talk.house.count_messages(true, "INVITE sip:dan");
    talk.house.engine.send(Command::ResumeCall { call });
    talk.house.until_state(call, CallState::Connected).await;
    talk.until_heard(true).await;
    assert_eq!(talk.house.count_messages(true, "INVITE sip:dan"), asked);

    // Who is asked anew may agree.
    let (invite, offer) = talk.asked(Command::HoldCall { call }).await;
    assert!(offer.contains("a=sendonly"), "{offer}");
    talk.accept(&invite, "recvonly").await;
    talk.house.until_state(call, CallState::Held).await;
    talk.until_heard(false).await;
    talk.house.close().await;
}

/// RFC 3264 §6.1: whoever offers both ways may be answered with one.
#[tokio::test]
async fn who_refused_to_be_put_on_hold_is_so_by_the_answer_to_their_own_offer() {
    let mut talk = Talk::begin().await;
    let call = talk.call;
    let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
    talk.until_heard(true).await;
    let (invite, _) = talk.asked(Command::HoldCall { call }).await;
    talk.refuse(&invite).await;
    talk.house
        .until_notes("is on hold without having agreed", 1)
        .await;
    let (dan, tag) = (&talk.dan, Some(talk.tag.as_str()));
    let offer = dan.says("INVITE", 2, tag, &talk.media.describe(2));
    dan.send(talk.carol, &offer).await;
    let taken = dan.final_response().await;
    let answer = String::from_utf8(taken.body.clone()).expect("it is text");
    assert!(answer.contains("a=sendonly"), "{answer}");
    dan.send(talk.carol, &dan.says("ACK", 2, tag, "")).await;
    talk.until_heard(false).await;
    // This is an agreement, which is ended by another one.
    let (invite, offer) = talk.asked(Command::ResumeCall { call }).await;
    assert!(!offer.contains("a=sendonly"), "{offer}");
    talk.accept(&invite, "sendrecv").await;
    talk.house.until_state(call, CallState::Connected).await;
    talk.until_heard(true).await;
    talk.house.close().await;
}

#[tokio::test]
async fn who_refuses_to_be_taken_off_hold_hears_nobody() {
    let mut talk = Talk::begin().await;
    let call = talk.call;
    let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
    talk.until_heard(true).await;
    let (invite, _) = talk.asked(Command::HoldCall { call }).await;
    talk.accept(&invite, "recvonly").await;
    talk.house.until_state(call, CallState::Held).await;
    talk.until_heard(false).await;
    let (invite, _) = talk.asked(Command::ResumeCall { call }).await;
    talk.refuse(&invite).await;
    talk.house.until_notes("the change was not taken", 1).await;
    talk.house.until_state(call, CallState::Held).await;
    talk.until_heard(false).await;
    talk.house.close().await;
}

/// What is wished for while another change is under way is asked for afterwards, whatever became of that one.
#[tokio::test]
async fn a_hold_that_was_wished_for_while_another_change_was_refused_is_asked_for() {
    let mut talk = Talk::begin().await;
    let call = talk.call;
    let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
    talk.until_heard(true).await;
    let direction = model::MediaDirection::SendOnly;
    let change = Command::SetDirection { call, direction };
    let (change, _) = talk.asked(change).await;
    talk.house.engine.send(Command::HoldCall { call });
    talk.until_heard(false).await;
    talk.refuse(&change).await;
    let (invite, offer) = talk.asked_next().await;
    assert!(offer.contains("a=sendonly"), "{offer}");
    talk.accept(&invite, "recvonly").await;
    talk.house.until_state(call, CallState::Held).await;
    talk.until_heard(false).await;
    talk.house.close().await;
}

/// RFC 3891 §3, RFC 3911 §4: the place is had when the new call is established. Whoever keeps the ACK back until then would
/// listen past what the person does with the call that they see.
#[tokio::test]
async fn who_comes_for_a_call_hears_nobody_before_it_has_its_place() {
    for header in ["Replaces", "Join"] {
        let mut talk = Talk::begin_with(|s| s.calls.joins = JoinPolicy::Always).await;
        let (call, carol) = (talk.call, talk.carol);
        let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
        talk.until_heard(true).await;
        let (media, tag) = comes(&talk, header).await;
        assert_deaf(&media, Duration::from_secs(1)).await;
        assert!(talk.media.hears.load(Relaxed));
        talk.house
            .engine
            .send(Command::MuteCall { call, muted: true });
        let is_muted =
            |s: &model::Snapshot| s.calls.iter().find(|c| c.id == call)?.muted.then_some(());
        talk.house.until("it is muted", is_muted).await;
        let acknowledged = other(&talk.dan.says("ACK", 1, Some(&tag), ""));
        talk.dan.send(carol, &acknowledged).await;
        let is_up = |s: &model::Snapshot| {
            let new = s.calls.iter().find(|c| c.id != call)?;
            (new.state == CallState::Connected && new.muted).then_some(new.id)
        };
        let new = talk.house.until("it is up, and muted as well", is_up).await;
        // Whoever joins hears the others from now on.
        if header == "Join" {
            talk.house.close().await;
            continue;
        }
        assert_deaf(&media, Duration::from_secs(1)).await;
        talk.house.engine.send(Command::MuteCall {
            call: new,
            muted: false,
        });
        let began = Instant::now();
        while !media.hears.load(Relaxed) {
            assert!(began.elapsed() < Duration::from_secs(10), "{header}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        talk.house.close().await;
    }
}

/// Who comes for a call that the person has hung up comes for nothing.
#[tokio::test]
async fn a_call_for_the_place_of_one_that_was_hung_up_ends_with_it() {
    for header in ["Replaces", "Join"] {
        let mut talk = Talk::begin_with(|s| s.calls.joins = JoinPolicy::Always).await;
        let (call, carol) = (talk.call, talk.carol);
        let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
        talk.until_heard(true).await;
        let (media, tag) = comes(&talk, header).await;
        talk.house.end(call);
        let (bye, _) = talk.dan.request(Method::Bye).await;
        talk.dan.send(carol, &answer(&bye, "200 OK", "", "")).await;
        let acknowledged = other(&talk.dan.says("ACK", 1, Some(&tag), ""));
        talk.dan.send(carol, &acknowledged).await;
        let (bye, _) = talk.dan.request(Method::Bye).await;
        talk.dan.send(carol, &answer(&bye, "200 OK", "", "")).await;
        assert_deaf(&media, Duration::from_millis(500)).await;
        talk.house
            .until("all calls are over", |s| {
                let over = |c: &model::CallView| c.state == CallState::Ended;
                (s.calls.len() == 2 && s.calls.iter().all(over)).then_some(())
            })
            .await;
        talk.house.close().await;
    }
}

/// A call asks a server of its account where its media is, and that one takes its time: mute and hold do not wait for it.
#[tokio::test]
async fn mute_and_hold_wait_for_no_server() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let server = silent.local_addr().expect("it is bound");
    let with = |s: &mut AccountSettings| s.stun = Some(server.to_string().into());
    let talk = Talk::begin_with(with).await;
    let call = talk.call;
    let _pipe = (talk.house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
    for command in [
        Command::MuteCall { call, muted: true },
        Command::HoldCall { call },
    ] {
        talk.until_heard(true).await;
        // It looks for the way, and then for the server, which has a second.
        let local = "127.0.0.1".parse().expect("an address");
        let moved = crate::tenant::TenantMsg::MoveCalls(local);
        let tenant = talk.house.tenant_of("carol");
        let moved = crate::phone::PhoneMsg::Tell(tenant, Box::new(moved));
        talk.house.tell_phone(moved);
        tokio::time::sleep(Duration::from_millis(100)).await;
        talk.house.engine.send(command.clone());
        let began = Instant::now();
        while talk.media.hears.load(Relaxed) {
            assert!(began.elapsed() < Duration::from_millis(500), "{command:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_deaf(&talk.media, Duration::from_secs(2)).await;
        let unmute = Command::MuteCall { call, muted: false };
        talk.house.engine.send(unmute);
    }
    talk.house.close().await;
}
