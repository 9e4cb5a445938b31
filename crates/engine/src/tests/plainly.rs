//! Encryption first, and plain where that is refused and allowed.

use model::{CallState, SrtpPolicy};
use sip_message::Method;

use super::house::tone;
use super::peer::{Peer, answer, carol_with};

#[tokio::test]
async fn a_call_refused_for_its_encryption_is_made_once_more_without_and_that_is_said() {
    for srtp in [SrtpPolicy::Optional, SrtpPolicy::OptionalTwoLines] {
        let (mut house, _) = carol_with(tone(), |settings| settings.srtp = srtp).await;
        let dan = Peer::bind().await;
        let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
        let (invite, from) = dan.request(Method::Invite).await;
        let body = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(body.contains("a=crypto"), "{body}");
        dan.send(from, &answer(&invite, "488 Not Acceptable Here", "", ""))
            .await;
        let (again, from) = dan.request(Method::Invite).await;
        assert_eq!(again.headers.call_id(), invite.headers.call_id());
        let body = String::from_utf8_lossy(&again.body).into_owned();
        assert!(
            !body.contains("a=crypto") && !body.contains("SAVP"),
            "{body}"
        );
        dan.send(from, &answer(&again, "488 Not Acceptable Here", "", ""))
            .await;
        house.until_state(out, CallState::Ended).await;
        house.until_notes("the call is offered without", 1).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_call_that_must_be_encrypted_is_not_made_in_the_clear() {
    let (mut house, _) = carol_with(tone(), |settings| settings.srtp = SrtpPolicy::Required).await;
    let dan = Peer::bind().await;
    let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &answer(&invite, "488 Not Acceptable Here", "", ""))
        .await;
    house.until_state(out, CallState::Ended).await;
    house.until_message(true, "ACK sip:").await;
    let number = invite.headers.cseq().expect("a CSeq").number + 1;
    let another = format!("CSeq: {number} INVITE");
    assert_eq!(house.count_messages(true, &another), 0);
    house.close().await;
}
