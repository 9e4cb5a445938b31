use proptest::prelude::*;

use super::text::{TextOptions, Times, render};
use super::*;
use crate::testing::{any_records, message, note, sip};

fn with_credentials(text: &str) -> String {
    text.replace(
        "Max-Forwards: 70",
        "Authorization: Digest username=\"alice\"",
    )
}

/// An INVITE that is challenged, answered, and ends well, with all its retransmissions.
fn call() -> Vec<TraceRecord> {
    let invite = "INVITE sip:600@example.com SIP/2.0";
    vec![
        sip(1, 0, true, &message(invite, "INVITE", 1)),
        sip(2, 500, true, &message(invite, "INVITE", 1)),
        sip(
            3,
            510,
            false,
            &message("SIP/2.0 407 Proxy Authentication Required", "INVITE", 1),
        ),
        sip(
            4,
            511,
            true,
            &message("ACK sip:600@example.com SIP/2.0", "ACK", 1),
        ),
        sip(
            5,
            512,
            true,
            &with_credentials(&message(invite, "INVITE", 2)),
        ),
        note(6, 513, "media", "Port 4000 is open."),
        sip(7, 600, false, &message("SIP/2.0 180 Ringing", "INVITE", 2)),
        sip(8, 9_600, false, &message("SIP/2.0 200 OK", "INVITE", 2)),
        sip(
            9,
            9_601,
            true,
            &message("ACK sip:600@example.com SIP/2.0", "ACK", 2),
        ),
    ]
}

fn labels(ladder: &Ladder) -> Vec<String> {
    let label = |row: &Row| match &row.what {
        Mark::Arrow(arrow) => format!("{} x{}", arrow.label, arrow.times_seen),
        Mark::Note { topic, .. } => format!("note {topic}"),
        Mark::Gap { length } => format!("gap {}", length.as_millis()),
    };
    ladder.rows.iter().map(label).collect()
}

#[test]
fn a_challenge_and_its_answer_are_one_row() {
    let ladder = layout(&call());
    assert_eq!(
        labels(&ladder),
        [
            "INVITE x1",
            "note media",
            "180 Ringing x1",
            "gap 9000",
            "200 OK x1",
            "ACK x1"
        ]
    );
    let Mark::Arrow(arrow) = &ladder.rows[0].what else {
        panic!("the first row is an arrow");
    };
    assert_eq!(arrow.authenticated, Some(407));
    assert_eq!(ladder.rows[0].records, [4, 0, 1, 2, 3]);
    assert_eq!(ladder.folded, 4);
}

#[test]
fn unfolded_every_message_stands_for_itself_and_retransmissions_are_counted() {
    let options = LadderOptions {
        fold_authentication: false,
        ..LadderOptions::default()
    };
    let ladder = layout_with(&call(), &options);
    assert_eq!(
        labels(&ladder)[..4],
        [
            "INVITE x2",
            "407 Proxy Authentication Required x1",
            "ACK x1",
            "INVITE x1"
        ]
    );
    assert_eq!(ladder.rows[0].records, [0, 1]);
    assert_eq!(ladder.columns.len(), 2);
    assert!(ladder.columns[0].is_local && !ladder.columns[1].is_local);
}

#[test]
fn a_challenge_that_nobody_answered_stays_in_sight() {
    let ladder = layout(&call()[..4]);
    assert_eq!(labels(&ladder).len(), 3);
    let Mark::Arrow(arrow) = &ladder.rows[1].what else {
        panic!("the second row is an arrow");
    };
    assert_eq!(arrow.meaning, Meaning::Challenge);
    // The same request again without credentials is no answer either.
    let mut records = call();
    records[4] = sip(
        5,
        512,
        true,
        &message("INVITE sip:600@example.com SIP/2.0", "INVITE", 2),
    );
    assert_eq!(layout(&records).folded, 0);
}

#[test]
fn a_stale_nonce_folds_twice() {
    let start = "REGISTER sip:example.com SIP/2.0";
    let challenge = "SIP/2.0 401 Unauthorized";
    let ladder = layout(&[
        sip(1, 0, true, &message(start, "REGISTER", 1)),
        sip(2, 1, false, &message(challenge, "REGISTER", 1)),
        sip(
            3,
            2,
            true,
            &with_credentials(&message(start, "REGISTER", 2)),
        ),
        sip(4, 3, false, &message(challenge, "REGISTER", 2)),
        sip(
            5,
            4,
            true,
            &with_credentials(&message(start, "REGISTER", 3)),
        ),
        sip(6, 5, false, &message("SIP/2.0 200 OK", "REGISTER", 3)),
    ]);
    assert_eq!(labels(&ladder), ["REGISTER x1", "200 OK x1"]);
    assert_eq!(ladder.folded, 4);
}

#[test]
fn it_prints_as_a_person_would_draw_it() {
    let text = render(&layout(&call()), &TextOptions::default());
    let expected = "
127.0.0.1:5070                      192.0.2.1:5060
00:00:00.512        │─ INVITE (authenticated) ─────────▶│
00:00:00.513 • media: Port 4000 is open.
00:00:00.600        │◀──────────────────── 180 Ringing ─│
                    ┊ 9.0 s                             ┊
00:00:09.600        │◀───────────────────────── 200 OK ─│
00:00:09.601        │─ ACK ────────────────────────────▶│
";
    assert_eq!(
        text.trim_start_matches(' '),
        expected.trim_start_matches(['\n', ' '])
    );
    let ascii = TextOptions {
        ascii: true,
        times: Times::SinceFirst,
        column_width: 20,
    };
    let text = render(&layout(&call()[6..]), &ascii);
    assert!(text.contains("|<---- 180 Ringing -|"), "{text}");
    assert!(
        text.contains("       9.001        |- ACK ------------>|"),
        "{text}"
    );
}

#[test]
fn a_flood_of_addresses_shares_the_last_column() {
    let mut records = Vec::new();
    for n in 0..1000 {
        let mut record = sip(
            n,
            0,
            false,
            &message("OPTIONS sip:a@b SIP/2.0", "OPTIONS", 1),
        );
        if let model::TraceBody::Sip { peer, .. } = &mut record.body {
            *peer = format!("192.0.2.{}:{n}", n % 256);
        }
        records.push(record);
    }
    let ladder = layout(&records);
    assert_eq!(ladder.columns.len(), MOST_COLUMNS);
    assert_eq!(ladder.rows.len(), 1000 - (1000 - (MOST_COLUMNS - 2) - 1));
}

const ESCAPE: char = '\u{1b}';

proptest! {
    #[test]
    fn whatever_was_recorded_can_be_laid_out_and_printed(
        records in any_records(),
        fold in any::<bool>(),
        ascii in any::<bool>(),
        column_width in any::<usize>(),
    ) {
        let options = LadderOptions { fold_authentication: fold, ..LadderOptions::default() };
        let ladder = layout_with(&records, &options);
        let mut shown: Vec<usize> = ladder.rows.iter().flat_map(|row| row.records.clone()).collect();
        shown.sort_unstable();
        prop_assert_eq!(shown, (0..records.len()).collect::<Vec<_>>(), "each record is in one row");
        for times in [Times::Absolute, Times::SincePrevious, Times::SinceFirst] {
            let text = render(&ladder, &TextOptions { ascii, times, column_width });
            prop_assert!(!text.contains(ESCAPE));
            prop_assert_eq!(text.lines().count(), ladder.rows.len() + 1);
        }
    }
}
