use super::*;

const V1: &str = include_str!("../../tests/data/v1.toml");
const V2: &str = include_str!("../../tests/data/v2.toml");

fn load(name: &str, text: &str) -> (Scratch, Loaded) {
    let dir = scratch(name);
    fs::write(dir.join(FILE), text).unwrap();
    let loaded = Settings::load(&dir);
    (dir, loaded)
}

fn sample() -> Settings {
    let mut settings = Settings::default();
    let mut tenant = Tenant::new(TenantId::new("acme"), "ACME Ltd", 2);
    tenant.dns_servers = vec!["192.0.2.53:53".parse().unwrap()];
    let ips = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse().unwrap());
    tenant.bind = Some("eth0".to_owned());
    tenant.hosts.insert("pbx.lab".to_owned(), ips.to_vec());
    let mut account = AccountSettings::new("sip:alice@acme.example");
    account.display_name = "Alice \"the\" Ä \u{1F4DE}".into();
    account.transport = Some(model::Transport::Wss);
    account.headers = vec!["X-Room: 4.17".into()];
    account.login = model::LoginKind::Token;
    account.more_proxies = vec!["sip:edge2.acme.example;lr".into()];
    account.flows = 3;
    account.strong_login = true;
    account.inside = vec!["10.0.0.0/8".to_owned()];
    account.inside_name = Some("phone.lan".to_owned());
    account.gruu = true;
    account.recording_tone_s = Some(15);
    account.recording_opus = true;
    account.hold_music = Some("/music/hold.wav".to_owned());
    account.voice = model::VoicePolicy {
        echo_cancellation: false,
        high_pass: false,
        ..model::VoicePolicy::default()
    };
    account.public_address = Some("198.51.100.7".to_owned());
    account.header_rules = vec!["out INVITE add X-Room: 42".into()];
    account.logins = vec![model::Login {
        realm: Some("pbx, main".to_owned()),
        server: Some("pbx.example".to_owned()),
        user: "alice-2".into(),
    }];
    account.guest_login = true;
    account.login_wait_s = 5;
    account.mwi = false;
    account.reg_event = true;
    account.watched = vec!["601".into(), "sip:bob@acme.example".into()];
    account.watch = model::WatchKind::Both;
    account.publish_presence = true;
    account.calls = model::CallPolicies {
        redirects: model::RedirectPolicy::Always,
        session_timers: false,
        session_expires_s: 600,
        min_session_expires_s: 120,
        prack: model::PrackPolicy::Required,
        early_media: false,
        do_not_disturb: model::DoNotDisturb::Unavailable,
        forward_always: Some("sip:door@example.com".into()),
        forward_busy: Some("601".into()),
        forward_no_answer: Some("602".into()),
        forward_after_s: 12,
        auto_answer: model::AutoAnswer::WhenAsked,
        joins: model::JoinPolicy::FromServer,
        most_calls: 2,
        anonymous: true,
    };
    tenant
        .accounts
        .push(Account::new(AccountId::new("alice"), account));
    settings.tenants.push(tenant);
    settings.devices.capture = Some(DeviceId::new("alsa:hw:1"));
    settings.devices.ringer = Some(DeviceId::new("alsa:hw:2"));
    settings.devices.speaker_volume = Some(Volume::nearest(70));
    settings.devices.microphone_gain = Some(Volume::nearest(200));
    settings.devices.tones = Some("GB".to_owned());
    settings.preferences.text_scale = 1.5;
    settings
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let dir = scratch("round-trip");
    let mut settings = sample();
    settings.tenants[0].trusted = vec![TrustedCertificate {
        host: "pbx.example.com".to_owned(),
        fingerprint: "AB:CD".to_owned(),
    }];
    let account = &mut settings.tenants[0].accounts[0].settings;
    account.tls_trust = vec!["12:34".to_owned()];
    account.ws_path = Some("/sip".to_owned());
    settings.save(&dir).unwrap();
    let loaded = Settings::load(&dir);
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.settings, settings);
}

#[test]
fn a_tenants_names_and_name_servers_are_read_as_a_person_writes_them() {
    let text = r#"
version = 2
[[tenants]]
id = "lab"
name = "Lab"
dns_servers = ["192.0.2.53:5353"]
[tenants.hosts]
"pbx.lab" = ["192.0.2.7"]
"#;
    let (_, loaded) = load("names", text);
    assert_eq!(loaded.problems, []);
    let tenant = &loaded.settings.tenants[0];
    assert_eq!(tenant.dns_servers, ["192.0.2.53:5353".parse().unwrap()]);
    assert_eq!(
        tenant.hosts.get("pbx.lab").map(Vec::as_slice),
        Some(["192.0.2.7".parse().unwrap()].as_slice())
    );
}

#[test]
fn a_missing_file_is_a_fresh_start_without_a_word() {
    let loaded = Settings::load(&scratch("missing"));
    assert_eq!(loaded, Loaded::defaults(Vec::new()));
}

#[test]
fn version_1_becomes_version_2_and_is_kept_beside() {
    let (dir, loaded) = load("migrate", V1);
    assert_eq!(
        loaded.settings.to_toml().unwrap(),
        V2,
        "the file that a migration writes is fixed in tests/data/v2.toml"
    );
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert!(loaded.problems[0].sentence.contains("room"));
    loaded.settings.save(&dir).unwrap();
    let again = Settings::load(&dir);
    assert_eq!(again.settings, loaded.settings);
    assert_eq!(
        fs::read_to_string(dir.join("settings.v1.toml")).unwrap(),
        V1
    );
}

#[test]
fn a_syntax_error_names_its_line_and_the_file_is_kept() {
    let text = "version = 2\n\n[preferences]\ntheme = \"dark\n";
    let (dir, loaded) = load("syntax", text);
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.problems.len(), 1);
    assert_eq!(loaded.problems[0].line, Some(4));
    assert!(
        loaded.problems[0]
            .sentence
            .contains("kept as settings.broken-1.toml"),
        "{}",
        loaded.problems[0]
    );
    loaded.settings.save(&dir).unwrap();
    assert_eq!(
        fs::read_to_string(dir.join("settings.broken-1.toml")).unwrap(),
        text
    );
}

#[test]
fn a_value_of_the_wrong_kind_names_its_line() {
    let (_, loaded) = load(
        "wrong-kind",
        "version = 2\n[[tenants]]\nid = \"a\"\n[[tenants.accounts]]\nid = \"b\"\naor = \"sip:b@a\"\nexpires_s = \"long\"\n",
    );
    assert_eq!(loaded.problems[0].line, Some(7), "{:?}", loaded.problems);
    let (_, loaded) = load(
        "wrong-word",
        "version = 2\n[preferences]\ntheme = \"pink\"\n",
    );
    assert_eq!(loaded.problems[0].line, Some(3), "{:?}", loaded.problems);
}

#[test]
fn a_wrong_value_is_named_with_its_key_its_line_and_what_is_expected() {
    let account = "version = 2\n[[tenants]]\nid = \"a\"\n[[tenants.accounts]]\nid = \"b\"\naor = \"sip:b@a\"\n";
    for (name, text, line, key, words) in [
        (
            "text-for-a-number",
            format!("{account}expires_s = \"x\"\n"),
            7,
            "tenants.accounts.expires_s",
            "a whole number from 0 to 4294967295 is expected here, and not the text \"x\"",
        ),
        (
            "too-large",
            format!("{account}flows = 256\n"),
            7,
            "tenants.accounts.flows",
            "a whole number from 0 to 255 is expected here, and not the number 256",
        ),
        (
            "number-for-text",
            "version = 2\n[devices]\nplayout = 3\n".to_owned(),
            3,
            "devices.playout",
            "text in quotation marks is expected here, and not the number 3",
        ),
        (
            "word-for-truth",
            format!("{account}\nregister = \"yes\"\n"),
            8,
            "tenants.accounts.register",
            "true or false is expected here, and not the text \"yes\"",
        ),
        (
            "text-for-a-list",
            format!("{account}codecs = \"opus\"\n"),
            7,
            "tenants.accounts.codecs",
            "a list in square brackets is expected here, and not the text \"opus\"",
        ),
        (
            "no-such-word",
            format!("{account}transport = \"sctp\"\n"),
            7,
            "tenants.accounts.transport",
            "\u{201c}sctp\u{201d} is none of what can stand here: udp, tcp, tls, ws, wss",
        ),
        (
            "in-a-table-of-an-account",
            format!("{account}[tenants.accounts.calls]\nmost_calls = true\n"),
            8,
            "tenants.accounts.calls.most_calls",
            "is expected here, and not true",
        ),
        (
            "no-port",
            "version = 2\n[[tenants]]\nid = \"a\"\ndns_servers = [\"192.0.2.53\"]\n".to_owned(),
            4,
            "tenants.dns_servers",
            "an IP address with a port is expected here",
        ),
    ] {
        let (dir, loaded) = load(name, &text);
        let [problem] = loaded.problems.as_slice() else {
            panic!("{name}: {:?}", loaded.problems)
        };
        assert_eq!(problem.line, Some(line), "{name}: {problem}");
        let told = format!("\u{201c}{key}\u{201d}: ");
        assert!(problem.sentence.starts_with(&told), "{name}: {problem}");
        assert!(problem.sentence.contains(words), "{name}: {problem}");
        assert!(
            problem.sentence.contains("kept as settings.broken-1.toml"),
            "{name}: {problem}"
        );
        loaded.settings.save(&dir).unwrap();
        let kept = fs::read_to_string(dir.join("settings.broken-1.toml")).unwrap();
        assert_eq!(kept, text, "{name}");
    }
}

#[test]
fn the_same_broken_file_is_copied_once_and_another_one_gets_its_own_name() {
    let (dir, _) = load("broken-twice", "version = ");
    Settings::load(&dir);
    assert!(!dir.join("settings.broken-2.toml").exists());
    fs::write(dir.join(FILE), "version = [").unwrap();
    Settings::load(&dir);
    assert_eq!(
        fs::read_to_string(dir.join("settings.broken-2.toml")).unwrap(),
        "version = ["
    );
}

#[test]
fn a_copy_is_found_again_when_an_older_one_was_deleted() {
    let (dir, _) = load("broken-gap", "version = ");
    fs::write(dir.join(FILE), "version = [").unwrap();
    Settings::load(&dir);
    fs::remove_file(dir.join("settings.broken-1.toml")).unwrap();
    let loaded = Settings::load(&dir);
    assert!(
        loaded.problems[0]
            .sentence
            .ends_with("kept as settings.broken-2.toml."),
        "{}",
        loaded.problems[0]
    );
    assert!(!dir.join("settings.broken-1.toml").exists());
}

#[test]
fn unknown_keys_are_named_with_their_line_and_survive_a_save() {
    let text = "version = 2\nfuture = 7\n[preferences]\nsparkle = true\n[[tenants]]\nid = \"a\"\nname = \"A\"\nlogo = \"a.svg\"\n[[tenants.accounts]]\nid = \"b\"\naor = \"sip:b@a\"\nwhen = 2026-11-20T10:00:00Z\n[tenants.accounts.calls]\nrobot = true\n";
    let (dir, loaded) = load("unknown", text);
    let named: Vec<_> = loaded
        .problems
        .iter()
        .map(|p| {
            (
                p.line.unwrap(),
                p.sentence.split('\u{201d}').next().unwrap(),
            )
        })
        .map(|(line, start)| (line, start.rsplit('\u{201c}').next().unwrap().to_owned()))
        .collect();
    assert_eq!(
        named,
        [
            (2, "future"),
            (4, "sparkle"),
            (8, "logo"),
            (12, "when"),
            (14, "robot")
        ]
        .map(|(line, key)| (line, key.to_owned()))
    );
    loaded.settings.save(&dir).unwrap();
    let saved = fs::read_to_string(dir.join(FILE)).unwrap();
    for kept in [
        "future = 7",
        "sparkle = true",
        "logo = \"a.svg\"",
        "when = 2026-11-20T10:00:00Z",
        "robot = true",
    ] {
        assert!(saved.contains(kept), "{kept} is missing in\n{saved}");
    }
    assert_eq!(Settings::load(&dir).settings, loaded.settings);
}

#[test]
fn a_file_of_a_newer_tipring_is_not_guessed_at() {
    let (dir, loaded) = load("newer", "# hello\nversion = 99\n");
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.problems[0].line, Some(2));
    assert!(loaded.problems[0].sentence.contains("newer Tipring"));
    assert!(dir.join("settings.broken-1.toml").exists());
}

#[test]
fn ids_that_are_missing_or_taken_are_repaired_and_said() {
    let (_, loaded) = load(
        "ids",
        "version = 2\n[[tenants]]\nname = \"One\"\n[[tenants.accounts]]\nid = \"x\"\naor = \"sip:a@b\"\n[[tenants]]\nid = \"two\"\n[[tenants.accounts]]\nid = \"x\"\naor = \"sip:c@d.example\"\n",
    );
    let ids: Vec<_> = loaded
        .settings
        .accounts()
        .map(|(tenant, account)| (tenant.id.as_str(), account.id.as_str()))
        .collect();
    assert_eq!(ids, [("one", "x"), ("two", "c-d-example")]);
    assert_eq!(loaded.settings.tenants[1].name, "two");
    assert_eq!(loaded.problems.len(), 2);
}

#[test]
fn a_text_size_nobody_could_read_is_put_right() {
    for (text, scale) in [("nan", 1.0), ("-3.0", 0.5), ("1e9", 2.0)] {
        let (_, loaded) = load(
            "text-size",
            &format!("version = 2\n[preferences]\ntext_scale = {text}\n"),
        );
        assert_eq!(loaded.settings.preferences.text_scale, scale);
        assert_eq!(loaded.problems.len(), 1);
    }
}

#[test]
fn a_volume_out_of_range_is_put_right_and_one_that_is_not_there_is_as_it_comes() {
    for (text, speaker, microphone, problems) in [
        ("", None, None, 0),
        ("speaker_volume = 0", Some(0), None, 0),
        ("microphone_gain = 200", None, Some(200), 0),
        ("speaker_volume = 201", Some(200), None, 1),
        (
            "speaker_volume = -1\nmicrophone_gain = 9223372036854775807",
            Some(0),
            Some(200),
            2,
        ),
    ] {
        let (_, loaded) = load("volume", &format!("version = 2\n[devices]\n{text}\n"));
        let devices = loaded.settings.devices;
        let percent = |volume: Option<Volume>| volume.map(Volume::percent);
        assert_eq!(percent(devices.speaker_volume), speaker, "{text}");
        assert_eq!(percent(devices.microphone_gain), microphone, "{text}");
        assert_eq!(loaded.problems.len(), problems, "{:?}", loaded.problems);
    }
    let (_, loaded) = load("volume", "version = 2\n[devices]\nspeaker_volume = 201\n");
    let said = loaded.problems[0].to_string();
    assert!(
        said.contains("between 0 and 200 percent, and not 201; 200 is used"),
        "{said}"
    );
}

#[test]
fn bytes_that_are_no_text_and_folders_that_are_no_file_still_give_defaults() {
    let dir = scratch("bytes");
    fs::write(dir.join(FILE), b"version = 2\n\xff\xfe").unwrap();
    let loaded = Settings::load(&dir);
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.problems[0].line, Some(2));
    assert!(dir.join("settings.broken-1.toml").exists());

    let dir = scratch("folder");
    fs::create_dir(dir.join(FILE)).unwrap();
    let loaded = Settings::load(&dir);
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.problems.len(), 1);
    let error = loaded.settings.save(&dir).unwrap_err().to_string();
    assert!(error.contains("the settings were not saved"), "{error}");
}

#[test]
fn new_ids_are_readable_and_unique() {
    let mut settings = sample();
    assert_eq!(settings.fresh_tenant_id("ACME Ltd").as_str(), "acme-ltd");
    assert_eq!(settings.fresh_tenant_id("acme").as_str(), "acme-2");
    assert_eq!(settings.fresh_tenant_id("日本").as_str(), "tenant");
    let id = settings.fresh_account_id("sip:bob@acme.example:5061;x=y");
    assert_eq!(id.as_str(), "bob-acme-example");
    settings.tenants[0].accounts.push(Account::new(
        id,
        AccountSettings::new("sip:bob@acme.example"),
    ));
    assert_eq!(
        settings.fresh_account_id("sip:bob@acme.example").as_str(),
        "bob-acme-example-2"
    );
}

#[test]
fn no_file_however_broken_keeps_the_program_from_starting() {
    let whole = sample().to_toml().unwrap();
    for cut in 0..whole.len() {
        // Loading is total: whatever a torn write left, settings come back.
        if let Some(text) = whole.get(..cut) {
            let _ = parse(text).map(|parsed| parsed.loaded.settings.to_toml().unwrap());
        }
    }
    for text in [
        "tenants = 3",
        "version = -5",
        "version = 1\naccounts = 3",
        "version = 1\n[[accounts]]\ntenant = 3",
        "version = 1\ntenants = [{id=\"home\", accounts=3}]\n[[accounts]]\naor=\"x\"",
        "version = 9223372036854775807",
        "version = -9223372036854775808",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
