//! Searches against zones written down, and rests in virtual time.

mod naptr;
mod properties;
mod relays;
mod servers;
mod srv;
mod targets;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use sip_message::Uri;

use super::{
    Answer, Locate, LocateConfig, LocateOutput, Located, Naptr, NextHop, Outcome, Question, Record,
    RecordKind, Srv,
};
use crate::path::{ResolveError, Transport};
use crate::tokens::Seed;

/// What the name servers know.
#[derive(Clone, Default)]
pub(super) struct Zone {
    records: HashMap<Question, Vec<Record>>,
    outcomes: HashMap<Question, Outcome>,
}

impl Zone {
    fn add(mut self, kind: RecordKind, name: &str, record: Record) -> Self {
        let question = Question::new(kind, name).expect("a name");
        self.records.entry(question).or_default().push(record);
        self
    }

    pub(super) fn naptr(
        self,
        name: &str,
        order: u16,
        preference: u16,
        service: &str,
        to: &str,
    ) -> Self {
        self.naptr_with_flags(name, order, preference, "s", service, to)
    }

    pub(super) fn naptr_with_flags(
        self,
        name: &str,
        order: u16,
        preference: u16,
        flags: &str,
        service: &str,
        to: &str,
    ) -> Self {
        let record = Record::Naptr(Naptr {
            order,
            preference,
            flags: flags.to_owned(),
            service: service.to_owned(),
            replacement: to.to_owned(),
        });
        self.add(RecordKind::Naptr, name, record)
    }

    pub(super) fn srv(
        self,
        name: &str,
        priority: u16,
        weight: u16,
        port: u16,
        target: &str,
    ) -> Self {
        let record = Record::Srv(Srv {
            priority,
            weight,
            port,
            target: target.to_owned(),
        });
        self.add(RecordKind::Srv, name, record)
    }

    pub(super) fn host(self, name: &str, ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        let kind = if ip.is_ipv4() {
            RecordKind::A
        } else {
            RecordKind::Aaaa
        };
        self.add(kind, name, Record::Address(ip))
    }

    pub(super) fn fails(mut self, kind: RecordKind, name: &str, outcome: Outcome) -> Self {
        let question = Question::new(kind, name).expect("a name");
        self.outcomes.insert(question, outcome);
        self
    }

    fn answer(&self, question: &Question) -> Answer {
        let ttl = Duration::from_secs(300);
        let outcome = match (self.outcomes.get(question), self.records.get(question)) {
            (Some(outcome), _) => outcome.clone(),
            (None, Some(records)) => Outcome::Records(records.clone()),
            (None, None) if self.records.keys().any(|q| q.name == question.name) => {
                Outcome::NoRecords
            }
            (None, None) => Outcome::NoSuchName,
        };
        Answer::new(outcome, ttl)
    }
}

/// What a search came to.
pub(super) struct Found {
    pub(super) result: Result<Located, ResolveError>,
    pub(super) asked: Vec<String>,
    pub(super) notices: Vec<String>,
}

impl Found {
    /// `udp:192.0.2.1:5060`, in order.
    pub(super) fn targets(&self) -> Vec<String> {
        let located = self.result.as_ref().expect("something is found");
        located
            .targets
            .iter()
            .map(|t| t.server().to_string())
            .collect()
    }
}

pub(super) fn hop(uri: &str, transport: Option<Transport>) -> NextHop {
    NextHop::new(&Uri::parse(uri).unwrap(), transport).unwrap()
}

pub(super) fn all_transports() -> LocateConfig {
    LocateConfig {
        transports: vec![
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
            Transport::Ws,
            Transport::Wss,
        ],
        ..LocateConfig::default()
    }
}

pub(super) fn find(uri: &str, zone: &Zone) -> Found {
    find_with(uri, zone, LocateConfig::default(), 1)
}

pub(super) fn find_with(uri: &str, zone: &Zone, config: LocateConfig, seed: u64) -> Found {
    search_for(hop(uri, None), zone, config, seed)
}

pub(super) fn search_for(hop: NextHop, zone: &Zone, config: LocateConfig, seed: u64) -> Found {
    let mut search = Locate::new(hop, config, &Seed::from_number(seed));
    let (mut asked, mut notices) = (Vec::new(), Vec::new());
    loop {
        match search.poll_output().expect("it goes on until its end") {
            LocateOutput::Ask(question) => {
                asked.push(question.to_string());
                let answer = zone.answer(&question);
                search.handle_answer(&question, answer);
            }
            LocateOutput::Notice(text) => notices.push(text.into_revealed()),
            LocateOutput::Done(result) => {
                assert!(search.is_done() && search.poll_output().is_none());
                return Found {
                    result,
                    asked,
                    notices,
                };
            }
        }
    }
}
