//! What holds for every zone and every order of answers.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{all_transports, hop};
use crate::locate::{
    Answer, Fault, Locate, LocateConfig, LocateOutput, Naptr, Outcome, Question, Record,
    RecordKind, Server, Srv, Target, Targets,
};
use crate::path::Transport;
use crate::tokens::Seed;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0..30_u8).prop_map(|n| format!("h{n}.example.com")),
        1 => Just(".".to_owned()),
        1 => Just("_sip._udp.example.com".to_owned()),
        1 => Just("example.com".to_owned()),
        1 => "[a-z.]{0,70}",
        1 => any::<String>(),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let service = prop_oneof![
        Just("SIP+D2U"),
        Just("SIP+D2T"),
        Just("SIPS+D2T"),
        Just("SIP+D2W"),
        Just("SIPS+D2W"),
        Just("x")
    ];
    let flags = prop_oneof![4 => Just("s"), 1 => Just(""), 1 => Just("u")];
    prop_oneof![
        (any::<u16>(), any::<u16>(), flags, service, name()).prop_map(
            |(order, preference, flags, service, to)| {
                Record::Naptr(Naptr {
                    order,
                    preference,
                    flags: flags.to_owned(),
                    service: service.to_owned(),
                    replacement: to,
                })
            }
        ),
        (0..3_u16, any::<u16>(), any::<u16>(), name()).prop_map(
            |(priority, weight, port, target)| Record::Srv(Srv {
                priority,
                weight,
                port,
                target
            })
        ),
        any::<u32>().prop_map(|n| Record::Address(IpAddr::V4(Ipv4Addr::from(n)))),
        any::<u128>().prop_map(|n| Record::Address(IpAddr::V6(Ipv6Addr::from(n)))),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => prop::collection::vec(record(), 0..60).prop_map(Outcome::Records),
        1 => Just(Outcome::NoRecords),
        1 => Just(Outcome::NoSuchName),
        1 => Just(Outcome::ServerFailed),
        1 => Just(Outcome::TimedOut),
    ]
}

fn uri() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("sip:example.com"),
        Just("sips:example.com"),
        Just("sip:example.com;transport=tcp"),
        Just("sip:example.com:5070"),
        Just("sip:192.0.2.1"),
    ]
}

/// Answers the open questions in some order until the end: what was asked, and what came out.
fn run(
    uri: &str,
    outcomes: &[Outcome],
    picks: &[usize],
    seed: u64,
) -> (Vec<Question>, Vec<LocateOutput>) {
    let mut search = Locate::new(hop(uri, None), all_transports(), &Seed::from_number(seed));
    let (mut open, mut asked, mut out): (Vec<Question>, Vec<Question>, Vec<LocateOutput>) =
        Default::default();
    for step in 0.. {
        while let Some(output) = search.poll_output() {
            if let LocateOutput::Ask(question) = &output {
                open.push(question.clone());
                asked.push(question.clone());
            }
            out.push(output);
        }
        if search.is_done() || open.is_empty() {
            break;
        }
        let pick = picks.get(step % picks.len().max(1)).copied().unwrap_or(0) % open.len();
        let question = open.remove(pick);
        let outcome = outcomes
            .get(step % outcomes.len().max(1))
            .cloned()
            .unwrap_or(Outcome::TimedOut);
        // Answers to what was never asked, or asked and answered, change nothing.
        let stray = Question::new(RecordKind::A, "stray.example").unwrap();
        search.handle_answer(&stray, Answer::new(Outcome::NoRecords, Duration::ZERO));
        search.handle_answer(
            &question,
            Answer::new(outcome.clone(), Duration::from_secs(60)),
        );
        search.handle_answer(&question, Answer::new(outcome, Duration::from_secs(60)));
    }
    (asked, out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_search_ends_once_with_few_questions_and_few_targets(
        uri in uri(),
        outcomes in prop::collection::vec(outcome(), 1..12),
        picks in prop::collection::vec(any::<usize>(), 1..8),
        seed in any::<u64>(),
    ) {
        let (asked, out) = run(uri, &outcomes, &picks, seed);
        prop_assert!(asked.len() <= 32);
        let distinct: HashSet<_> = asked.iter().collect();
        prop_assert_eq!(distinct.len(), asked.len(), "nothing is asked twice");
        let ends = out.iter().filter(|output| matches!(output, LocateOutput::Done(_))).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(out.iter().filter(|output| matches!(output, LocateOutput::Notice(_))).count() <= 16);
        let Some(LocateOutput::Done(result)) = out.last() else { panic!("the end comes last") };
        if let Ok(located) = result {
            prop_assert!((1..=40).contains(&located.targets.len()));
            let servers: HashSet<_> = located.targets.iter().map(Target::server).collect();
            prop_assert_eq!(servers.len(), located.targets.len(), "no place is named twice");
            for target in &located.targets {
                prop_assert!(!target.addr.ip().is_unspecified() && !target.addr.ip().is_multicast());
                prop_assert!(!uri.starts_with("sips:") || target.transport.is_secure());
            }
            // Better ones first.
            prop_assert!(located.targets.windows(2).all(|pair| !pair[1].is_better_than(&pair[0])));
        }
    }

    #[test]
    fn the_same_seed_and_answers_give_the_same_order(
        uri in uri(),
        outcomes in prop::collection::vec(outcome(), 1..12),
        picks in prop::collection::vec(any::<usize>(), 1..8),
        seed in any::<u64>(),
    ) {
        prop_assert_eq!(run(uri, &outcomes, &picks, seed), run(uri, &outcomes, &picks, seed));
    }

    #[test]
    fn a_search_closed_at_any_time_ends_at_once(
        outcomes in prop::collection::vec(outcome(), 0..6),
    ) {
        let mut search = Locate::new(hop("sip:example.com", None), LocateConfig::default(), &Seed::from_number(3));
        let mut answers = outcomes.into_iter();
        while let Some(output) = search.poll_output() {
            if let (LocateOutput::Ask(question), Some(outcome)) = (&output, answers.next()) {
                search.handle_answer(question, Answer::new(outcome, Duration::ZERO));
            }
        }
        let asked = search.questions();
        search.close();
        prop_assert!(search.is_done());
        prop_assert_eq!(search.questions(), asked);
    }

    #[test]
    fn something_is_always_tried_and_rests_never_pass_the_longest(
        steps in prop::collection::vec((0..6_u8, 0..4_u8, 0..400_u64), 0..80),
    ) {
        let target = |n: u8| Target {
            transport: Transport::Udp,
            addr: format!("192.0.2.{n}:5060").parse().unwrap(),
            host: String::new(),
            service: 0,
            priority: u16::from(n),
            weight: 0,
        };
        let all: Vec<Target> = (0..6).map(target).collect();
        let mut now = Instant::now();
        let mut targets = Targets::default();
        for (n, what, wait) in steps {
            now += Duration::from_secs(wait);
            let server: Server = target(n).server();
            match what {
                0 => {
                    targets.worked(now, server);
                }
                1 => {
                    targets.failed(now, server, &Fault::Silence);
                }
                _ => {
                    let retry_after = Some(Duration::from_secs(wait * 100));
                    targets.failed(now, server, &Fault::Unavailable { retry_after });
                }
            }
            prop_assert!(!targets.in_order(now, &all, Some(server)).is_empty());
            prop_assert!(targets.next_awake(now, &all).is_none_or(|until| until <= now + Duration::from_secs(600)));
            // After the longest rest everything is as good as ever.
            let later = now + Duration::from_secs(601);
            prop_assert_eq!(targets.in_order(later, &all, None), all.clone());
        }
    }
}
