//! Answers that take one of our keys for another (RFC 4568 §5.1.3): they are put right by one more offer, or end the call.

use std::net::SocketAddr;

use model::{CallId, CallState, Command, FailureKind, MediaSecurity, Protection, SrtpPolicy};
use sip_message::{HeaderName, Message, Method, Request};
use tokio::net::UdpSocket;

use super::house::{House, tone};
use super::peer::{Peer, answer, carol_with};

/// The suite that dan knows, and the tag under which we offer it first.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const TAG: u8 = 4;
/// A key of dan's.
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
/// A packet of PCMU with 20 ms of sound in the clear, and what that suite adds to it (RFC 3711 §4.2: ten octets).
const PLAIN: usize = 12 + 160;
const ENCRYPTED: usize = PLAIN + 10;

/// Carol, who only calls in secret, calls dan.
struct Called {
    house: House,
    dan: Peer,
    call: CallId,
    invite: Request,
    carol: SocketAddr,
    /// Where dan hears.
    ears: UdpSocket,
}

impl Called {
    async fn open() -> Self {
        let secret = |settings: &mut model::AccountSettings| settings.srtp = SrtpPolicy::Required;
        let (mut house, _) = carol_with(tone(), secret).await;
        let dan = Peer::bind().await;
        let ears = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
        let (invite, carol) = dan.request(Method::Invite).await;
        let offered = keys(&invite);
        assert!(offered.len() > 1, "{offered:?}");
        assert!(offered.contains(&format!("{TAG} {SUITE}")), "{offered:?}");
        Self {
            house,
            dan,
            call,
            invite,
            carol,
            ears,
        }
    }

    /// Answers with this key; media is to go where dan hears.
    async fn say(&self, to: &Request, line: &str, crypto: &str) {
        let port = self.ears.local_addr().expect("it is bound").port();
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/SAVP 0\r\na=crypto:{crypto} inline:{KEY}\r\n"
        );
        let more = format!(
            "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
            self.dan.local
        );
        self.dan
            .send(self.carol, &answer(to, line, &more, &body))
            .await;
    }

    /// Takes the call as baresip does: the first tag, and the suite that it likes.
    async fn is_taken_with_a_mistake(&self) {
        let crypto = format!("1 {SUITE}");
        self.say(&self.invite, "200 OK", &crypto).await;
        self.dan.request(Method::Ack).await;
    }

    /// The next offer, in which there is nothing to mistake; and half a second later, when it is said again (RFC 3261
    /// §17.1.1.2), time enough for a stream to be heard.
    async fn unmistakable_after(&self, before: &Request) -> Request {
        let number = |request: &Request| request.headers.cseq().expect("a CSeq").number;
        let offer = loop {
            let (offer, _) = self.dan.request(Method::Invite).await;
            // On a busy machine what is answered already may be said again.
            if number(&offer) != number(before) {
                break offer;
            }
        };
        assert_eq!(keys(&offer), [format!("1 {SUITE}")]);
        let (again, _) = self.dan.request(Method::Invite).await;
        assert_eq!(again, offer);
        offer
    }

    async fn unmistakable(&self) -> Request {
        self.unmistakable_after(&self.invite).await
    }

    /// Nothing was sent there.
    fn assert_silent(&self) {
        let mut packet = [0; 2048];
        let heard = self.ears.try_recv_from(&mut packet);
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Each packet that dan hears is longer than one in the clear.
    async fn assert_heard_in_secret(&self) {
        let mut packet = [0; 2048];
        for _ in 0..5 {
            let hearing = self.ears.recv_from(&mut packet);
            let heard = tokio::time::timeout(std::time::Duration::from_secs(10), hearing).await;
            let (length, _) = heard.expect("something is heard").expect("it works");
            assert_eq!(length, ENCRYPTED);
        }
    }

    async fn is_connected(&mut self) {
        let view = self
            .house
            .until_state(self.call, CallState::Connected)
            .await;
        assert_eq!(view.security, secret());
    }

    /// It ends by a BYE of ours, and says why; nothing was ever sent.
    async fn ends_unsecured(mut self) {
        // Once more it is said half a second later, too.
        self.dan.request(Method::Bye).await;
        self.dan.request(Method::Bye).await;
        let ended = self.house.until_state(self.call, CallState::Ended).await;
        let failure = ended.failure.expect("it says why");
        let said = failure.sentence().into_revealed();
        assert!(
            matches!(failure.what, FailureKind::NotSecured { .. }),
            "{failure:?}"
        );
        assert!(said.contains("does not belong to any"), "{said}");
        assert!(ended.connected_at.is_none());
        self.assert_silent();
        self.house.close().await;
    }
}

fn secret() -> MediaSecurity {
    let protection = Some(Protection::Sdes {
        suite: SUITE.to_owned(),
    });
    MediaSecurity {
        sent: protection.clone(),
        received: protection,
        // This signalling is by UDP.
        keys_in_clear: true,
    }
}

fn body(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

/// Tag and suite of each key in it.
fn keys(request: &Request) -> Vec<String> {
    let body = body(request);
    let lines = body
        .lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"));
    let keys = lines.filter_map(|line| line.split(" inline:").next());
    keys.map(str::to_owned).collect()
}

#[tokio::test]
async fn one_more_offer_puts_it_right_and_nothing_is_sent_before() {
    let mut called = Called::open().await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    let view = called.house.call(called.call);
    assert!(!view.state.is_up(), "{:?}", view.state);
    assert_eq!(view.security, MediaSecurity::default());
    called.assert_silent();
    // It is a change within the dialog (RFC 3261 §12.2.1.1), and another description (RFC 3264 §8).
    assert!(offer.headers.to().is_ok_and(|to| to.tag() == Some("peer")));
    let origin = |request: &Request| {
        let body = body(request);
        let line = body.lines().find_map(|line| line.strip_prefix("o="));
        let mut fields = line.expect("an origin").split(' ').map(str::to_owned);
        let session = fields.nth(1);
        (
            session,
            fields
                .next()
                .and_then(|version| version.parse::<u64>().ok()),
        )
    };
    let ((session, first), (same, second)) = (origin(&called.invite), origin(&offer));
    assert_eq!(session, same);
    assert_eq!(second, first.map(|version| version + 1));
    called.say(&offer, "200 OK", &format!("1 {SUITE}")).await;
    called.is_connected().await;
    called.assert_heard_in_secret().await;
    called
        .house
        .until_notes("under a tag that is not that key's", 1)
        .await;
    called.house.close().await;
}

/// RFC 3261 §13.2.1: what an early answer says is the answer, and a 2xx does not change it.
#[tokio::test]
async fn an_early_answer_with_the_mistake_is_put_right_when_the_call_is_taken() {
    let mut called = Called::open().await;
    let crypto = format!("1 {SUITE}");
    let early = "183 Session Progress";
    called.say(&called.invite, early, &crypto).await;
    called
        .house
        .until_notes("under a tag that is not that key's", 1)
        .await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    called.assert_silent();
    called.say(&offer, "200 OK", &crypto).await;
    called.is_connected().await;
    called.assert_heard_in_secret().await;
    called.house.close().await;
}

#[tokio::test]
async fn a_second_mistake_ends_the_call() {
    let called = Called::open().await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    called
        .say(&offer, "200 OK", &format!("{TAG} {SUITE}"))
        .await;
    called.dan.request(Method::Ack).await;
    called.ends_unsecured().await;
}

#[tokio::test]
async fn a_peer_that_does_not_take_the_second_offer_is_left() {
    let called = Called::open().await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    let refusal = answer(&offer, "488 Not Acceptable Here", "", "");
    called.dan.send(called.carol, &refusal).await;
    called.ends_unsecured().await;
}

/// What was not offered cannot be offered again.
#[tokio::test]
async fn a_suite_that_nobody_offered_ends_the_call_at_once() {
    let called = Called::open().await;
    let crypto = format!("{TAG} AES_CM_128_HMAC_SHA1_32");
    called.say(&called.invite, "200 OK", &crypto).await;
    called.dan.request(Method::Ack).await;
    let (next, _) = called.dan.receive().await.expect("something follows");
    assert!(
        matches!(&next, Message::Request(bye) if bye.method == Method::Bye),
        "{next:?}"
    );
    called.ends_unsecured().await;
}

#[tokio::test]
async fn the_peer_may_hang_up_before_it_is_put_right() {
    let mut called = Called::open().await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    let header = |name: HeaderName| offer.headers.get(name).expect("it is there").to_owned();
    let bye = format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK-bye;rport\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
        offer.headers.contact().expect("a Contact").uri,
        called.dan.local,
        header(HeaderName::To),
        header(HeaderName::From),
        header(HeaderName::CallId),
    );
    called.dan.send(called.carol, &bye).await;
    called
        .house
        .until_state(called.call, CallState::Ended)
        .await;
    let gone = answer(&offer, "487 Request Terminated", "", "");
    called.dan.send(called.carol, &gone).await;
    let ok = called.dan.final_response().await;
    assert_eq!(ok.status.code(), 200);
    called.assert_silent();
    called.house.close().await;
}

#[tokio::test]
async fn the_user_may_hang_up_before_it_is_put_right_and_a_late_answer_starts_nothing() {
    let mut called = Called::open().await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    called.house.end(called.call);
    called.say(&offer, "200 OK", &format!("1 {SUITE}")).await;
    let (bye, _) = called.dan.request(Method::Bye).await;
    let ok = answer(&bye, "200 OK", "", "");
    called.dan.send(called.carol, &ok).await;
    called
        .house
        .until_state(called.call, CallState::Ended)
        .await;
    called.assert_silent();
    called.house.close().await;
}

/// And a mistake in the answer to that is put right, too.
#[tokio::test]
async fn a_wish_of_the_user_waits_until_it_is_put_right() {
    let mut called = Called::open().await;
    called.is_taken_with_a_mistake().await;
    let offer = called.unmistakable().await;
    let call = called.call;
    called.house.engine.send(Command::HoldCall { call });
    let right = format!("1 {SUITE}");
    called.say(&offer, "200 OK", &right).await;
    let (hold, _) = called.dan.request(Method::Invite).await;
    assert_ne!(hold, offer);
    assert!(body(&hold).contains("a=sendonly"), "{}", body(&hold));
    assert_eq!(keys(&hold)[0], right, "the key in force is the first");
    called.say(&hold, "200 OK", &format!("2 {SUITE}")).await;
    let again = called.unmistakable_after(&hold).await;
    assert!(body(&again).contains("a=sendonly"), "{}", body(&again));
    called.say(&again, "200 OK", &right).await;
    let held = called.house.until_state(call, CallState::Held).await;
    assert!(held.held_by_us);
    assert_eq!(held.security, secret());
    called.house.close().await;
}
