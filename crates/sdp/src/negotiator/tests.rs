//! Offer and answer by the rules of RFC 3264, and peers who do not keep them.

use super::*;
use proptest::prelude::*;

fn local(port: u16) -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        port,
        codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma],
        ptime_ms: 20,
        telephone_event: true,
        session_id: 4711,
    }
}

/// Our side where nothing is about codecs: one that everybody has.
pub(super) fn pcmu_alone(session_id: u64) -> LocalMedia {
    LocalMedia {
        codecs: vec![Codec::Pcmu],
        telephone_event: false,
        session_id,
        ..local(4000)
    }
}

fn ours() -> Negotiator {
    Negotiator::new(local(4000))
}

/// A body with these lines behind the session part of a peer at 198.51.100.7.
fn body(lines: &[&str]) -> Vec<u8> {
    let session =
        "v=0\r\no=bob 1 1 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n";
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{session}{lines}").into_bytes()
}

fn lines_of(bytes: &[u8], start: &str) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines()
        .filter(|line| line.starts_with(start))
        .map(str::to_owned)
        .collect()
}

fn version(bytes: &[u8]) -> u64 {
    SessionDescription::parse(bytes).unwrap().version()
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

/// Ours after a call was offered to a peer with PCMU and answered.
fn in_call() -> Negotiator {
    let mut ours = ours();
    ours.offer();
    ours.handle_answer(&body(&["m=audio 6000 RTP/AVP 0"]))
        .unwrap();
    ours
}

mod basics {
    use super::*;

    #[test]
    fn two_of_us_agree_on_the_first_codec_and_matching_events() {
        let (mut alice, mut bob) = (ours(), Negotiator::new(local(5000)));
        let offer = alice.offer();
        let (answer, bob_has) = bob.handle_offer(&offer).unwrap();
        let alice_has = alice.handle_answer(&answer).unwrap();
        assert_eq!(alice_has.codec, Codec::Opus);
        assert_eq!(alice_has.remote, address("192.0.2.1:5000"));
        assert_eq!(bob_has.remote, address("192.0.2.1:4000"));
        assert_eq!(
            alice_has.telephone_event.map(|e| e.clock_rate_hz),
            Some(48_000)
        );
        assert_eq!(alice_has.direction, Direction::SendReceive);
        assert!(alice_has.rtcp_mux && bob_has.rtcp_mux);
        assert_eq!(alice_has.remote_rtcp, alice_has.remote);
        assert!(alice_has.opus.unwrap().in_band_fec);
    }

    #[test]
    fn our_offer_names_everything_a_peer_needs() {
        let text = String::from_utf8(ours().offer()).unwrap();
        let expected = "v=0\r\n\
            o=- 4711 1 IN IP4 192.0.2.1\r\n\
            s=-\r\n\
            c=IN IP4 192.0.2.1\r\n\
            t=0 0\r\n\
            m=audio 4000 RTP/AVP 111 0 8 110 101\r\n\
            a=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 minptime=10;useinbandfec=1\r\n\
            a=rtpmap:110 telephone-event/48000\r\n\
            a=fmtp:110 0-15\r\n\
            a=rtpmap:101 telephone-event/8000\r\n\
            a=fmtp:101 0-15\r\n\
            a=ptime:20\r\n\
            a=rtcp-mux\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_answer_takes_our_first_codec_that_they_have_under_their_number() {
        let mut ours = ours();
        let offer = body(&[
            "m=audio 6000 RTP/AVP 8 0 96 97 98",
            "a=rtpmap:96 OPUS/48000/2",
            "a=fmtp:96 useinbandfec=0;maxaveragebitrate=24000; usedtx=1;cbr=1",
            "a=rtpmap:97 telephone-event/8000",
            "a=rtpmap:98 telephone-event/48000",
        ]);
        let (answer, has) = ours.handle_offer(&offer).unwrap();
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 96 98"]);
        assert_eq!(
            (has.codec, has.send_payload_type, has.receive_payload_type),
            (Codec::Opus, 96, 96)
        );
        let events = NegotiatedEvents {
            send_pt: 98,
            receive_pt: 98,
            clock_rate_hz: 48_000,
        };
        assert_eq!(has.telephone_event, Some(events));
        let opus = has.opus.unwrap();
        assert_eq!((opus.in_band_fec, opus.dtx), (false, true));
        assert!(opus.constant_bit_rate);
        assert_eq!(opus.max_average_bits_per_second, Some(24_000));
        assert!(!has.rtcp_mux && lines_of(&answer, "a=rtcp-mux").is_empty());
        assert_eq!(has.remote_rtcp, address("198.51.100.7:6001"));
    }

    /// RFC 4733 §2.1: events count on the clock of the audio that they go with.
    #[test]
    fn events_on_a_clock_that_no_audio_has_are_not_taken() {
        for (clock, taken) in [
            ("8000", true),
            ("16000", true),
            ("32000", true),
            ("44100", true),
            ("48000", true),
            ("1", false),
            ("7999", false),
            ("90000", false),
            ("4294967295", false),
        ] {
            let map = format!("a=rtpmap:101 telephone-event/{clock}");
            let offer = body(&["m=audio 6000 RTP/AVP 0 101", &map]);
            let (answer, has) = ours().handle_offer(&offer).unwrap();
            assert_eq!(has.telephone_event.is_some(), taken, "{clock}");
            assert_eq!(lines_of(&answer, &map).len(), usize::from(taken), "{clock}");
        }
    }

    /// RFC 5761 §4: with the marker these numbers are the packet types of reports.
    #[test]
    fn a_port_is_not_shared_with_reports_under_numbers_that_read_as_theirs() {
        for (number, shared) in [
            (63, true),
            (64, false),
            (72, false),
            (95, false),
            (96, true),
        ] {
            let opus = format!("a=rtpmap:{number} opus/48000/2");
            let events = format!("a=rtpmap:{number} telephone-event/8000");
            let noise = format!("a=rtpmap:{number} CN/8000");
            for (first, map) in [("", &opus), ("0 ", &events), ("0 ", &noise)] {
                let line = format!("m=audio 6000 RTP/AVP {first}{number}");
                let offer = body(&[&line, map, "a=rtcp-mux"]);
                let mut ours = ours().with_comfort_noise();
                let (answer, has) = ours.handle_offer(&offer).unwrap();
                assert_eq!(lines_of(&answer, map).len(), 1, "{map}");
                assert_eq!(has.rtcp_mux, shared, "{map}");
                assert_eq!(lines_of(&answer, "a=rtcp-mux").len(), usize::from(shared));
                let reports = if shared { 6000 } else { 6001 };
                assert_eq!(has.remote_rtcp.map(|to| to.port()), Some(reports));
                // The number keeps its meaning (RFC 3264 §8.3.2), so no offer of ours asks for it either.
                let again = ours.offer();
                assert_eq!(lines_of(&again, map).len(), 1, "{map}");
                assert_eq!(lines_of(&again, "a=rtcp-mux").len(), usize::from(shared));
                let has = ours.handle_answer(&offer).unwrap();
                assert_eq!(has.rtcp_mux, shared, "{map}");
            }
        }
        // What we do not take does not matter.
        let other = "a=rtpmap:72 speex/8000";
        let offer = body(&["m=audio 6000 RTP/AVP 72 0", other, "a=rtcp-mux"]);
        assert!(ours().handle_offer(&offer).unwrap().1.rtcp_mux);
    }

    /// An answer may have numbers of its own, and shares the port all the same.
    #[test]
    fn an_answer_that_shares_the_port_has_no_use_for_numbers_that_read_as_reports() {
        let opus = [
            "a=rtpmap:72 opus/48000/2",
            "a=rtpmap:73 telephone-event/48000",
        ];
        let with = |formats: &str, mux: &str| {
            let line = format!("m=audio 6000 RTP/AVP {formats}");
            body(&[&line, opus[0], opus[1], mux])
        };
        let answered = |answer: &[u8]| {
            let mut ours = ours();
            ours.offer();
            ours.handle_answer(answer)
        };
        let has = answered(&with("72 73 0", "a=rtcp-mux")).unwrap();
        assert_eq!((has.codec, has.send_payload_type), (Codec::Pcmu, 0));
        assert_eq!(has.telephone_event, None);
        assert!(has.rtcp_mux && has.repairs.len() == 2, "{:?}", has.repairs);
        let alone = answered(&with("72 73", "a=rtcp-mux"));
        assert!(matches!(alone, Err(SdpError::NoCommonMedia { .. })));
        // Apart from reports any number will do.
        let has = answered(&with("72 73 0", "a=ptime:20")).unwrap();
        assert_eq!((has.codec, has.send_payload_type), (Codec::Opus, 72));
        assert_eq!(has.telephone_event.map(|e| e.send_pt), Some(73));
        assert!(!has.rtcp_mux && has.repairs.is_empty());
    }

    #[test]
    fn static_payload_types_need_no_map() {
        let mut only_pcma = Negotiator::new(LocalMedia {
            codecs: vec![Codec::Pcma],
            ..local(4000)
        });
        let (answer, has) = only_pcma
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0 8 101"]))
            .unwrap();
        assert_eq!((has.codec, has.send_payload_type), (Codec::Pcma, 8));
        // What 101 means was not said.
        assert_eq!(has.telephone_event, None);
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 8"]);
        assert!(lines_of(&answer, "a=rtpmap").is_empty());
    }

    #[test]
    fn payload_types_may_differ_in_the_two_directions() {
        let mut ours = ours();
        ours.offer();
        let has = ours
            .handle_answer(&body(&[
                "m=audio 6000 RTP/AVP 120 121",
                "a=rtpmap:120 opus/48000/2",
                "a=rtpmap:121 telephone-event/48000",
            ]))
            .unwrap();
        assert_eq!(
            (has.send_payload_type, has.receive_payload_type),
            (120, 111)
        );
        let events = NegotiatedEvents {
            send_pt: 121,
            receive_pt: 110,
            clock_rate_hz: 48_000,
        };
        assert_eq!(has.telephone_event, Some(events));
    }

    #[test]
    fn a_dynamic_number_without_a_map_in_the_answer_is_ours() {
        let mut ours = ours();
        ours.offer();
        let has = ours
            .handle_answer(&body(&["m=audio 6000 RTP/AVP 111 110"]))
            .unwrap();
        assert_eq!((has.codec, has.send_payload_type), (Codec::Opus, 111));
        assert_eq!(has.telephone_event.map(|e| e.send_pt), Some(110));
    }

    #[test]
    fn events_follow_the_clock_of_the_codec_that_was_chosen() {
        let mut ours = ours();
        ours.offer();
        let answer = body(&[
            "m=audio 6000 RTP/AVP 0 101 110",
            "a=rtpmap:101 telephone-event/8000",
            "a=rtpmap:110 telephone-event/48000",
        ]);
        let has = ours.handle_answer(&answer).unwrap();
        assert_eq!(
            (has.codec, has.telephone_event.map(|e| e.clock_rate_hz)),
            (Codec::Pcmu, Some(8_000))
        );
        // A gateway with Opus that knows only the old clock.
        let mut ours = super::ours();
        let offer = body(&[
            "m=audio 6000 RTP/AVP 96 101",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:101 telephone-event/8000",
        ]);
        let (_, has) = ours.handle_offer(&offer).unwrap();
        assert_eq!(
            (has.codec, has.telephone_event.map(|e| e.clock_rate_hz)),
            (Codec::Opus, Some(8_000))
        );
        // And nobody who does not want them gets them.
        let mut without = Negotiator::new(LocalMedia {
            telephone_event: false,
            ..local(1)
        });
        assert!(
            lines_of(&without.offer(), "a=rtpmap")
                .iter()
                .all(|l| !l.contains("telephone"))
        );
        without.rollback();
        assert_eq!(
            without.handle_offer(&offer).unwrap().1.telephone_event,
            None
        );
    }

    #[test]
    fn several_codecs_in_the_answer_are_all_told_the_first_is_sent() {
        let mut ours = ours();
        ours.offer();
        let has = ours
            .handle_answer(&body(&["m=audio 6000 RTP/AVP 8 0"]))
            .unwrap();
        assert_eq!(has.codec, Codec::Pcma);
        assert_eq!(
            has.codecs.iter().map(|c| c.codec).collect::<Vec<_>>(),
            [Codec::Pcma, Codec::Pcmu]
        );
    }

    #[test]
    fn packet_time_is_what_they_want_within_what_codecs_can() {
        for (lines, expected) in [
            (vec![], 20),
            (vec!["a=ptime:30"], 30),
            (vec!["a=ptime:20.0"], 20),
            (vec!["a=ptime:35"], 30),
            (vec!["a=ptime:200"], 60),
            (vec!["a=maxptime:10"], 10),
            (vec!["a=ptime:40", "a=maxptime:30"], 30),
            (vec!["a=ptime:5"], 10),
            (vec!["a=ptime:zero"], 20),
        ] {
            let lines: Vec<&str> = ["m=audio 6000 RTP/AVP 0"]
                .into_iter()
                .chain(lines)
                .collect();
            let (_, has) = ours().handle_offer(&body(&lines)).unwrap();
            assert_eq!(has.ptime_ms, expected, "{lines:?}");
        }
        let opus = [
            "m=audio 6000 RTP/AVP 96",
            "a=rtpmap:96 opus/48000/2",
            "a=ptime:30",
        ];
        assert_eq!(ours().handle_offer(&body(&opus)).unwrap().1.ptime_ms, 20);
    }

    #[test]
    fn bandwidth_and_rtcp_port_are_read() {
        let offer = body(&[
            "m=audio 6000 RTP/AVP 0",
            "b=AS:64",
            "b=TIAS:50000",
            "a=rtcp:7007 IN IP4 203.0.113.9",
        ]);
        let (_, has) = ours().handle_offer(&offer).unwrap();
        assert_eq!(has.max_bits_per_second, Some(50_000));
        assert_eq!(has.remote_rtcp, address("203.0.113.9:7007"));
        let (_, has) = ours()
            .handle_offer(&body(&["m=audio 65535 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(has.remote_rtcp, None);
        let (answer, has) = ours()
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0", "a=rtcp-mux"]))
            .unwrap();
        assert_eq!(
            (has.rtcp_mux, has.remote_rtcp),
            (true, address("198.51.100.7:6000"))
        );
        assert_eq!(lines_of(&answer, "a=rtcp-mux").len(), 1);
    }

    #[test]
    fn a_bandwidth_that_is_set_stands_in_offers_and_answers() {
        let slow = || ours().with_bandwidth(40);
        let offer = slow().offer();
        assert_eq!(lines_of(&offer, "b="), ["b=AS:40"]);
        let (answer, _) = slow()
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(lines_of(&answer, "b="), ["b=AS:40"]);
        assert!(lines_of(&ours().offer(), "b=").is_empty());
        // What one of us writes the other reads.
        let (_, has) = ours().handle_offer(&offer).unwrap();
        assert_eq!(has.max_bits_per_second, Some(40_000));
    }

    #[test]
    fn comfort_noise_is_agreed_on_where_both_want_it() {
        // RFC 3389 §5: payload type 13 needs no map.
        let quiet = || ours().with_comfort_noise();
        let offer = quiet().offer();
        assert_eq!(
            lines_of(&offer, "m="),
            ["m=audio 4000 RTP/AVP 111 0 8 110 101 13"]
        );
        let number = |ours: &mut Negotiator, line: &str| {
            ours.offer();
            ours.handle_answer(&body(&[line])).unwrap().comfort_noise
        };
        let plain = "m=audio 6000 RTP/AVP 0 13";
        assert_eq!(number(&mut quiet(), plain), Some(13));
        assert_eq!(number(&mut quiet(), "m=audio 6000 RTP/AVP 0"), None);
        assert_eq!(number(&mut ours(), plain), None);
        // Opus has means of its own.
        let opus = body(&["m=audio 6000 RTP/AVP 111 13", "a=rtpmap:111 opus/48000/2"]);
        let (answer, has) = quiet().handle_offer(&opus).unwrap();
        assert_eq!(has.comfort_noise, None);
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 111"]);
        // Their number counts, and is given back.
        let strange = body(&["m=audio 6000 RTP/AVP 8 97", "a=rtpmap:97 CN/8000"]);
        let (answer, has) = quiet().handle_offer(&strange).unwrap();
        assert_eq!(has.comfort_noise, Some(97));
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 8 97"]);
        assert_eq!(lines_of(&answer, "a=rtpmap:97"), ["a=rtpmap:97 CN/8000"]);
        let (answer, has) = ours().handle_offer(&strange).unwrap();
        assert_eq!(has.comfort_noise, None);
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 8"]);
        // At 16000 it belongs to another codec.
        let wide = body(&["m=audio 6000 RTP/AVP 8 97", "a=rtpmap:97 CN/16000"]);
        assert_eq!(quiet().handle_offer(&wide).unwrap().1.comfort_noise, None);
    }

    #[test]
    fn the_address_of_the_line_goes_before_the_sessions() {
        let offer = body(&["m=audio 6000 RTP/AVP 0", "c=IN IP4 203.0.113.5"]);
        assert_eq!(
            ours().handle_offer(&offer).unwrap().1.remote,
            address("203.0.113.5:6000")
        );
        let offer = body(&["m=audio 6000 RTP/AVP 0", "c=IN IP6 2001:db8::7"]);
        assert_eq!(
            ours().handle_offer(&offer).unwrap().1.remote,
            address("[2001:db8::7]:6000")
        );
        let mut six = Negotiator::new(LocalMedia {
            address: "2001:db8::1".parse().unwrap(),
            ..local(4000)
        });
        let (answer, _) = six.handle_offer(&offer).unwrap();
        assert_eq!(lines_of(&answer, "c="), ["c=IN IP6 2001:db8::1"]);
        assert_eq!(lines_of(&answer, "o="), ["o=- 4711 1 IN IP6 2001:db8::1"]);
    }

    #[test]
    fn addresses_for_nobody_or_for_many_are_refused() {
        for line in [
            "c=IN IP4 224.2.1.1/127",
            "c=IN IP4 255.255.255.255",
            "c=IN IP4 media.example.com",
        ] {
            let result = ours().handle_offer(&body(&["m=audio 6000 RTP/AVP 0", line]));
            assert!(
                matches!(result, Err(SdpError::UnusableAddress(_))),
                "{line}"
            );
        }
        let result = ours().handle_offer(b"v=0\r\ns=-\r\nm=audio 6000 RTP/AVP 0\r\n");
        assert!(matches!(result, Err(SdpError::UnusableAddress(_))));
    }
}

mod directions {
    use super::*;

    const ALL: [Direction; 4] = [
        Direction::SendReceive,
        Direction::SendOnly,
        Direction::ReceiveOnly,
        Direction::Inactive,
    ];

    #[test]
    fn rfc3264_5_1_and_6_1_what_is_asked_for_is_offered_and_answered_as_far_as_both_want_it() {
        for asked in ALL {
            for wanted in ALL {
                let (mut alice, mut bob) = (ours(), Negotiator::new(local(5000)));
                alice.set_direction(asked);
                bob.set_direction(wanted);
                let offer = alice.offer();
                let line = format!("a={}", asked.as_str());
                let named = usize::from(asked != Direction::SendReceive);
                assert_eq!(lines_of(&offer, &line).len(), named, "{asked:?}");
                let (answer, bob_has) = bob.handle_offer(&offer).unwrap();
                let alice_has = alice.handle_answer(&answer).unwrap();
                let both = asked.and(wanted.reversed());
                assert_eq!(alice_has.direction, both, "{asked:?} {wanted:?}");
                assert_eq!(bob_has.direction, both.reversed());
                // On hold is who would send and is not listened to.
                let holds = (
                    asked.sends() && !both.sends(),
                    wanted.sends() && !asked.receives(),
                );
                assert_eq!((alice_has.held_by_peer, bob_has.held_by_peer), holds);
            }
        }
    }

    #[test]
    fn rfc3264_8_4_a_hold_takes_what_would_be_received_and_gives_it_back() {
        for (asked, held) in [
            (Direction::SendReceive, "a=sendonly"),
            (Direction::SendOnly, "a=sendonly"),
            (Direction::ReceiveOnly, "a=inactive"),
            (Direction::Inactive, "a=inactive"),
        ] {
            let mut ours = in_call();
            ours.set_direction(asked);
            ours.set_hold(true);
            assert_eq!(lines_of(&ours.offer(), held).len(), 1, "{asked:?}");
            ours.rollback();
            ours.set_hold(false);
            let line = format!("a={}", asked.as_str());
            assert_eq!(lines_of(&ours.offer(), &line).len(), 1, "{asked:?}");
        }
    }
}

mod hold {
    use super::*;

    #[test]
    fn hold_and_resume_from_our_side() {
        let mut ours = in_call();
        ours.set_hold(true);
        let offer = ours.offer();
        assert_eq!(lines_of(&offer, "a=send"), ["a=sendonly"]);
        let has = ours
            .handle_answer(&body(&["m=audio 6000 RTP/AVP 0", "a=recvonly"]))
            .unwrap();
        assert_eq!(
            (has.direction, has.held_by_peer),
            (Direction::SendOnly, false)
        );
        ours.set_hold(false);
        let offer = ours.offer();
        assert_eq!(lines_of(&offer, "a=sendrecv").len(), 1);
        let has = ours
            .handle_answer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(has.direction, Direction::SendReceive);
    }

    #[test]
    fn hold_and_resume_from_their_side() {
        let mut ours = in_call();
        for (line, answered, direction, held) in [
            ("a=sendonly", "a=recvonly", Direction::ReceiveOnly, true),
            ("a=inactive", "a=inactive", Direction::Inactive, true),
            ("a=recvonly", "a=sendonly", Direction::SendOnly, false),
            ("a=sendrecv", "a=sendrecv", Direction::SendReceive, false),
        ] {
            let (answer, has) = ours
                .handle_offer(&body(&["m=audio 6000 RTP/AVP 0", line]))
                .unwrap();
            assert_eq!(lines_of(&answer, answered).len(), 1, "{line}");
            assert_eq!(
                (has.direction, has.held_by_peer),
                (direction, held),
                "{line}"
            );
        }
    }

    #[test]
    fn both_on_hold_is_inactive_and_each_takes_back_its_own() {
        let mut ours = in_call();
        ours.set_hold(true);
        let (answer, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0", "a=sendonly"]))
            .unwrap();
        assert_eq!(lines_of(&answer, "a=inactive").len(), 1);
        assert_eq!(has.direction, Direction::Inactive);
        // They resume, we still hold.
        let (answer, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(lines_of(&answer, "a=sendonly").len(), 1);
        assert_eq!(
            (has.direction, has.held_by_peer),
            (Direction::SendOnly, false)
        );
    }

    #[test]
    fn the_old_way_of_hold_is_understood() {
        let mut ours = in_call();
        let (answer, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0", "c=IN IP4 0.0.0.0"]))
            .unwrap();
        assert_eq!((has.remote, has.remote_rtcp), (None, None));
        assert!(has.held_by_peer && !has.direction.sends());
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 0"]);
        let (_, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0", "c=IN IP6 ::"]))
            .unwrap();
        assert_eq!(has.remote, None);
        let (_, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(
            (has.remote, has.direction),
            (address("198.51.100.7:6000"), Direction::SendReceive)
        );
    }

    #[test]
    fn the_direction_of_the_session_holds_for_a_line_without_one() {
        let offer = b"v=0\r\no=b 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\na=sendonly\r\nm=audio 6000 RTP/AVP 0\r\n";
        assert_eq!(
            in_call().handle_offer(offer).unwrap().1.direction,
            Direction::ReceiveOnly
        );
    }

    #[test]
    fn the_codec_survives_their_hold_but_not_another_party() {
        let mut ours = in_call();
        let lines = [
            "m=audio 6000 RTP/AVP 96 0",
            "a=rtpmap:96 opus/48000/2",
            "a=sendonly",
        ];
        let (answer, has) = ours.handle_offer(&body(&lines)).unwrap();
        assert_eq!(has.codec, Codec::Pcmu);
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVP 0"]);
        let transferred = String::from_utf8(body(&lines))
            .unwrap()
            .replace("bob 1", "carol 2");
        let (_, has) = ours.handle_offer(transferred.as_bytes()).unwrap();
        assert_eq!(has.codec, Codec::Opus);
    }

    #[test]
    fn the_codec_survives_our_hold() {
        let mut ours = in_call();
        ours.set_hold(true);
        let offer = ours.offer();
        assert_eq!(
            lines_of(&offer, "m="),
            ["m=audio 4000 RTP/AVP 0 111 8 110 101"]
        );
    }
}

mod lines {
    use super::*;

    #[test]
    fn every_line_is_answered_in_its_place_and_all_but_audio_refused() {
        let offer = body(&[
            "m=video 7000 RTP/AVP 97 98",
            "a=rtpmap:97 H264/90000",
            "m=audio 6000 RTP/AVP 0",
            "m=audio 6100 RTP/AVP 8",
            "m=image 6200 udptl t38",
            "m=application 0 TCP/MSRP *",
        ]);
        let mut ours = ours();
        let (answer, has) = ours.handle_offer(&offer).unwrap();
        let expected = [
            "m=video 0 RTP/AVP 97 98",
            "m=audio 4000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 8",
            "m=image 0 udptl t38",
            "m=application 0 TCP/MSRP *",
        ];
        assert_eq!(lines_of(&answer, "m="), expected);
        assert_eq!(has.remote, address("198.51.100.7:6000"));
        // Our own offer afterwards keeps count and order.
        let offer = ours.offer();
        let kinds: Vec<String> = lines_of(&offer, "m=")
            .iter()
            .map(|l| l.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            kinds,
            ["m=video", "m=audio", "m=audio", "m=image", "m=application"]
        );
    }

    #[test]
    fn a_line_that_comes_later_is_kept_and_one_that_they_forget_too() {
        let mut ours = in_call();
        let (answer, _) = ours
            .handle_offer(&body(&[
                "m=audio 6000 RTP/AVP 0",
                "m=video 7000 RTP/AVP 97",
            ]))
            .unwrap();
        assert_eq!(lines_of(&answer, "m=").len(), 2);
        let (answer, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(lines_of(&answer, "m=").len(), 1);
        assert!(
            has.repairs
                .iter()
                .any(|r| r.reveal().contains("media lines")),
            "{:?}",
            has.repairs
        );
        assert_eq!(lines_of(&ours.offer(), "m=").len(), 2);
    }

    #[test]
    fn case_37_lines_keep_their_number_order_and_version_through_a_whole_call() {
        // RFC 3264 §6 and §8: a rejected line stays in its place with port 0, a line that is there
        // is never taken away, and the version moves by one with each change and only then.
        let first = body(&[
            "m=video 7000 RTP/AVP 97",
            "a=rtpmap:97 H264/90000",
            "m=audio 6000 RTP/AVP 0",
            "m=application 0 TCP/MSRP *",
            "a=path:msrp://198.51.100.7:9/x;tcp",
        ]);
        let kinds = |bytes: &[u8]| -> Vec<String> {
            let kind = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
            lines_of(bytes, "m=").iter().map(kind).collect()
        };
        let mut ours = ours();
        let (answer, has) = ours.handle_offer(&first).unwrap();
        assert_eq!(kinds(&answer), ["m=video", "m=audio", "m=application"]);
        assert_eq!(has.remote, address("198.51.100.7:6000"));
        let refused = lines_of(&answer, "m=")
            .iter()
            .filter(|l| l.contains(" 0 "))
            .count();
        assert_eq!(refused, 2, "what is refused is refused in its place");
        let base = version(&answer);

        // Each step: what is said, how many lines, how far the version is.
        let mut lines = 3;
        let mut last = answer;
        let mut at = base;
        for hold in [false, true, true, false] {
            ours.set_hold(hold);
            let offer = ours.offer();
            assert_eq!(kinds(&offer).len(), lines, "no line is dropped");
            assert_eq!(kinds(&offer)[..3], kinds(&last)[..3], "and none moves");
            let without_origin = |bytes: &[u8]| {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let kept = text.lines().filter(|line| !line.starts_with("o="));
                kept.map(str::to_owned).collect::<Vec<_>>()
            };
            let changed = without_origin(&offer) != without_origin(&last);
            at += u64::from(changed);
            assert_eq!(version(&offer), at, "the version counts the changes");
            let answer = body(&[
                "m=video 0 RTP/AVP 97",
                "m=audio 6000 RTP/AVP 0",
                "m=application 0 TCP/MSRP *",
            ]);
            ours.handle_answer(&answer).unwrap();
            last = offer;
        }
        assert!(at > base, "holding and resuming are changes");

        // One line more from the peer, at the end; and our next offer has it, too.
        let longer = String::from_utf8(first).unwrap() + "m=image 6200 udptl t38\r\n";
        let longer = longer.replace("o=bob 1 1", "o=bob 1 2");
        let (answer, _) = ours.handle_offer(longer.as_bytes()).unwrap();
        lines += 1;
        assert_eq!(kinds(&answer).len(), lines);
        assert_eq!(kinds(&answer)[3], "m=image");
        assert_eq!(kinds(&ours.offer()), kinds(&answer));
    }

    #[test]
    fn audio_moves_on_to_a_line_that_we_can_use() {
        let offer = body(&["m=audio 6000 RTP/SAVP 0", "m=audio 6002 RTP/AVP 0"]);
        let (answer, has) = ours().handle_offer(&offer).unwrap();
        assert_eq!(
            lines_of(&answer, "m="),
            ["m=audio 0 RTP/SAVP 0", "m=audio 4000 RTP/AVP 0"]
        );
        assert_eq!(has.remote, address("198.51.100.7:6002"));
    }

    #[test]
    fn audio_can_end_and_come_back() {
        let mut ours = in_call();
        let (answer, has) = ours.handle_offer(&body(&["m=audio 0 RTP/AVP 0"])).unwrap();
        assert_eq!(lines_of(&answer, "m="), ["m=audio 0 RTP/AVP 0"]);
        assert_eq!((has.remote, has.direction), (None, Direction::Inactive));
        assert_eq!(lines_of(&ours.offer(), "m=").len(), 1);
        ours.rollback();
        let (_, has) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(has.remote, address("198.51.100.7:6000"));
    }

    #[test]
    fn the_answer_may_have_too_few_lines_but_its_audio_is_used() {
        let mut ours = ours();
        ours.handle_offer(&body(&[
            "m=video 7000 RTP/AVP 97",
            "m=audio 6000 RTP/AVP 0",
        ]))
        .unwrap();
        ours.offer();
        let has = ours
            .handle_answer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        assert_eq!(has.codec, Codec::Pcmu);
        assert!(!has.repairs.is_empty());
    }

    #[test]
    fn feedback_without_keys_is_mirrored() {
        let mut ours = ours();
        let (answer, _) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVPF 0", "a=rtcp-fb:* nack"]))
            .unwrap();
        assert_eq!(lines_of(&answer, "m="), ["m=audio 4000 RTP/AVPF 0"]);
        assert!(lines_of(&ours.offer(), "m=")[0].starts_with("m=audio 4000 RTP/AVPF "));
    }
}

mod refusals {
    use super::*;

    fn refused(lines: &[&str]) -> String {
        ours().handle_offer(&body(lines)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_offered_and_what_is_wanted_are_named() {
        assert_eq!(
            refused(&[
                "m=audio 6000 RTP/AVP 18 96 101",
                "a=rtpmap:96 speex/16000",
                "a=rtpmap:101 telephone-event/8000"
            ]),
            "no audio in common: they have G729, speex; we have opus, PCMU, PCMA over RTP/AVP"
        );
        assert!(
            refused(&[
                "m=audio 6000 RTP/SAVP 0",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"
            ])
            .contains("they have RTP/SAVP with PCMU;")
        );
        assert!(
            refused(&[
                "m=audio 6000 UDP/TLS/RTP/SAVPF 111",
                "a=rtpmap:111 opus/48000/2"
            ])
            .contains("they have UDP/TLS/RTP/SAVPF with opus;")
        );
        assert!(refused(&["m=video 6000 RTP/AVP 97"]).contains("no audio, only video"));
        assert!(refused(&[]).contains("no media"));
        assert!(refused(&["m=audio 0 RTP/AVP 0"]).contains("no audio in common"));
    }

    #[test]
    fn a_refused_offer_changes_nothing() {
        let mut ours = in_call();
        let before = ours.agreed().cloned();
        let result = ours.handle_offer(&body(&["m=audio 6000 RTP/AVP 18"]));
        assert!(matches!(result, Err(SdpError::NoCommonMedia { .. })));
        assert_eq!(ours.agreed().cloned(), before);
        assert_eq!(lines_of(&ours.offer(), "m=").len(), 1);
    }

    #[test]
    fn an_answer_without_anything_of_ours_is_refused_and_the_offer_still_waits() {
        let mut ours = ours();
        ours.offer();
        for lines in [
            ["m=audio 6000 RTP/AVP 18"],
            ["m=audio 6000 RTP/SAVP 0"],
            ["m=video 6000 RTP/AVP 97"],
        ] {
            let result = ours.handle_answer(&body(&lines));
            assert!(
                matches!(result, Err(SdpError::NoCommonMedia { .. })),
                "{lines:?}"
            );
        }
        let refusal = ours
            .handle_answer(&body(&["m=audio 0 RTP/AVP 0"]))
            .unwrap_err();
        assert_eq!(
            refusal,
            SdpError::AudioRefused {
                offered: "opus, PCMU, PCMA over RTP/AVP".to_owned()
            }
        );
        assert!(ours.awaits_answer());
        assert!(matches!(
            ours.handle_answer(b"\0\0"),
            Err(SdpError::Malformed(_))
        ));
        assert!(
            ours.handle_answer(&body(&["m=audio 6000 RTP/AVP 0"]))
                .is_ok()
        );
    }

    #[test]
    fn a_reoffer_that_is_answered_by_port_zero_is_no_failure() {
        let mut ours = in_call();
        ours.offer();
        let has = ours.handle_answer(&body(&["m=audio 0 RTP/AVP 0"])).unwrap();
        assert_eq!((has.remote, has.direction), (None, Direction::Inactive));
    }
}

mod order_of_events {
    use super::*;

    #[test]
    fn the_version_rises_with_each_change_and_only_then() {
        let mut ours = ours();
        let first = ours.offer();
        assert_eq!(version(&first), 1);
        assert_eq!(ours.offer(), first);
        ours.handle_answer(&body(&[
            "m=audio 6000 RTP/AVP 111",
            "a=rtpmap:111 opus/48000/2",
        ]))
        .unwrap();
        // A refresh says the same in the same bytes.
        assert_eq!(ours.offer(), first);
        ours.rollback();
        ours.set_hold(true);
        let held = ours.offer();
        assert_eq!(version(&held), 2);
        ours.handle_answer(&body(&["m=audio 6000 RTP/AVP 111", "a=recvonly"]))
            .unwrap();
        ours.set_hold(false);
        assert_eq!(version(&ours.offer()), 3);
    }

    #[test]
    fn a_repeated_offer_of_theirs_gets_the_same_answer() {
        let mut ours = ours();
        let offer = body(&["m=audio 6000 RTP/AVP 0"]);
        let (first, _) = ours.handle_offer(&offer).unwrap();
        assert_eq!(ours.handle_offer(&offer).unwrap().0, first);
        let (held, _) = ours
            .handle_offer(&body(&["m=audio 6000 RTP/AVP 0", "a=sendonly"]))
            .unwrap();
        assert_eq!((version(&first), version(&held)), (1, 2));
    }

    #[test]
    fn an_offer_that_crosses_ours_is_glare_and_rollback_brings_peace() {
        let mut ours = in_call();
        ours.set_hold(true);
        let held = ours.offer();
        let theirs = body(&["m=audio 6000 RTP/AVP 0", "a=sendonly"]);
        assert_eq!(ours.handle_offer(&theirs), Err(SdpError::OfferPending));
        assert!(ours.awaits_answer());
        ours.rollback();
        assert!(!ours.awaits_answer() && ours.is_holding());
        // The same offer again is the same version; a new state after it is a newer one.
        assert_eq!(ours.offer(), held);
        ours.rollback();
        let (answer, _) = ours.handle_offer(&theirs).unwrap();
        assert!(version(&answer) > version(&held));
    }

    #[test]
    fn a_withdrawn_offer_leaves_the_agreement_as_it_was() {
        let mut ours = in_call();
        let agreed = ours.agreed().cloned();
        ours.set_hold(true);
        ours.offer();
        ours.rollback();
        assert_eq!(ours.agreed().cloned(), agreed);
        assert_eq!(
            ours.handle_answer(&body(&["m=audio 6000 RTP/AVP 0"])),
            Err(SdpError::UnexpectedAnswer)
        );
    }

    #[test]
    fn each_fork_has_its_own_first_answer() {
        let mut one = ours();
        one.offer();
        let mut two = one.clone();
        let first = one
            .handle_answer(&body(&["m=audio 6000 RTP/AVP 0"]))
            .unwrap();
        let second = two
            .handle_answer(&body(&["m=audio 7000 RTP/AVP 8"]))
            .unwrap();
        assert_eq!((first.codec, second.codec), (Codec::Pcmu, Codec::Pcma));
        // The 200 repeats the 183's answer, or has another one: the first in a dialog holds.
        let again = one.handle_answer(&body(&["m=audio 9000 RTP/AVP 8"]));
        assert_eq!(again, Err(SdpError::UnexpectedAnswer));
        assert_eq!(one.agreed().unwrap().remote, address("198.51.100.7:6000"));
    }

    #[test]
    fn a_late_offer_goes_into_the_200_and_its_answer_comes_with_the_ack() {
        let (mut called, mut caller) = (ours(), Negotiator::new(local(5000)));
        let offer = called.offer();
        let (ack_body, _) = caller.handle_offer(&offer).unwrap();
        assert_eq!(called.handle_answer(&ack_body).unwrap().codec, Codec::Opus);
    }

    #[test]
    fn numbers_keep_their_meaning_through_the_session() {
        let mut ours = ours();
        // They call 111 telephone events and 101 Opus.
        let offer = body(&[
            "m=audio 6000 RTP/AVP 101 111",
            "a=rtpmap:101 opus/48000/2",
            "a=rtpmap:111 telephone-event/48000",
        ]);
        ours.handle_offer(&offer).unwrap();
        let again = ours.offer();
        let maps = lines_of(&again, "a=rtpmap");
        assert!(
            maps.contains(&"a=rtpmap:101 opus/48000/2".to_owned()),
            "{maps:?}"
        );
        assert!(
            maps.contains(&"a=rtpmap:111 telephone-event/48000".to_owned()),
            "{maps:?}"
        );
        let line = lines_of(&again, "m=")[0].clone();
        let numbers: Vec<&str> = line.split(' ').skip(3).collect();
        let mut unique = numbers.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), numbers.len(), "{line}");
    }

    #[test]
    fn a_new_address_is_in_the_next_description() {
        let mut ours = in_call();
        ours.set_address("203.0.113.77".parse().unwrap(), 4444);
        let offer = ours.offer();
        assert_eq!(lines_of(&offer, "c="), ["c=IN IP4 203.0.113.77"]);
        assert!(lines_of(&offer, "m=")[0].starts_with("m=audio 4444 "));
        assert_eq!(version(&offer), 2);
    }
}

fn any_media() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["audio", "audio", "audio", "video", "image", "text"]);
    let port = prop::sample::select(vec![0u16, 1, 5004, 49_170, 65_535]);
    let protocol =
        prop::sample::select(vec!["RTP/AVP", "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "udptl"]);
    let formats = proptest::collection::vec(
        prop::sample::select(vec!["0", "8", "9", "18", "96", "97", "101", "t38"]),
        1..5,
    );
    let attributes = proptest::collection::vec(
        prop::sample::select(vec![
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:97 telephone-event/48000",
            "a=rtpmap:101 telephone-event/8000",
            "a=rtpmap:0",
            "a=rtpmap:96 ",
            "a=fmtp:96 useinbandfec=1",
            "a=sendonly",
            "a=inactive",
            "a=ptime:30",
            "a=rtcp-mux",
            "a=rtcp:0",
            "c=IN IP4 0.0.0.0",
            "c=IN IP6 2001:db8::9",
            "b=AS:80",
            "a=mid:1",
        ]),
        0..6,
    );
    (kind, port, protocol, formats, attributes).prop_map(
        |(kind, port, protocol, formats, attributes)| {
            let formats = formats.join(" ");
            let mut media = format!("m={kind} {port} {protocol} {formats}");
            for attribute in attributes {
                media.push_str("\r\n");
                media.push_str(attribute);
            }
            media
        },
    )
}

proptest! {
    #[test]
    fn an_answer_has_the_lines_of_its_offer_and_round_trips(offers in proptest::collection::vec(proptest::collection::vec(any_media(), 0..6), 1..5), holds in proptest::collection::vec(any::<bool>(), 5)) {
        let mut ours = ours();
        let mut last_version = 0;
        let mut most = 0;
        for (media, hold) in offers.iter().zip(holds) {
            ours.set_hold(hold);
            let lines: Vec<&str> = media.iter().map(String::as_str).collect();
            let offer = body(&lines);
            let Ok((answer, has)) = ours.handle_offer(&offer) else {
                continue;
            };
            let read = SessionDescription::parse(&answer).unwrap();
            prop_assert!(read.repairs().is_empty());
            prop_assert_eq!(read.to_bytes(), answer.clone());
            prop_assert_eq!(read.media().len(), media.len());
            prop_assert!(read.version() >= last_version);
            last_version = read.version();
            most = most.max(media.len());
            let theirs = SessionDescription::parse(&offer).unwrap();
            for (ours, theirs) in read.media().zip(theirs.media()) {
                prop_assert_eq!(ours.kind(), theirs.kind());
                prop_assert_eq!(ours.protocol(), theirs.protocol());
                prop_assert!(ours.port() == 0 || theirs.port() != 0);
            }
            prop_assert!(read.media().filter(|m| m.port() != 0).count() <= 1);
            prop_assert!(!hold || !has.direction.receives());
        }
        prop_assert!(lines_of(&ours.offer(), "m=").len() >= most);
    }

    #[test]
    fn any_offer_we_can_make_is_answered_by_ourselves(first in proptest::sample::subsequence(Codec::ALL.to_vec(), 1..=4), second in proptest::sample::subsequence(Codec::ALL.to_vec(), 1..=4), events: bool, hold: bool) {
        let mut alice = Negotiator::new(LocalMedia { codecs: first.clone(), telephone_event: events, ..local(4000) });
        let mut bob = Negotiator::new(LocalMedia { codecs: second.clone(), ..local(5000) });
        alice.set_hold(hold);
        let offer = alice.offer();
        match bob.handle_offer(&offer) {
            Ok((answer, bob_has)) => {
                let alice_has = alice.handle_answer(&answer).unwrap();
                prop_assert_eq!(alice_has.codec, bob_has.codec);
                prop_assert_eq!(alice_has.send_payload_type, bob_has.receive_payload_type);
                prop_assert_eq!(alice_has.direction, bob_has.direction.reversed());
                prop_assert_eq!(alice_has.telephone_event.is_some(), events);
                prop_assert_eq!(bob_has.held_by_peer, hold);
            }
            Err(error) => {
                prop_assert!(!first.iter().any(|c| second.contains(c)), "{}", error);
            }
        }
    }

    #[test]
    fn any_bytes_as_offer_or_answer_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut ours = ours();
        let _ = ours.handle_offer(&bytes);
        ours.rollback();
        ours.offer();
        let _ = ours.handle_answer(&bytes);
    }
}
