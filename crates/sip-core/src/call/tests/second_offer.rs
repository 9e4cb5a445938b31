//! Another offer where the first one is refused.

use super::peer::{answer, heard, last, response, say};
use super::*;

const PLAIN: &[u8] = b"v=0 plain";

fn calling(second: Option<&[u8]>) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let server = add_script(&mut net, BOB);
    act(&mut net, alice, |phone, _| {
        login(&mut phone.config);
        phone.config.second_offer = second.map(<[u8]>::to_vec);
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    (net, alice, server)
}

fn refuse(net: &mut Net, server: NodeId, code: u16) {
    let request = last(net, server, "INVITE");
    say(net, server, ALICE, response(&request, code, "r").to_bytes());
    wait(net, 10);
}

#[test]
fn rfc3261_8_1_3_5_a_refused_offer_is_followed_by_another_one_in_the_same_call() {
    for code in [415, 488, 606] {
        let (mut net, alice, server) = calling(Some(PLAIN));
        let first = last(&net, server, "INVITE");
        let mut challenge = response(&first, 401, "c");
        challenge.headers.push(
            HeaderName::WwwAuthenticate,
            "Digest realm=\"r\", nonce=\"n\", algorithm=MD5",
        );
        say(&mut net, server, ALICE, challenge.to_bytes());
        wait(&mut net, 10);
        refuse(&mut net, server, code);
        let again = last(&net, server, "INVITE");
        assert_eq!(again.body, PLAIN);
        assert_eq!(again.headers.call_id(), first.headers.call_id());
        assert_eq!(again.headers.from(), first.headers.from(), "same tag");
        assert_eq!(again.headers.to().unwrap().tag(), None);
        let number = |request: &Request| request.headers.cseq().unwrap().number;
        assert_eq!(number(&again), number(&first) + 2);
        assert!(again.headers.has(HeaderName::Authorization), "{code}");
        let told = |event: &&CallEvent| matches!(event, CallEvent::OfferedAgain { .. });
        assert_eq!(phone(&net, alice).events.iter().filter(told).count(), 1);
        let ok = answer(&again, 200, "b", "sip:bob@192.0.2.2", ANSWER);
        say(&mut net, server, ALICE, ok.to_bytes());
        wait(&mut net, 10);
        assert!(phone(&net, alice).established());
    }
}

#[test]
fn a_second_refusal_and_a_refusal_for_something_else_end_the_call() {
    for (second, codes) in [
        (Some(PLAIN), &[488, 488][..]),
        (Some(PLAIN), &[486][..]),
        (None, &[488][..]),
    ] {
        let (mut net, alice, server) = calling(second);
        for code in codes {
            assert_eq!(phone(&net, alice).ended(), None);
            refuse(&mut net, server, *code);
        }
        assert_eq!(heard(&net, server, "INVITE").len(), codes.len());
        let ended = phone(&net, alice).ended().cloned();
        assert!(matches!(ended, Some(EndKind::Status { .. })), "{ended:?}");
        assert_all_gone(&mut net, &[alice]);
    }
}
