//! Extended reports in offers and answers (RFC 3611 §5.2).

use super::*;
use crate::reports::ExtendedReports;

fn negotiator(last: u8) -> Negotiator {
    Negotiator::new(LocalMedia {
        address: IpAddr::from([192, 0, 2, last]),
        port: 4_000,
        codecs: vec![Codec::Pcmu],
        ptime_ms: 20,
        telephone_event: true,
        session_id: u64::from(last),
    })
}

fn line(description: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(description).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("a=rtcp-xr:"));
    line.map(str::to_owned)
}

/// What each side is to send, and our lines of both, where the peer's offer or answer has this one.
fn offered_to(peer: &str) -> (Option<String>, ExtendedReports) {
    let mut ours = negotiator(1).with_extended_reports();
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
         m=audio 6000 RTP/AVP 0\r\n{peer}"
    );
    let (answer, agreed) = ours.handle_offer(offer.as_bytes()).unwrap();
    (line(&answer), agreed.extended_reports)
}

#[test]
fn both_who_want_reports_send_them_to_each_other() {
    let (mut caller, mut callee) = (
        negotiator(1).with_extended_reports(),
        negotiator(2).with_extended_reports(),
    );
    let offer = caller.offer();
    assert_eq!(line(&offer).as_deref(), Some("rcvr-rtt=all voip-metrics"));
    let (answer, theirs) = callee.handle_offer(&offer).unwrap();
    assert_eq!(line(&answer), line(&offer));
    let ours = caller.handle_answer(&answer).unwrap();
    assert_eq!(ours.extended_reports, ExtendedReports::ALL);
    assert_eq!(theirs.extended_reports, ExtendedReports::ALL);
    // Later offers ask for the same.
    assert_eq!(line(&callee.offer()), line(&offer));
}

#[test]
fn who_does_not_ask_is_sent_none() {
    let (mut caller, mut callee) = (negotiator(1).with_extended_reports(), negotiator(2));
    let (answer, theirs) = callee.handle_offer(&caller.offer()).unwrap();
    assert_eq!(line(&answer), None);
    assert_eq!(theirs.extended_reports, ExtendedReports::default());
    let ours = caller.handle_answer(&answer).unwrap();
    assert_eq!(ours.extended_reports, ExtendedReports::default());
    assert_eq!(offered_to(""), (None, ExtendedReports::default()));
}

#[test]
fn an_answer_names_what_was_asked_for_and_is_known() {
    let metrics = ExtendedReports {
        voip_metrics: true,
        round_trip: false,
    };
    let (told, agreed) = offered_to("a=rtcp-xr:pkt-loss-rle stat-summary voip-metrics\r\n");
    assert_eq!((told.as_deref(), agreed), (Some("voip-metrics"), metrics));
    assert_eq!(offered_to("a=rtcp-xr:pkt-loss-rle\r\n").0, None);
    assert_eq!(offered_to("a=rtcp-xr\r\n").0, None);
}

#[test]
fn the_line_of_the_session_holds_for_its_media() {
    let mut ours = negotiator(1).with_extended_reports();
    let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
                 a=rtcp-xr:voip-metrics\r\nm=audio 6000 RTP/AVP 0\r\n";
    let (_, agreed) = ours.handle_offer(offer.as_bytes()).unwrap();
    assert!(agreed.extended_reports.voip_metrics);
}
