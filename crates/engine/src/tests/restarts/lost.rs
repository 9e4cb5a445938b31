//! A relay through which the only way leads, and which is lost.

use super::*;
use crate::tests::relayed::{Relay, THERE};

/// RFC 8656 §3.1, RFC 8445 §9: with the relay the way is gone. Another address is asked for and the ways are tried anew at once,
/// not when nobody has answered for half a minute (RFC 7675 §5.1).
#[tokio::test]
async fn the_only_way_leads_through_another_relay_when_the_first_is_lost() {
    let mut relay = Relay::open().await;
    let at = relay.at;
    let ears = Ears::open_for(|from| from.ip() == THERE).await;
    let (mut house, peer, mut ears, call, _) = talking_to(ears, |settings| {
        settings.turn = Some(format!("turn:{at}?transport=tcp").into());
    })
    .await;
    let first = ears.hear().await;
    // It is known which way is used.
    for _ in 0..250 {
        ears.hear().await;
    }
    relay.end().await;
    let begun = Instant::now();
    let (told, from) = peer.request(Method::Invite).await;
    println!("told after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(text(&told).contains("typ relay"), "{}", text(&told));
    let Credentials { ufrag, pwd } = Ears::credentials();
    let anew = |name: String| name.replace("dans", "dora");
    let credentials = Credentials {
        ufrag: anew(ufrag),
        pwd: anew(pwd),
    };
    ears.agree_as(&told.body, credentials);
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let sdp = anew(ears.sdp(2, true));
    peer.send(from, &answer(&told, "200 OK", &contact, &sdp))
        .await;
    peer.request(Method::Ack).await;
    let second = ears.hear().await;
    println!("from {first} to {second} after {:?}", begun.elapsed());
    assert_ne!(first, second);
    house.until_notice("another one is asked for").await;
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}
