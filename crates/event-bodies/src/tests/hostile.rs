//! Bodies that mean no good.

use proptest::prelude::*;

use crate::BodyError;
use crate::conference::{ConferenceInfo, Roster};
use crate::dialog_info::{DialogInfo, DialogTable};
use crate::message_summary::MessageSummary;
use crate::presence::Presence;
use crate::reg_info::RegInfo;

/// Reads it as everything; what can be read is written, read again and the same.
fn read_all(body: &[u8]) {
    if let Ok(summary) = MessageSummary::parse(body) {
        let _ = MessageSummary::parse(&summary.to_bytes()).expect("its own words");
    }
    if let Ok(info) = DialogInfo::parse(body) {
        let mut table = DialogTable::default();
        table.apply(&info);
        let _ = (table.lamp(), table.pickup());
        let again = DialogInfo::parse(&info.to_bytes()).expect("its own words");
        assert_eq!(again.dialogs.len(), info.dialogs.len());
    }
    if let Ok(presence) = Presence::parse(body) {
        let again = Presence::parse(&presence.to_bytes()).expect("its own words");
        assert_eq!(again.tuples.len(), presence.tuples.len());
    }
    if let Ok(info) = RegInfo::parse(body) {
        RegInfo::parse(&info.to_bytes()).expect("its own words");
    }
    if let Ok(info) = ConferenceInfo::parse(body) {
        Roster::default().apply(&info);
        ConferenceInfo::parse(&info.to_bytes()).expect("its own words");
    }
}

fn error(body: &str) -> BodyError {
    DialogInfo::parse(body.as_bytes()).expect_err(body)
}

#[test]
fn document_types_and_entities_are_refused() {
    let laughs = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>\
                  <dialog-info version='0' state='full' entity='&lol2;'/>";
    assert_eq!(error(laughs), BodyError::Declaration);
    assert_eq!(
        error("<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><dialog-info version='0'/>"),
        BodyError::Declaration
    );
    assert_eq!(
        error("<dialog-info version='0' entity='&xxe;'/>"),
        BodyError::Declaration
    );
    assert_eq!(
        error("<dialog-info version='0'><dialog>&xxe;</dialog></dialog-info>"),
        BodyError::Declaration
    );
}

#[test]
fn depth_breadth_and_size_have_an_end() {
    let deep = "<dialog-info version='0'>".to_owned() + &"<a>".repeat(10_000);
    assert_eq!(error(&deep), BodyError::TooManyElements);
    let broad = "<dialog-info version='0'>".to_owned() + &"<a/>".repeat(10_000) + "</dialog-info>";
    assert_eq!(error(&broad), BodyError::TooManyElements);
    let large = " ".repeat(300_000) + "<dialog-info version='0'/>";
    assert_eq!(error(&large), BodyError::TooLarge);
    let attributes: String = (0..20_000).map(|n| format!(" a{n}=''")).collect();
    let info = format!("<dialog-info version='0'{attributes}/>");
    assert!(DialogInfo::parse(info.as_bytes()).is_ok());
    let dialogs = "<dialog id='D'><state>early</state></dialog>";
    let many: String = (0..4000)
        .map(|n| dialogs.replace('D', &n.to_string()))
        .collect();
    let info =
        DialogInfo::parse(format!("<dialog-info version='0'>{many}</dialog-info>").as_bytes());
    assert_eq!(info.unwrap().dialogs.len(), 256);
}

#[test]
fn what_is_not_well_formed_is_refused_and_not_guessed_at() {
    for body in [
        "",
        "dialog-info",
        "<dialog-info version='0'>",
        "<dialog-info version='0'></dialog-inf>",
        "<dialog-info version='0'/><dialog-info/>",
        "</dialog-info>",
        "<dialog-info version='0' &#0;/>",
        "<dialog-info version='0'>&#xd800;</dialog-info>",
    ] {
        assert!(matches!(error(body), BodyError::IllFormed(_)), "{body}");
    }
    assert_eq!(
        error("<presence/>"),
        BodyError::SomethingElse("presence".to_owned())
    );
    assert_eq!(error("<dialog-info/>"), BodyError::Missing("a version"));
    assert_eq!(
        DialogInfo::parse(b"<dialog-info version='0' entity='\xff'/>"),
        Err(BodyError::NotUtf8)
    );
}

const SEEDS: [&str; 5] = [
    "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n",
    "<dialog-info version='1' state='full' entity='sip:a@x'><dialog id='1' call-id='c' direction='recipient'>\
     <state code='200'>early</state><remote><identity display='B'>sip:b@x</identity></remote></dialog></dialog-info>",
    "<presence entity='sip:a@x'><tuple id='1'><status><basic>open</basic></status></tuple>\
     <person><activities><on-the-phone/></activities></person></presence>",
    "<reginfo version='1' state='full'><registration aor='sip:a@x' id='1' state='active'>\
     <contact id='2' state='active' event='created'><uri>sip:a@h</uri></contact></registration></reginfo>",
    "<conference-info entity='sip:c@x' version='1' state='full'><users><user entity='sip:a@x'>\
     <endpoint entity='sip:a@h'><status>connected</status></endpoint></user></users></conference-info>",
];

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_all(&body);
    }

    #[test]
    fn any_xml_like_text_is_read_or_refused(
        body in "(<[/?!]?[a-z:-]{0,8}( [a-z]{1,4}=['\"][^<>]{0,6}['\"])?/?>|&[#a-z0-9]{0,6};|[ -~]{0,5}){0,20}",
    ) {
        read_all(body.as_bytes());
    }

    #[test]
    fn bodies_with_a_few_octets_changed_are_read_or_refused(
        seed in 0_usize..5,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 0..6),
    ) {
        let mut body = SEEDS[seed].as_bytes().to_vec();
        for (index, octet, insert) in changes {
            let at = index.index(body.len());
            if insert {
                body.insert(at, octet);
            } else {
                body[at] = octet;
            }
        }
        read_all(&body);
    }
}

#[test]
fn the_seeds_are_read() {
    assert!(MessageSummary::parse(SEEDS[0].as_bytes()).is_ok());
    assert!(DialogInfo::parse(SEEDS[1].as_bytes()).is_ok());
    assert!(Presence::parse(SEEDS[2].as_bytes()).is_ok());
    assert!(RegInfo::parse(SEEDS[3].as_bytes()).is_ok());
    assert!(ConferenceInfo::parse(SEEDS[4].as_bytes()).is_ok());
}

#[test]
fn what_nobody_can_see_is_no_address_and_the_name_beside_it_stays() {
    let body = "<dialog-info version='0' state='full' entity='sip:a@example.com'><dialog id='1'>\
                <state>early</state><remote><identity display='Bob'>\n \u{4} </identity></remote>\
                </dialog></dialog-info>";
    let info = DialogInfo::parse(body.as_bytes()).expect("a document");
    let remote = &info.dialogs[0].remote;
    assert!(remote.identity.is_none());
    assert_eq!(
        remote.display.as_ref().map(privacy::Private::reveal),
        Some("Bob")
    );
    let written = info.to_bytes();
    let again = DialogInfo::parse(&written).expect("its own words");
    assert_eq!(again, info);
    assert_eq!(again.to_bytes(), written);
}
