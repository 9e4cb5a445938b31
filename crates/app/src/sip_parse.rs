//! `tipring sip parse`: what a message says, as JSON; never anything but 0 or 1 for any bytes.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use sip_message::{AddressFacts, Facts, Kind, ViaFacts, facts, stream_facts};

use crate::Outcome;
use crate::cli::{SipArgs, SipVerb};
use crate::words::reason;

/// A file larger than this is no SIP message, whatever is in it.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

pub(crate) fn run(args: &SipArgs) -> anyhow::Result<Outcome> {
    let SipVerb::Parse { stream, files } = &args.verb;
    let standard_input = [PathBuf::from("-")];
    let files = if files.is_empty() {
        &standard_input[..]
    } else {
        files
    };
    let mut all_valid = true;
    let mut out = std::io::stdout().lock();
    for file in files {
        let bytes = read(file)?;
        let found = if *stream {
            stream_facts(&bytes)
        } else {
            vec![facts(&bytes, false)]
        };
        for facts in &found {
            all_valid &= facts.is_valid();
            match writeln!(out, "{}", object(file, facts)) {
                Ok(()) => {}
                // The reader has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    return Ok(Outcome::Done);
                }
                Err(error) => {
                    anyhow::bail!("standard output cannot be written: {}", reason(&error))
                }
            }
        }
    }
    Ok(if all_valid {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(FILE_LIMIT)
            .read_to_end(&mut bytes)
            .context("standard input")?;
    } else {
        let open = std::fs::File::open(file).with_context(|| file.display().to_string())?;
        open.take(FILE_LIMIT)
            .read_to_end(&mut bytes)
            .with_context(|| file.display().to_string())?;
    }
    Ok(bytes)
}

fn object(file: &Path, facts: &Facts) -> Value {
    json!({
        "file": file.display().to_string(),
        "verdict": if facts.is_valid() { "valid" } else { "invalid" },
        "layer": facts.layer.map(sip_message::Layer::as_str),
        "errors": facts.errors,
        "repairs": facts.repairs,
        "kind": facts.kind.map(|kind| match kind {
            Kind::Request => "request",
            Kind::Response => "response",
        }),
        "method": facts.method,
        "uri": facts.uri,
        "status": facts.status,
        "reason": facts.reason,
        "via": facts.via.iter().map(via).collect::<Vec<_>>(),
        "from": facts.from.as_ref().map(address),
        "to": facts.to.as_ref().map(address),
        "call_id": facts.call_id,
        "cseq": facts.cseq.as_ref().map(|(number, method)| json!({"number": number, "method": method})),
        "contacts": facts.contacts.iter().map(address).collect::<Vec<_>>(),
        "max_forwards": facts.max_forwards,
        "content_length": facts.content_length,
        "content_type": facts.content_type,
        "headers": facts.headers.iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect::<Vec<_>>(),
        "body_bytes": facts.body_bytes,
    })
}

fn via(via: &ViaFacts) -> Value {
    let params: serde_json::Map<String, Value> = via
        .params
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "transport": via.transport,
        "host": via.host,
        "port": via.port,
        "branch": via.branch,
        "params": params,
    })
}

fn address(address: &AddressFacts) -> Value {
    json!({
        "display": address.display,
        "uri": address.uri,
        "user": address.user,
        "host": address.host,
        "tag": address.tag,
    })
}
