use super::*;
use crate::testing::{message, note, scratch, sip};
use proptest::prelude::*;

fn tenant() -> TenantId {
    TenantId::new("acme")
}

fn small() -> RecorderLimits {
    RecorderLimits {
        memory_bytes: 20_000,
        disk_bytes: 20_000,
        segment_bytes: 4_000,
        age: Duration::from_secs(60),
    }
}

fn add(recorder: &mut Recorder, at_ms: i64) -> TraceRecord {
    let text = message("OPTIONS sip:a@b SIP/2.0", "OPTIONS", 1);
    let template = sip(0, at_ms, true, &text);
    recorder.record(
        template.time,
        template.account,
        Some(CallId(9)),
        template.body,
    )
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tenant_dir(dir, &tenant())).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn records_survive_a_restart_with_their_numbers() {
    let dir = scratch("restart");
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    let first = add(&mut recorder, 1);
    let second = recorder.record(Timestamp(2), None, None, note(0, 0, "media", "Ä.").body);
    assert_eq!((first.id, second.id), (1, 2));
    drop(recorder);
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    assert_eq!(recorder.newest(10), [first.clone(), second.clone()]);
    assert_eq!(recorder.get(2), Some(&second));
    assert_eq!(recorder.newest(1), [second]);
    assert_eq!(add(&mut recorder, 3).id, 3);
    assert_eq!(recorder.take_trouble(), None);
    recorder.flush();
    assert_eq!(read_stored(&dir, &tenant(), u64::MAX).unwrap().len(), 3);
    assert_eq!(stored_tenants(&dir).unwrap(), [tenant()]);
    forget(&dir, &tenant()).unwrap();
    assert_eq!(stored_tenants(&dir).unwrap(), []);
}

#[test]
fn a_torn_end_costs_the_torn_record_and_no_other() {
    let dir = scratch("torn");
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    for at in 0..5 {
        add(&mut recorder, at);
    }
    drop(recorder);
    let path = files(&dir).remove(0);
    let whole = std::fs::read(&path).unwrap();
    for cut in 1..60 {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let recorder = Recorder::open(tenant(), Some(&dir));
        assert_eq!(recorder.records().len(), 4, "cut by {cut}");
        assert_eq!(files(&dir).len(), 1);
    }
    // A flipped bit in the middle costs the record it is in.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    let recorder = Recorder::open(tenant(), Some(&dir));
    let ids: Vec<u64> = recorder.records().map(|record| record.id).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
}

#[test]
fn memory_and_disk_stay_within_their_limits_and_keep_the_newest() {
    let dir = scratch("limits");
    let mut recorder = Recorder::open_with(tenant(), Some(&dir), small());
    for at in 0..500 {
        add(&mut recorder, at);
        assert!(recorder.memory_bytes() <= 20_000);
    }
    recorder.flush();
    let on_disk: u64 = files(&dir)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!((12_000..=20_000).contains(&on_disk), "{on_disk}");
    assert_eq!(recorder.records().next_back().unwrap().id, 500);
    drop(recorder);
    let recorder = Recorder::open_with(tenant(), Some(&dir), small());
    assert_eq!(recorder.records().next_back().unwrap().id, 500);
    let ids: Vec<u64> = recorder.records().map(|record| record.id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[test]
fn what_is_too_old_is_let_go() {
    let dir = scratch("age");
    let limits = RecorderLimits {
        segment_bytes: 1,
        ..small()
    };
    let mut recorder = Recorder::open_with(tenant(), Some(&dir), limits);
    add(&mut recorder, 0);
    add(&mut recorder, 50_000);
    assert_eq!(recorder.records().len(), 2);
    add(&mut recorder, 70_000);
    let ids: Vec<u64> = recorder.records().map(|record| record.id).collect();
    assert_eq!(ids, [2, 3]);
    recorder.flush();
    assert_eq!(files(&dir).len(), 2);
}

#[test]
fn a_disk_that_fails_is_said_once_and_recording_goes_on() {
    let dir = scratch("fails");
    std::fs::write(dir.join(tenant_folder(&tenant())), b"in the way").unwrap();
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    assert!(recorder.take_trouble().unwrap().contains("kept in memory"));
    add(&mut recorder, 1);
    recorder.flush();
    assert_eq!(recorder.take_trouble(), None);
    assert_eq!(recorder.records().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let dir = scratch("full");
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    add(&mut recorder, 1);
    let segments = recorder.segments.as_mut().unwrap();
    segments.replace_open_file("/dev/full");
    recorder.flush();
    let trouble = recorder.take_trouble().unwrap();
    assert!(trouble.contains("the disk is full"), "{trouble}");
    add(&mut recorder, 2);
    recorder.flush();
    assert_eq!(recorder.take_trouble(), None);
    assert_eq!(recorder.records().len(), 2);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_trace() {
    use std::os::unix::fs::PermissionsExt;
    let dir = scratch("private");
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    add(&mut recorder, 1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files(&dir)[0]), 0o600);
    assert_eq!(mode(&tenant_dir(&dir, &tenant())), 0o700);
}

#[test]
fn no_tenant_id_leads_out_of_the_folder() {
    for id in ["../../etc", "a/b", "", "ACME", "a_b", "日本", "."] {
        let folder = tenant_folder(&TenantId::new(id));
        assert!(
            folder.starts_with("t-") && !folder.contains(['/', '.', '\\']),
            "{folder}"
        );
        assert_eq!(folder_tenant(&folder), Some(TenantId::new(id)));
    }
    assert_ne!(
        tenant_folder(&TenantId::new("ab")),
        tenant_folder(&TenantId::new("AB"))
    );
}

proptest! {
    #[test]
    fn any_record_reads_back_and_any_file_can_be_read(
        records in crate::testing::any_records(),
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
    ) {
        let mut file = format::MAGIC.to_vec();
        for record in &records {
            format::write(&mut file, record);
        }
        prop_assert_eq!(&format::read(&file, &tenant()), &records);
        // Garbage in the middle takes some with it and harms nothing.
        let at = at.index(file.len());
        file.splice(at..at, garbage.iter().copied());
        prop_assert!(format::read(&file, &tenant()).len() <= records.len() + garbage.len());
        format::read(&[&format::MAGIC[..], &garbage].concat(), &tenant());
    }
}

#[test]
fn two_programs_record_side_by_side() {
    let dir = scratch("two");
    let mut one = Recorder::open(tenant(), Some(&dir));
    let mut other = Recorder::open(tenant(), Some(&dir));
    for recorder in [&mut one, &mut other] {
        let record = sip(
            1,
            1_000,
            true,
            &message("OPTIONS sip:a@b SIP/2.0", "OPTIONS", 1),
        );
        recorder.record(record.time, None, None, record.body);
        recorder.flush();
        assert_eq!(recorder.take_trouble(), None);
    }
    assert_eq!(read_stored(&dir, &tenant(), u64::MAX).unwrap().len(), 2);
}

#[test]
fn the_newest_that_are_wanted_are_found_without_reading_what_is_older() {
    let dir = scratch("wanted");
    let limits = RecorderLimits {
        disk_bytes: 1 << 20,
        ..small()
    };
    let mut recorder = Recorder::open_with(tenant(), Some(&dir), limits);
    for at_ms in 0..500 {
        add(&mut recorder, at_ms);
    }
    recorder.flush();
    let segments = files(&dir);
    assert!(segments.len() > 10, "{}", segments.len());
    let mut looked_at = 0;
    let even = |record: &TraceRecord| {
        looked_at += 1;
        record.id.is_multiple_of(2)
    };
    let read = read_wanted(&dir, &tenant(), u64::MAX, 3, even).unwrap();
    let ids: Vec<u64> = read.iter().map(|record| record.id).collect();
    assert_eq!(ids, [496, 498, 500]);
    assert_eq!(looked_at, 5);
    // The oldest is not even opened: what is no segment at all does no harm.
    std::fs::write(&segments[0], b"rubbish").unwrap();
    let all = read_wanted(&dir, &tenant(), u64::MAX, usize::MAX, |_| true).unwrap();
    assert!(all.len() > 400 && all.windows(2).all(|pair| pair[0].id < pair[1].id));
}

#[test]
fn no_file_has_what_proves_a_password_and_memory_has_it_until_the_end() {
    let dir = scratch("secrets");
    let secret = "6629fae49393a05397450978507c4ef1";
    let text = message("REGISTER sip:example.com SIP/2.0", "REGISTER", 1).replace(
        "Max-Forwards: 70",
        &format!(
            "Authorization: Digest username=\"alice\", realm=\"r\",\r\n response=\"{secret}\""
        ),
    );
    let mut recorder = Recorder::open(tenant(), Some(&dir));
    let body = sip(1, 1, true, &text).body;
    let live = recorder.record(Timestamp(1), None, None, body);
    assert!(crate::redact::raw_text(&live).contains(secret));
    drop(recorder);
    for file in files(&dir) {
        let bytes = std::fs::read(file).unwrap();
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "a secret was written");
    }
    let stored = read_stored(&dir, &tenant(), u64::MAX).unwrap();
    let stored = crate::redact::raw_text(&stored[0]);
    assert_eq!(stored, text.replace(secret, &"x".repeat(secret.len())));
}
