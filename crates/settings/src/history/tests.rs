use super::*;
use crate::config::scratch;
use model::{Direction, Party, QualityStep, Sounded, Timestamp};

fn call(tenant: &str, account: &str, uri: &str, outcome: Outcome, at: i64) -> HistoryEntry {
    HistoryEntry {
        id: 0,
        tenant: TenantId::new(tenant),
        account: AccountId::new(account),
        direction: Direction::Outgoing,
        remote: Party {
            display: Some("Bob Builder".into()),
            uri: uri.into(),
        },
        started_at: Timestamp(at),
        talk_ms: 61_000,
        outcome,
        sounded: Some(Sounded {
            mos: Some(4.25),
            worst_mos: Some(2.5),
            lost: 0.125,
            jitter_ms: 7.5,
            rtt_ms: None,
        }),
        status: Some((486, "Busy Here".into())),
        sentence: Some("It was busy.".into()),
        sip_call_id: "abc@host".to_owned(),
    }
}

fn answered(at: i64) -> HistoryEntry {
    call(
        "acme",
        "alice",
        "sip:bob@example.com",
        Outcome::Answered,
        at,
    )
}

/// Two steps of two seconds each.
fn trend() -> QualityTrend {
    let step = |mos_tenths| QualityStep {
        mos_tenths,
        lost_percent: 100,
        jitter_ms: 255,
    };
    QualityTrend::kept(2, vec![step(0), step(45)])
}

fn times(history: &History, filter: HistoryFilter) -> Vec<i64> {
    let lines = history.query(filter).unwrap();
    lines.iter().map(|line| line.started_at.0).collect()
}

#[test]
fn what_was_filed_is_read_back_whole_and_survives_a_restart() {
    let dir = scratch("history-restart");
    let path = dir.join("data/history.sqlite");
    let history = History::open(&path);
    let filed = history.add(answered(5), QualityTrend::default()).unwrap();
    assert_eq!(filed.id, 1);
    assert_eq!(history.trouble(), None);
    drop(history);
    let history = History::open(&path);
    assert_eq!(history.query(HistoryFilter::default()).unwrap(), [filed]);
    assert_eq!(
        history
            .add(answered(6), QualityTrend::default())
            .unwrap()
            .id,
        2
    );
}

#[test]
fn how_a_call_sounded_is_kept_step_by_step_and_forgotten_with_it() {
    let dir = scratch("history-trend");
    let path = dir.join("history.sqlite");
    let history = History::open(&path);
    let call = history.add(answered(1), trend()).unwrap().id;
    let silent = history
        .add(answered(2), QualityTrend::default())
        .unwrap()
        .id;
    drop(history);
    let history = History::open(&path);
    assert_eq!(history.trend(call).unwrap(), trend());
    for nothing in [silent, silent + 1, -1] {
        assert_eq!(history.trend(nothing).unwrap(), QualityTrend::default());
    }
    history.clear(&TenantId::new("acme")).unwrap();
    assert_eq!(history.trend(call).unwrap(), QualityTrend::default());
}

#[test]
fn a_history_from_before_that_was_kept_goes_on() {
    let dir = scratch("history-before");
    let path = dir.join("history.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    // As the first version made it.
    old.execute_batch(
        "CREATE TABLE calls (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, account TEXT NOT NULL,
            direction TEXT NOT NULL, display TEXT, uri TEXT NOT NULL, started_at INTEGER NOT NULL,
            talk_ms INTEGER NOT NULL, outcome TEXT NOT NULL, code INTEGER, phrase TEXT, sentence TEXT,
            sip_call_id TEXT NOT NULL);
         INSERT INTO calls VALUES (7, 'acme', 'alice', 'outgoing', NULL, 'sip:bob@example.com', 3, 0,
            'missed', NULL, NULL, NULL, 'x');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let history = History::open(&path);
    assert_eq!(history.trouble(), None);
    let filed = history.add(answered(5), trend()).unwrap();
    let lines = history.query(HistoryFilter::default()).unwrap();
    assert_eq!(lines[0], filed);
    assert_eq!((lines[1].id, lines[1].sounded), (7, None));
    assert_eq!(history.trend(filed.id).unwrap(), trend());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_history() {
    use std::os::unix::fs::PermissionsExt;
    let dir = scratch("history-mode");
    let path = dir.join("own/history.sqlite");
    let history = History::open(&path);
    history.add(answered(1), QualityTrend::default()).unwrap();
    history.flush().unwrap();
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
}

#[test]
fn each_wish_narrows_and_the_newest_comes_first() {
    let history = History::in_memory();
    assert_eq!(history.trouble(), None);
    for entry in [
        call(
            "acme",
            "alice",
            "sip:bob@example.com",
            Outcome::Answered,
            10,
        ),
        call("acme", "alice", "sip:100%@example.com", Outcome::Failed, 30),
        call("acme", "desk", "sip:carol@example.com", Outcome::Missed, 20),
        call(
            "club",
            "board",
            "sip:BOB@example.com",
            Outcome::Answered,
            40,
        ),
    ] {
        history.add(entry, QualityTrend::default()).unwrap();
    }
    let all = HistoryFilter::default;
    assert_eq!(times(&history, all()), [40, 30, 20, 10]);
    let tenant = Some(TenantId::new("acme"));
    assert_eq!(
        times(&history, HistoryFilter { tenant, ..all() }),
        [30, 20, 10]
    );
    let account = Some(AccountId::new("desk"));
    assert_eq!(times(&history, HistoryFilter { account, ..all() }), [20]);
    let outcome = Some(Outcome::Answered);
    assert_eq!(
        times(&history, HistoryFilter { outcome, ..all() }),
        [40, 10]
    );
    let party = |text: &str| HistoryFilter {
        party: Some(text.to_owned()),
        ..all()
    };
    assert_eq!(times(&history, party("bob@")), [40, 10]);
    assert_eq!(times(&history, party("builder")), [40, 30, 20, 10]);
    assert_eq!(times(&history, party("%")), [30]);
    assert_eq!(times(&history, party("' OR 1=1 --")), [0; 0]);
    let page = HistoryFilter {
        limit: 2,
        offset: 1,
        ..all()
    };
    assert_eq!(times(&history, page), [30, 20]);
}

#[test]
fn clearing_a_tenant_leaves_the_others() {
    let history = History::in_memory();
    history.add(answered(1), QualityTrend::default()).unwrap();
    let other = call("club", "board", "sip:x@y", Outcome::Missed, 2);
    history.add(other, QualityTrend::default()).unwrap();
    history.clear(&TenantId::new("acme")).unwrap();
    assert_eq!(times(&history, HistoryFilter::default()), [2]);
}

#[test]
fn a_burst_is_filed_whole_and_in_order() {
    let history = History::in_memory();
    let mut filed = 0;
    for at in 0..5_000 {
        // A full queue says so at once instead of holding up a call; the caller may try again.
        while let Err(error) = history.add(answered(at), QualityTrend::default()) {
            assert!(matches!(error, HistoryError::Full));
            history.flush().unwrap();
        }
        filed += 1;
    }
    let lines = history.query(HistoryFilter::default()).unwrap();
    assert_eq!(lines.len(), filed);
    assert!(lines.is_sorted_by(|a, b| a.id > b.id));
}

#[test]
fn a_history_in_memory_keeps_as_many_calls_as_are_ever_shown() {
    let (mut database, _) = Database::in_memory();
    let most = HistoryFilter::MOST as i64;
    let filed = |id| Filed {
        entry: HistoryEntry { id, ..answered(id) },
        trend: trend(),
    };
    let all: Vec<Filed> = (1..=most + 500).map(filed).collect();
    for batch in all.chunks(200) {
        assert_eq!(database.add(batch), None);
    }
    let lines = database.query(&HistoryFilter::default()).unwrap();
    assert_eq!(lines.len(), HistoryFilter::MOST);
    assert_eq!((lines[0].id, lines[lines.len() - 1].id), (most + 500, 501));
    assert_eq!(database.trend(500).unwrap(), QualityTrend::default());
    assert_eq!(database.trend(501).unwrap(), trend());
}

#[test]
fn a_damaged_database_is_moved_aside_and_a_new_one_begun() {
    let dir = scratch("history-damaged");
    let path = dir.join("history.sqlite");
    let garbage = b"this was never a database, whatever its name says".repeat(100);
    std::fs::write(&path, &garbage).unwrap();
    let history = History::open(&path);
    let trouble = history.trouble().unwrap();
    assert!(
        trouble.contains("kept as history.broken-1.sqlite"),
        "{trouble}"
    );
    assert_eq!(
        std::fs::read(dir.join("history.broken-1.sqlite")).unwrap(),
        garbage
    );
    let filed = history.add(answered(1), QualityTrend::default()).unwrap();
    drop(history);
    let history = History::open(&path);
    assert_eq!(history.trouble(), None);
    assert_eq!(history.query(HistoryFilter::default()).unwrap(), [filed]);
}

#[test]
fn torn_pages_inside_are_found_at_the_start() {
    let dir = scratch("history-torn");
    let path = dir.join("history.sqlite");
    let history = History::open(&path);
    for at in 0..500 {
        history.add(answered(at), QualityTrend::default()).unwrap();
    }
    drop(history);
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(8192).take(8192) {
        *byte = 0xaa;
    }
    std::fs::write(&path, bytes).unwrap();
    let history = History::open(&path);
    assert!(history.trouble().unwrap().contains("was damaged"));
    history.add(answered(1), QualityTrend::default()).unwrap();
    assert_eq!(times(&history, HistoryFilter::default()), [1]);
}

#[test]
fn a_history_of_a_newer_tipring_is_left_alone() {
    let dir = scratch("history-newer");
    let path = dir.join("history.sqlite");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(newer);
    let before = std::fs::read(&path).unwrap();
    let history = History::open(&path);
    assert!(history.trouble().unwrap().contains("newer Tipring"));
    history.add(answered(1), QualityTrend::default()).unwrap();
    assert_eq!(times(&history, HistoryFilter::default()), [1]);
    drop(history);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_full_disk_moves_the_history_into_memory_with_a_sentence() {
    let dir = scratch("history-full");
    let path = dir.join("history.sqlite");
    let (mut database, trouble) = Database::open(&path);
    assert_eq!(trouble, None);
    let entry = |id| Filed {
        entry: HistoryEntry { id, ..answered(id) },
        trend: trend(),
    };
    assert_eq!(database.add(&[entry(1)]), None);
    database.fill_disk();
    let mut next = 2;
    let sentence = loop {
        assert!(next < 10_000, "the disk never filled");
        if let Some(sentence) = database.add(&[entry(next)]) {
            break sentence;
        }
        next += 1;
    };
    assert!(sentence.contains("the disk is full"), "{sentence}");
    assert_eq!(database.add(&[entry(next + 1)]), None);
    for call in [1, next, next + 1] {
        assert_eq!(database.trend(call).unwrap(), trend(), "{call}");
    }
    let lines = database.query(&HistoryFilter::default()).unwrap();
    assert_eq!(
        lines.len() as i64,
        next + 1,
        "old, failed and new are all there"
    );
    drop(database);
    let (database, trouble) = Database::open(&path);
    assert_eq!(trouble, None);
    let kept = database.query(&HistoryFilter::default()).unwrap();
    assert_eq!(kept.len() as i64, next - 1, "the file kept what fitted");
    assert_eq!(database.trend(1).unwrap(), trend());
}

#[test]
fn a_folder_that_cannot_be_is_said_and_calls_are_kept_in_memory() {
    let dir = scratch("history-nowhere");
    std::fs::write(dir.join("file"), b"").unwrap();
    let history = History::open(&dir.join("file/history.sqlite"));
    assert!(history.trouble().unwrap().contains("could not be opened"));
    history.add(answered(1), QualityTrend::default()).unwrap();
    assert_eq!(times(&history, HistoryFilter::default()), [1]);
}
