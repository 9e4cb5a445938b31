//! There is one microphone: whoever the person does not talk to does not hear them, however the calls came about.

use std::net::SocketAddr;

use model::{AccountSettings, AutoAnswer, CallId, CallState, Command, JoinPolicy, Transfer};
use sip_message::Method;

use super::house::{House, tenant, tone};
use super::peer::{Peer, SDP, answer, free_addr, to_tag, with};
use crate::{CallMedia, GivenAccount};

/// Where an account of ours is called, and by which name.
type Desk = (SocketAddr, &'static str);

/// Carol of one organisation and Erin of another, whom anybody may call and join, and where they are called.
async fn house(media: CallMedia) -> (House, [Desk; 2]) {
    house_with(media, |_| {}).await
}

/// The same with settings of the test's own.
async fn house_with(media: CallMedia, change: impl Fn(&mut AccountSettings)) -> (House, [Desk; 2]) {
    let at = [free_addr(), free_addr()];
    let given = |aor: &str, at: SocketAddr| {
        let mut settings = AccountSettings::new(aor);
        settings.register = false;
        settings.bind = Some(at.to_string());
        settings.calls.joins = JoinPolicy::Always;
        change(&mut settings);
        vec![GivenAccount {
            logins: Vec::new(),
            settings,
            password: None,
            relay_password: None,
        }]
    };
    let tenants = vec![
        tenant("One", given("sip:carol@127.0.0.1", at[0])),
        tenant("Other", given("sip:erin@127.0.0.1", at[1])),
    ];
    let mut house = House::start(tenants, media).await;
    house
        .until("both are there", |s| (s.accounts.len() == 2).then_some(()))
        .await;
    (house, [(at[0], "carol"), (at[1], "erin")])
}

/// A peer, where it calls, and our tag in its call once there is one.
struct Caller {
    peer: Peer,
    at: SocketAddr,
    call: CallId,
    tag: String,
}

impl Caller {
    /// Somebody calls, and the person answers.
    async fn answered(house: &mut House, (at, user): Desk) -> Self {
        let peer = Peer::bind().await;
        let invite = peer.says("INVITE", 1, None, SDP);
        let uri = format!("sip:{user}@127.0.0.1 SIP");
        peer.send(at, &invite.replacen("sip:carol@127.0.0.1 SIP", &uri, 1))
            .await;
        let call = house.until_ringing().await;
        house.engine.send(Command::AnswerCall { call });
        let tag = to_tag(&peer.final_response().await);
        peer.send(at, &peer.says("ACK", 1, Some(&tag), "")).await;
        house.until_state(call, CallState::Connected).await;
        Self {
            peer,
            at,
            call,
            tag,
        }
    }

    /// The header that names this call for others.
    fn named(&self, header: &str) -> String {
        let (local, tag) = (self.peer.local, &self.tag);
        format!("{header}: c1@{local};to-tag={tag};from-tag=dan-1\r\n")
    }

    /// From where this one speaks comes another call about it, and is taken at once; answers what we said in it.
    async fn comes_again(&self, house: &mut House, header: &str) -> (CallId, String) {
        let again = |text: String| {
            text.replace("Call-ID: c1@", "Call-ID: c9@")
                .replace(";tag=dan-1\r\nTo", ";tag=dan-9\r\nTo")
        };
        let invite = self.peer.says("INVITE", 9, None, SDP);
        self.peer
            .send(self.at, &again(with(&invite, &self.named(header))))
            .await;
        let said = loop {
            let response = self.peer.final_response().await;
            if response.headers.cseq().expect("a CSeq").number == 9 {
                assert_eq!(response.status.code(), 200);
                let ack = self.peer.says("ACK", 9, Some(&to_tag(&response)), "");
                self.peer.send(self.at, &again(ack)).await;
                break String::from_utf8_lossy(&response.body).into_owned();
            }
        };
        let new = house
            .until("the new call is up", |s| {
                let is_new = |c: &&model::CallView| c.sip_call_id.starts_with("c9@");
                let up = s.calls.iter().find(|c| is_new(c) && c.state.is_up())?;
                Some(up.id)
            })
            .await;
        (new, said)
    }

    /// The same in the place of this call, which ends.
    async fn is_replaced(&self, house: &mut House) -> (CallId, String) {
        let new = self.comes_again(house, "Replaces").await;
        let (bye, from) = self.peer.request(Method::Bye).await;
        self.peer.send(from, &answer(&bye, "200 OK", "", "")).await;
        house.until_state(self.call, CallState::Ended).await;
        new
    }
}

/// The peer agrees to the next change, which has to say this.
async fn agrees(peer: &Peer, direction: &str, answers: &str) {
    let (change, from) = peer.request(Method::Invite).await;
    let body = String::from_utf8_lossy(&change.body).into_owned();
    // RFC 8866 §6.7: it flows both ways where nothing is said.
    let said = body.lines().find_map(|line| {
        let ways = ["sendonly", "recvonly", "inactive", "sendrecv"];
        ways.into_iter().find(|way| line == format!("a={way}"))
    });
    assert_eq!(said.unwrap_or("sendrecv"), direction, "{body}");
    let more = format!(
        "Contact: <sip:peer@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let version = change.headers.cseq().expect("a CSeq").number + 1;
    let body = SDP.replace("o=- 1 1", &format!("o=- 1 {version}")) + &format!("a={answers}\r\n");
    peer.send(from, &answer(&change, "200 OK", &more, &body))
        .await;
}

async fn is_put_on_hold(house: &mut House, peer: &Peer, call: CallId) {
    agrees(peer, "sendonly", "recvonly").await;
    assert!(house.until_state(call, CallState::Held).await.held_by_us);
}

#[tokio::test]
async fn a_call_that_took_the_place_of_another_is_held_when_one_of_anybody_else_is_taken() {
    for other in [0, 1] {
        let (mut house, at) = house(CallMedia::Devices).await;
        let dan = Caller::answered(&mut house, at[0]).await;
        let (new, said) = dan.is_replaced(&mut house).await;
        assert!(!said.contains("a=sendonly"), "{said}");
        let eve = Caller::answered(&mut house, at[other]).await;
        is_put_on_hold(&mut house, &dan.peer, new).await;
        assert_eq!(house.call(eve.call).state, CallState::Connected);
        house.close().await;
    }
}

/// Scripts bring sound for each call.
#[tokio::test]
async fn where_each_call_has_its_own_sound_nobody_is_held_for_another() {
    let (mut house, at) = house(tone()).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let (new, _) = dan.is_replaced(&mut house).await;
    let eve = Caller::answered(&mut house, at[1]).await;
    assert!(dan.peer.receive().await.is_none());
    for call in [new, eve.call] {
        assert_eq!(house.call(call).state, CallState::Connected);
    }
    house.close().await;
}

/// Dan asks Carol to call Fay instead, and the person does.
async fn follows(house: &mut House, dan: &Caller, fay: &Peer) -> CallId {
    let refer = with(
        &dan.peer.says("REFER", 2, Some(&dan.tag), ""),
        &format!("Refer-To: <sip:fay@{}>\r\n", fay.local),
    );
    dan.peer.send(dan.at, &refer).await;
    house
        .until("a transfer is asked for", |s| {
            let view = s.calls.iter().find(|c| c.id == dan.call)?;
            matches!(view.transfer, Some(Transfer::Wanted { .. })).then_some(())
        })
        .await;
    house.engine.send(Command::AnswerTransfer {
        call: dan.call,
        accept: true,
    });
    agrees(fay, "sendrecv", "sendrecv").await;
    let new = house
        .until("it is followed", |s| {
            let view = s.calls.iter().find(|c| c.id == dan.call)?;
            match &view.transfer {
                Some(Transfer::Following { call, .. }) => Some(*call),
                _ => None,
            }
        })
        .await;
    house.until_state(new, CallState::Connected).await;
    new
}

#[tokio::test]
async fn a_call_that_a_transfer_made_is_held_when_another_is_taken() {
    let (mut house, at) = house(CallMedia::Devices).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let fay = Peer::bind().await;
    let new = follows(&mut house, &dan, &fay).await;
    let bye = dan.peer.says("BYE", 3, Some(&dan.tag), "");
    dan.peer.send(dan.at, &bye).await;
    house.until_state(dan.call, CallState::Ended).await;
    let eve = Caller::answered(&mut house, at[1]).await;
    is_put_on_hold(&mut house, &fay, new).await;
    assert_eq!(house.call(eve.call).state, CallState::Connected);
    house.close().await;
}

#[tokio::test]
async fn who_follows_a_transfer_turns_away_from_whom_they_spoke_with() {
    let (mut house, at) = house(CallMedia::Devices).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let eve = Caller::answered(&mut house, at[1]).await;
    is_put_on_hold(&mut house, &dan.peer, dan.call).await;
    let fay = Peer::bind().await;
    let new = follows(&mut house, &dan, &fay).await;
    is_put_on_hold(&mut house, &eve.peer, eve.call).await;
    assert_eq!(house.call(new).state, CallState::Connected);
    assert!(house.call(dan.call).held_by_us);
    house.close().await;
}

#[tokio::test]
async fn who_comes_in_the_place_of_a_call_on_hold_is_on_hold_until_the_person_turns_to_it() {
    let (mut house, at) = house(CallMedia::Devices).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let eve = Caller::answered(&mut house, at[1]).await;
    is_put_on_hold(&mut house, &dan.peer, dan.call).await;
    let (new, said) = dan.is_replaced(&mut house).await;
    // RFC 3264 §6.1: from the first answer on, and not a change later.
    assert!(said.contains("a=sendonly\r\n"), "{said}");
    assert!(house.until_state(new, CallState::Held).await.held_by_us);
    assert_eq!(house.call(eve.call).state, CallState::Connected);

    house.engine.send(Command::ResumeCall { call: new });
    agrees(&dan.peer, "sendrecv", "sendrecv").await;
    house.until_state(new, CallState::Connected).await;
    is_put_on_hold(&mut house, &eve.peer, eve.call).await;
    house.close().await;
}

#[tokio::test]
async fn who_comes_in_the_place_of_a_muted_call_hears_no_more_than_it() {
    let (mut house, at) = house(CallMedia::Devices).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let call = dan.call;
    house.engine.send(Command::MuteCall { call, muted: true });
    house
        .until("it is muted", |s| {
            s.calls.iter().any(|c| c.muted).then_some(())
        })
        .await;
    let (new, _) = dan.is_replaced(&mut house).await;
    let view = house.call(new);
    assert!(view.muted && !view.held_by_us);
    house.close().await;
}

#[tokio::test]
async fn who_joins_a_call_on_hold_waits_with_it() {
    let (mut house, at) = house(CallMedia::Devices).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let eve = Caller::answered(&mut house, at[1]).await;
    is_put_on_hold(&mut house, &dan.peer, dan.call).await;
    let (new, said) = dan.comes_again(&mut house, "Join").await;
    assert!(said.contains("a=sendonly\r\n"), "{said}");
    house
        .until("they are in one conference", |s| {
            let room = s.calls.iter().find(|c| c.id == dan.call)?.conference?;
            let members = s.calls.iter().filter(|c| c.conference == Some(room));
            (members.count() == 2).then_some(())
        })
        .await;
    // Nobody changes anything by that.
    assert!(dan.peer.receive().await.is_none());
    for call in [dan.call, new] {
        let view = house.call(call);
        assert!(view.held_by_us && view.state == CallState::Held, "{view:?}");
    }
    assert_eq!(house.call(eve.call).state, CallState::Connected);
    house.close().await;
}

#[tokio::test]
async fn who_comes_in_the_place_of_a_member_of_a_conference_is_one() {
    let (mut house, at) = house(CallMedia::Devices).await;
    let dan = Caller::answered(&mut house, at[0]).await;
    let eve = Caller::answered(&mut house, at[0]).await;
    is_put_on_hold(&mut house, &dan.peer, dan.call).await;
    house.engine.send(Command::JoinCalls {
        calls: vec![dan.call, eve.call],
    });
    agrees(&dan.peer, "sendrecv", "sendrecv").await;
    house.until_state(dan.call, CallState::Connected).await;
    let (new, said) = dan.is_replaced(&mut house).await;
    assert!(!said.contains("a=sendonly"), "{said}");
    house
        .until("it is in the conference", |s| {
            let room = s.calls.iter().find(|c| c.id == eve.call)?.conference?;
            let new = s.calls.iter().find(|c| c.id == new)?;
            (new.conference == Some(room)).then_some(())
        })
        .await;
    // Members do not hold each other.
    house.engine.send(Command::ResumeCall { call: eve.call });
    for peer in [&dan.peer, &eve.peer] {
        assert!(peer.receive().await.is_none());
    }
    for call in [new, eve.call] {
        assert_eq!(house.call(call).state, CallState::Connected);
    }
    house.close().await;
}

/// It takes its time to find out our own address.
#[tokio::test]
async fn a_call_does_not_take_itself_while_another_one_is_being_taken() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let (mut house, [(at, _), _]) = house_with(CallMedia::Devices, |settings| {
        settings.stun = Some(server.as_str().into());
        settings.calls.auto_answer = AutoAnswer::Always;
    })
    .await;
    let (dan, eve) = (Peer::bind().await, Peer::bind().await);
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    // The server is asked where we are.
    let mut question = [0; 1_500];
    silent.recv_from(&mut question).await.unwrap();
    eve.send(at, &eve.says("INVITE", 1, None, SDP)).await;
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    let rings = house.until_ringing().await;
    house
        .until("the first is up", |s| {
            let up = |c: &&model::CallView| c.state == CallState::Connected;
            s.calls.iter().find(up).map(|_| ())
        })
        .await;
    // What could have been asked for the second has had its time.
    while let Some((message, _)) = eve.receive().await {
        if let sip_message::Message::Response(response) = message {
            assert!(!response.status.is_final(), "{}", response.status);
        }
    }
    assert_eq!(house.call(rings).state, CallState::Ringing);
    house.close().await;
}
