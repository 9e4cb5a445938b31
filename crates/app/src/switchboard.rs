//! `tipring switchboard`: a registrar and proxy with test numbers, usable without any file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use switchboard::{Config, Counts, Hosts, Identity, NUMBERS, Switchboard, Users, parse_listen};
use tokio::sync::broadcast::error::RecvError;

use crate::Outcome;
use crate::cli::{Common, SwitchboardArgs};
use crate::report::Report;
use crate::session::{interrupted, runtime};
use crate::words;

/// How often counts are told, where they have changed.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) fn run(common: &Common, args: &SwitchboardArgs) -> anyhow::Result<Outcome> {
    if args.numbers {
        print_numbers(common);
        return Ok(Outcome::Done);
    }
    let config = config(args)?;
    runtime()?.block_on(async {
        let switchboard = Switchboard::start(config).await?;
        let report = Report::new(common)?;
        for (transport, addr) in switchboard.local_addrs() {
            let object = json!({"event": "listening", "transport": transport.as_str(), "address": addr.to_string()});
            report.own(object, || format!("listening on {transport} {addr}"));
        }
        if let Some(certificate) = switchboard.certificate() {
            let fingerprint = certificate.fingerprint.to_string();
            let object = json!({"event": "certificate", "sha256": fingerprint, "self_signed": certificate.self_signed});
            report.own(object, || format!("certificate SHA-256 {fingerprint}"));
        }
        if !common.json {
            print_numbers(common);
        }
        let mut happenings = switchboard.happenings();
        let mut looks = tokio::time::interval(LOOK);
        let mut told = Counts::default();
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let Some(counts) = switchboard.counts().await else {
                        return Ok(Outcome::Failed);
                    };
                    tell_counts(&report, &told, &counts);
                    told = counts;
                }
                happening = happenings.recv() => match happening {
                    // It runs for days, and what it prints ends in a journal: a log like any other.
                    Ok(happening) => {
                        let text = format!("{:?}", happening.0);
                        let object = json!({"event": "switchboard", "text": text});
                        report.own(object, || text.clone());
                    }
                    Err(RecvError::Lagged(missed)) => report.own(
                        json!({"event": "lost", "count": missed}),
                        || format!("{missed} lines were not printed"),
                    ),
                    Err(RecvError::Closed) => return Ok(Outcome::Failed),
                },
                () = interrupted() => return Ok(Outcome::Done),
            }
        }
    })
}

/// What to dial, another way to dial it, and what it does.
fn print_numbers(common: &Common) {
    for (name, digits, what) in NUMBERS {
        if common.json {
            let object = json!({"event": "number", "name": name, "digits": digits, "what": what});
            println!("{object}");
        } else {
            println!("  {name:12} {digits:5} {what}");
        }
    }
    if !common.json {
        println!("  any 4xx, 5xx or 6xx      answers with that status");
    }
}

/// What has changed since it was told last; people hear of what was turned away alone.
fn tell_counts(report: &Report, told: &Counts, counts: &Counts) {
    if told == counts {
        return;
    }
    let object = json!({
        "event": "counts",
        "requests": counts.requests,
        "lines": counts.lines,
        "bindings": counts.bindings,
        "subscriptions": counts.subscriptions,
        "looked_at": counts.looked_at,
        "dropped": counts.dropped,
        "refused_full": counts.refused_full,
        "not_relayed": counts.not_relayed,
        "evicted": counts.evicted,
        "media_forged": counts.media_forged,
        "media_replayed": counts.media_replayed,
    });
    report.counts(object, || {
        let turned_away = |counts: &Counts| {
            (
                counts.dropped,
                counts.refused_full,
                counts.not_relayed,
                counts.evicted,
            )
        };
        (turned_away(told) != turned_away(counts)).then(|| {
            format!(
                "{} requests and {} calls under way, {} phones; turned away so far: {} messages of \
                 loud senders, {} requests for want of room, {} to be carried elsewhere",
                counts.requests,
                counts.lines,
                counts.bindings,
                counts.dropped,
                counts.refused_full,
                counts.not_relayed
            )
        })
    });
}

fn config(args: &SwitchboardArgs) -> anyhow::Result<Config> {
    let mut config = Config::open_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)));
    if !args.listen.is_empty() {
        config.listen = args
            .listen
            .iter()
            .map(|text| parse_listen(text))
            .collect::<Result<_, _>>()?;
    }
    if let Some(file) = &args.users {
        let text = std::fs::read_to_string(file).map_err(|error| words::of_file(file, &error))?;
        config.users = Users::from_toml(&text).with_context(|| file.display().to_string())?;
    }
    if let Some(file) = &args.hosts {
        let text = std::fs::read_to_string(file).map_err(|error| words::of_file(file, &error))?;
        config.hosts = Hosts::parse(&text).with_context(|| file.display().to_string())?;
    }
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let read = |file: &PathBuf| std::fs::read(file).with_context(|| file.display().to_string());
        config.certificate = Some(Identity::from_pem(&read(certificate)?, &read(key)?)?);
    }
    config.md5_only = args.md5;
    config.pages.clone_from(&args.page);
    config.log.clone_from(&args.log);
    if let Some(realm) = &args.realm {
        config.realm.clone_from(realm);
    }
    Ok(config)
}
