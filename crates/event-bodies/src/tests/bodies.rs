//! What well-meant bodies say.

use crate::conference::{ConferenceInfo, Endpoint, Roster, User};
use crate::dialog_info::{
    DialogEntry, DialogInfo, DialogState, DialogTable, Direction, Lamp, Party,
};
use crate::message_summary::{Counts, MessageClass, MessageSummary};
use crate::presence::{ON_THE_PHONE, Presence, Tuple};
use crate::reg_info::{RegContact, RegEntry, RegInfo, RegState};
use crate::{Applied, BodyError, Scope};

// ---- RFC 3842 §5.2 ----

#[test]
fn a_message_summary_is_read_and_written() {
    let body = b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n\
                 Voice-Message: 2/8 (0/2)\r\nFax-Message: 1/0\r\nX-Odd: 9\r\n\r\nTo: <alice>\r\n";
    let summary = MessageSummary::parse(body).unwrap();
    assert!(summary.waiting);
    assert_eq!(
        summary.account.as_ref().map(privacy::Identity::reveal),
        Some("sip:alice@vmail.example.com")
    );
    assert_eq!(summary.new_voice(), Some(2));
    assert_eq!(
        summary.of(MessageClass::Voice),
        Some(Counts {
            new: 2,
            old: 8,
            new_urgent: 0,
            old_urgent: 2
        })
    );
    assert_eq!(summary.of(MessageClass::Fax).unwrap().new, 1);
    assert_eq!(MessageSummary::parse(&summary.to_bytes()), Ok(summary));
}

#[test]
fn a_message_summary_needs_only_its_first_line() {
    let off = MessageSummary::parse(b"messages-waiting: no\n").unwrap();
    assert_eq!(off, MessageSummary::default());
    assert_eq!(
        MessageSummary::parse(b"Voice-Message: 1/0\r\n"),
        Err(BodyError::Missing("Messages-Waiting"))
    );
    // Counts that are none are passed over.
    for odd in ["x/y", "1", "-1/2", "99999999999/0", "1/2 (", "/"] {
        let body = format!("Messages-Waiting: yes\r\nVoice-Message: {odd}\r\n");
        let read = MessageSummary::parse(body.as_bytes()).unwrap();
        assert_eq!(read.new_voice().is_some(), odd == "1/2 (", "{odd}");
    }
}

// ---- RFC 4235 ----

/// The second example of RFC 4235 §6.1, with the namespace as a prefix.
const RINGING: &str = r#"<?xml version="1.0"?>
<!-- a comment -->
<d:dialog-info xmlns:d="urn:ietf:params:xml:ns:dialog-info" version="1" state="full"
    entity="sip:alice@example.com">
  <d:dialog id="as7d900as8" call-id="a84b4c76e66710" local-tag="1928301774"
      remote-tag="456887766" direction="recipient">
    <d:state event="x">early</d:state>
    <d:duration>7</d:duration>
    <d:local><d:target uri="sip:alice@pc33.example.com"><d:param pname="x" pval="y"/></d:target></d:local>
    <d:remote><d:identity display="Bob &amp; &#x42;arbara">sip:bob@example.org</d:identity></d:remote>
    <other:thing xmlns:other="urn:other"/>
  </d:dialog>
</d:dialog-info>"#;

#[test]
fn a_ringing_phone_is_seen_and_can_be_picked_up() {
    let info = DialogInfo::parse(RINGING.as_bytes()).unwrap();
    let mut table = DialogTable::default();
    assert_eq!(table.apply(&info), Applied::Taken);
    assert_eq!(table.lamp(), Lamp::Ringing);
    let pickup = table.pickup().unwrap();
    assert_eq!(pickup.call_id, "a84b4c76e66710");
    assert_eq!(pickup.to_tag, "1928301774", "the one who is called");
    assert_eq!(pickup.from_tag, "456887766");
    assert_eq!(
        pickup.caller.display.as_ref().map(privacy::Private::reveal),
        Some("Bob & Barbara")
    );
    assert_eq!(
        pickup
            .caller
            .identity
            .as_ref()
            .map(privacy::Identity::reveal),
        Some("sip:bob@example.org")
    );
    assert_eq!(
        pickup.target.as_ref().map(privacy::Identity::reveal),
        Some("sip:alice@pc33.example.com")
    );
    assert_eq!(info.dialogs[0].duration_s, Some(7));
}

#[test]
fn lamps_follow_the_dialogs() {
    let lamp = |state, direction| {
        DialogEntry {
            direction,
            ..DialogEntry::new("1", state)
        }
        .lamp()
    };
    use DialogState::{Confirmed, Early, Proceeding, Terminated, Trying};
    for state in [Trying, Proceeding, Early] {
        assert_eq!(lamp(state, Some(Direction::Initiator)), Lamp::Calling);
        assert_eq!(lamp(state, Some(Direction::Recipient)), Lamp::Ringing);
        assert_eq!(lamp(state, None), Lamp::Ringing);
    }
    assert_eq!(lamp(Confirmed, None), Lamp::Busy);
    assert_eq!(lamp(Terminated, None), Lamp::Idle);
    // Without tags there is nothing to pick up.
    assert_eq!(DialogEntry::new("1", Early).pickup(), None);
}

fn document(version: u32, scope: Scope, dialogs: &[(&str, DialogState)]) -> DialogInfo {
    let dialogs = dialogs
        .iter()
        .map(|(id, state)| DialogEntry::new(*id, *state));
    DialogInfo {
        version,
        scope,
        entity: "sip:a@x".into(),
        dialogs: dialogs.collect(),
    }
}

/// RFC 4235 §4.3.
#[test]
fn partial_documents_change_what_they_name_and_gaps_are_noticed() {
    use DialogState::{Confirmed, Early, Terminated};
    let mut table = DialogTable::default();
    let partial = |version, dialogs| document(version, Scope::Partial, dialogs);
    assert_eq!(table.apply(&partial(3, &[("1", Early)])), Applied::Gap);
    let full = document(5, Scope::Full, &[("1", Early), ("2", Confirmed)]);
    assert_eq!(table.apply(&full), Applied::Taken);
    assert_eq!(table.lamp(), Lamp::Ringing);
    assert_eq!(
        table.apply(&partial(6, &[("1", Terminated)])),
        Applied::Taken
    );
    assert_eq!(table.lamp(), Lamp::Busy);
    assert_eq!(table.apply(&partial(6, &[("2", Terminated)])), Applied::Old);
    assert_eq!(table.apply(&partial(8, &[("2", Terminated)])), Applied::Gap);
    assert_eq!(table.lamp(), Lamp::Busy);
    assert_eq!(table.apply(&document(9, Scope::Full, &[])), Applied::Taken);
    assert_eq!(table.lamp(), Lamp::Idle);
    assert_eq!(table.apply(&full), Applied::Old);
    // The last number there is.
    assert_eq!(
        table.apply(&document(u32::MAX, Scope::Full, &[])),
        Applied::Taken
    );
    assert_eq!(table.apply(&partial(u32::MAX, &[])), Applied::Old);
}

#[test]
fn dialogs_are_read_as_they_were_written() {
    let mut info = document(7, Scope::Partial, &[]);
    info.dialogs.push(DialogEntry {
        call_id: Some("c@x".to_owned()),
        local_tag: Some("l".to_owned()),
        remote_tag: Some("\"r\"&<>'".to_owned()),
        direction: Some(Direction::Initiator),
        event: Some("rejected".to_owned()),
        code: Some(486),
        duration_s: Some(0),
        local: Party {
            display: None,
            identity: Some("sip:a@x".into()),
            target: Some("sip:a@10.0.0.1;transport=tcp?a=b&c=d".into()),
        },
        remote: Party {
            display: Some("tab\there".into()),
            identity: Some("sip:b@y".into()),
            target: None,
        },
        ..DialogEntry::new("<1>", DialogState::Terminated)
    });
    assert_eq!(DialogInfo::parse(&info.to_bytes()), Ok(info));
}

// ---- RFC 3863, RFC 4480 ----

#[test]
fn presence_with_activities_is_read() {
    let body = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
  xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:someone@example.com">
  <tuple id="bs35r9"><status><basic>open</basic></status>
    <contact priority="0.8">im:someone@mobile.example.net</contact>
    <note xml:lang="en">Don't Disturb Please!</note><timestamp>2005-05-30T22:00:29Z</timestamp></tuple>
  <tuple id="c2"><status><basic>closed</basic></status></tuple>
  <dm:person id="p1"><rpid:activities><rpid:note>x</rpid:note><rpid:on-the-phone/><rpid:busy/></rpid:activities>
    <dm:note>in a talk</dm:note></dm:person>
</presence>"#;
    let presence = Presence::parse(body.as_bytes()).unwrap();
    assert_eq!(presence.is_open(), Some(true));
    assert!(presence.does(ON_THE_PHONE) && presence.does("busy"));
    assert_eq!(presence.activities.len(), 2);
    assert_eq!(
        presence.note.as_ref().map(privacy::Private::reveal),
        Some("in a talk")
    );
    let first = &presence.tuples[0];
    assert_eq!(
        first.contact.as_ref().map(privacy::Identity::reveal),
        Some("im:someone@mobile.example.net")
    );
    assert_eq!(
        first.note.as_ref().map(privacy::Private::reveal),
        Some("Don't Disturb Please!")
    );
    assert_eq!(presence.tuples[1].open, Some(false));
}

#[test]
fn activities_of_older_phones_stand_in_the_status() {
    let body = "<presence entity='sip:a@x'><tuple id='1'><status><basic>open</basic>\
                <ep:activities xmlns:ep='urn:x'><ep:on-the-phone/></ep:activities></status></tuple></presence>";
    assert!(Presence::parse(body.as_bytes()).unwrap().does(ON_THE_PHONE));
    let nothing = Presence::parse(b"<presence entity='sip:a@x'/>").unwrap();
    assert_eq!(nothing.is_open(), None);
}

#[test]
fn presence_is_read_as_it_was_written() {
    let presence = Presence {
        entity: "sip:alice@example.com".into(),
        tuples: vec![Tuple {
            id: "t1".to_owned(),
            open: Some(false),
            contact: Some("sip:alice@10.0.0.1".into()),
            note: None,
            timestamp: None,
        }],
        activities: vec![ON_THE_PHONE.to_owned(), "meeting".to_owned()],
        note: Some("back at 3 < 4".into()),
    };
    assert_eq!(Presence::parse(&presence.to_bytes()), Ok(presence));
}

// ---- RFC 3680 ----

#[test]
fn bindings_are_read_as_they_were_written() {
    let info = RegInfo {
        version: 0,
        scope: Scope::Full,
        registrations: vec![RegEntry {
            aor: "sip:joe@example.com".into(),
            id: "a7".to_owned(),
            state: RegState::Active,
            contacts: vec![RegContact {
                id: "76".to_owned(),
                active: true,
                event: "registered".to_owned(),
                uri: "sip:joe@pc34.example.com".into(),
                display: Some("Joe".into()),
                expires_s: Some(7200),
                retry_after_s: None,
                call_id: Some("c".to_owned()),
                cseq: Some(3),
            }],
        }],
    };
    assert_eq!(RegInfo::parse(&info.to_bytes()), Ok(info));
    let body = r#"<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="1" state="partial">
      <registration aor="sip:joe@example.com" id="a7" state="active">
        <contact id="77" state="terminated" event="probation" retry-after="60"><uri>sip:joe@h</uri></contact>
        <contact id="78" state="odd"><uri>sip:joe@h</uri></contact>
      </registration></reginfo>"#;
    let info = RegInfo::parse(body.as_bytes()).unwrap();
    assert_eq!(info.scope, Scope::Partial);
    let [contact] = info.registrations[0].contacts.as_slice() else {
        panic!("the odd one is passed over");
    };
    assert_eq!((contact.active, contact.retry_after_s), (false, Some(60)));
}

// ---- RFC 4575 ----

fn user(name: &str) -> User {
    User {
        entity: format!("sip:{name}@example.com").into(),
        display: Some(name.into()),
        endpoints: vec![Endpoint {
            entity: format!("sip:{name}@10.0.0.1").into(),
            status: Some("connected".to_owned()),
            deleted: false,
            media: vec![("audio".to_owned(), Some("sendrecv".to_owned()))],
        }],
        ..User::default()
    }
}

fn conference(version: u32, scope: Scope, users: Vec<User>) -> ConferenceInfo {
    ConferenceInfo {
        entity: "sip:conf@example.com".into(),
        version,
        scope,
        deleted: false,
        subject: None,
        user_count: Some(2),
        users,
        all_users: scope == Scope::Full,
    }
}

#[test]
fn a_roster_follows_its_documents() {
    let mut roster = Roster::default();
    let mut first = conference(1, Scope::Full, vec![user("ann"), user("bob")]);
    first.subject = Some("Agenda".into());
    assert_eq!(ConferenceInfo::parse(&first.to_bytes()), Ok(first.clone()));
    assert_eq!(roster.apply(&first), Applied::Taken);
    assert_eq!(roster.subject(), Some("Agenda"));
    // Ann goes on hold, told as a change of her one phone; Bob leaves; Cid comes.
    let mut held = user("ann");
    held.partial = true;
    held.display = None;
    held.endpoints[0].status = Some("on-hold".to_owned());
    let gone = User {
        deleted: true,
        endpoints: Vec::new(),
        ..user("bob")
    };
    let second = conference(2, Scope::Partial, vec![held, gone, user("cid")]);
    let read = ConferenceInfo::parse(&second.to_bytes()).unwrap();
    assert_eq!(roster.apply(&read), Applied::Taken);
    let names: Vec<_> = roster
        .users()
        .iter()
        .map(|user| {
            (
                user.display.as_ref().map(privacy::Private::reveal).unwrap(),
                user.is_connected(),
            )
        })
        .collect();
    assert_eq!(names, [("ann", false), ("cid", true)]);
    assert_eq!(roster.subject(), Some("Agenda"));
    assert_eq!(
        roster.apply(&conference(4, Scope::Partial, vec![])),
        Applied::Gap
    );
    let mut end = conference(5, Scope::Full, vec![]);
    end.deleted = true;
    let end = ConferenceInfo::parse(&end.to_bytes()).unwrap();
    assert_eq!(roster.apply(&end), Applied::Taken);
    assert!(roster.is_over() && roster.users().is_empty());
}
