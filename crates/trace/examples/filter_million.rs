//! How long a list of a million messages takes: `cargo run --release -p trace --example filter_million`.

use std::sync::Arc;
use std::time::Instant;

use model::{AccountId, TenantId, Timestamp, TraceBody, TraceRecord, Transport};
use trace::query::{Index, Selection};
use trace::{Query, summary};

const MESSAGES: u64 = 1_000_000;

fn main() {
    let began = Instant::now();
    let records: Vec<TraceRecord> = (0..MESSAGES).map(record).collect();
    println!("{MESSAGES} messages made in {:?}", began.elapsed());

    let began = Instant::now();
    let summaries: Vec<_> = records.iter().map(summary).collect();
    println!("summaries, once: {:?}", began.elapsed());

    for query in [
        "",
        "code:4xx",
        "account:desk7 method:INVITE",
        "number:5910 not method:OPTIONS",
        "from:user77 or to:user77",
        "text:\"busy here\"",
        "text:\"nowhere to be found\"",
    ] {
        let query_text = query;
        let Ok(query) = Query::parse(query) else {
            println!("{query_text} is no filter");
            continue;
        };
        let began = Instant::now();
        let mut selection = Selection::new(query, false);
        for (number, (row, record)) in summaries.iter().zip(&records).enumerate() {
            selection.add(number as u64, row, record);
        }
        println!(
            "{:>8.1?}  {:>7} shown, {:>7} noise  {query_text}",
            began.elapsed(),
            selection.shown().len(),
            selection.hidden_noise(),
        );
    }

    let mut index = Index::default();
    let mut selection = Selection::default();
    let began = Instant::now();
    for (number, record) in records.iter().enumerate().take(10_000) {
        let row = index.summary(number as u64, record);
        selection.add(number as u64, row, record);
    }
    println!(
        "one more message, index and selection: {:?}",
        began.elapsed() / 10_000
    );
}

fn record(n: u64) -> TraceRecord {
    let (start, method) = match n % 5 {
        0 => ("INVITE sip:+4930125910@example.com SIP/2.0", "INVITE"),
        1 => ("SIP/2.0 486 Busy Here", "INVITE"),
        2 => ("OPTIONS sip:example.com SIP/2.0", "OPTIONS"),
        3 => ("SIP/2.0 200 OK", "OPTIONS"),
        _ => ("BYE sip:bob@example.com SIP/2.0", "BYE"),
    };
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
         From: \"User {n}\" <sip:user{}@example.com>;tag=f{n}\r\nTo: <sip:user{}@example.com>\r\n\
         Call-ID: {n}@example.com\r\nCSeq: 1 {method}\r\nContact: <sip:user@192.0.2.1:5060>\r\n\
         User-Agent: Tipring\r\nContent-Length: 0\r\n\r\n",
        n % 1000,
        n % 777,
    );
    TraceRecord {
        id: n + 1,
        time: Timestamp(i64::try_from(n).unwrap_or(0) * 1000),
        tenant: TenantId::new("acme"),
        account: Some(AccountId::new(format!("desk{}", n % 50))),
        call: None,
        body: TraceBody::Sip {
            sent: n.is_multiple_of(2),
            transport: Transport::Udp,
            local: "192.0.2.1:5060".to_owned(),
            peer: "192.0.2.2:5060".to_owned(),
            bytes: Arc::from(text.into_bytes()),
        },
    }
}
