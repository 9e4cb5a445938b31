//! The four lights of a call: what was captured, sent, received and played, and why something was not.
//!
//! The pump counts; here it is looked at several times a second, and once a second it is said what is true.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::stream::quality;
use media::StreamCounters;
use model::{CallView, Light, MediaStats, Silence, SoundMark, SoundView, Timestamp};

/// Louder than this is sound: -60 dB. Quieter is the noise of a good microphone.
const SOUND: f32 = 0.001;

/// Seconds that a direction is silent before it is said why: words have pauses.
const PATIENCE: u32 = 3;

/// Seconds of digital silence, or of nothing but noise, before a microphone is doubted: listeners say nothing for long.
const MICROPHONE_PATIENCE: u32 = 10;

/// Seconds without a packet before that is said of a peer that has told that it pauses: nothing has to come meanwhile (RFC 3389
/// §3), but a network may be gone as well.
const PAUSE: u32 = 30;

/// A peer that reports this share of loss gets nothing.
const ALL_LOST: f32 = 0.99;

/// Seconds between two times that the course is shown.
const COURSE_EVERY: u32 = 10;

/// What is watched between two reports.
#[derive(Debug, Default)]
pub(crate) struct Lights {
    captured: Watched,
    sent: Watched,
    received: Watched,
    played: Watched,
    /// Packets that the socket refused when something was last sent: those before say nothing about why nothing goes now.
    unsent_before: u64,
    /// Packets with the wrong key, and packets dropped, when something was last received: those that came before say
    /// nothing about why nothing comes now.
    refused_before: (u64, u64),
    /// Packets that could not be played, and all of them, when something was last played.
    unplayed_before: (u64, u64),
    course: Course,
    seconds: u32,
}

/// One light while it is watched.
#[derive(Debug, Default)]
struct Watched {
    /// The count or the loudness at the last look.
    count: u64,
    on: bool,
    level: f32,
    last: Option<Timestamp>,
    /// Whole seconds without anything.
    dark: u32,
}

impl Watched {
    fn see(&mut self, at: Timestamp, is_on: bool, level: f32) {
        self.level = self.level.max(level);
        if is_on {
            self.on = true;
            self.last = Some(at);
        }
    }

    fn see_count(&mut self, at: Timestamp, count: u64, level: f32) {
        let is_on = count != std::mem::replace(&mut self.count, count);
        self.see(at, is_on, level);
    }

    /// What the second brought; the next one begins.
    fn take(&mut self) -> Light {
        let light = Light {
            on: self.on,
            level: self.level,
            last: self.last,
        };
        self.dark = if self.on {
            0
        } else {
            self.dark.saturating_add(1)
        };
        (self.on, self.level) = (false, 0.0);
        light
    }
}

/// The course of the call in a bounded number of marks: when they are too many, two become one.
#[derive(Debug, Default)]
struct Course {
    marks: VecDeque<SoundMark>,
    /// Seconds that a new mark stands for.
    step: u32,
    /// The mark that is not whole yet.
    open: Option<SoundMark>,
}

impl Course {
    fn push(&mut self, mark: SoundMark) {
        self.step = self.step.max(1);
        let open = match self.open.take() {
            Some(open) => together(open, mark),
            None => mark,
        };
        if open.seconds < self.step {
            self.open = Some(open);
            return;
        }
        self.marks.push_back(open);
        if self.marks.len() >= SoundView::MOST_MARKS {
            let mut marks = std::mem::take(&mut self.marks).into_iter();
            while let Some(first) = marks.next() {
                let mark = match marks.next() {
                    Some(second) => together(first, second),
                    None => first,
                };
                self.marks.push_back(mark);
            }
            self.step *= 2;
        }
    }

    fn shown(&self) -> Vec<SoundMark> {
        self.marks.iter().chain(&self.open).cloned().collect()
    }
}

fn together(first: SoundMark, second: SoundMark) -> SoundMark {
    SoundMark {
        seconds: first.seconds + second.seconds,
        captured: first.captured.max(second.captured),
        played: first.played.max(second.played),
        ..second
    }
}

/// What is read of the counters.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    sent: u64,
    send_errors: u64,
    received: u64,
    reports: u64,
    peer_loss: f32,
    not_genuine: u64,
    dropped: u64,
    discarded: u64,
    /// The peer has said last that it says nothing for a while.
    pauses: bool,
    announced: Option<SocketAddr>,
    target: Option<SocketAddr>,
}

impl Figures {
    fn of(counters: &StreamCounters) -> Self {
        Self {
            sent: counters.sent(),
            send_errors: counters.send_errors(),
            received: counters.received(),
            reports: counters.reports_received(),
            peer_loss: counters.peer_loss(),
            not_genuine: counters.not_genuine(),
            dropped: counters.dropped(),
            discarded: counters.discarded(),
            pauses: counters.pauses(),
            announced: counters.announced_peer(),
            target: counters.target(),
        }
    }
}

impl Lights {
    /// Looks at the counters; several times a second.
    pub(crate) fn look(&mut self, at: Timestamp, counters: &StreamCounters) {
        let (captured, played) = (counters.source_level(), counters.receive_level());
        self.captured.see(at, captured > SOUND, captured);
        self.played.see(at, played > SOUND, played);
        let levels = (counters.send_level(), played);
        self.look_at_counts(at, &Figures::of(counters), levels);
    }

    fn look_at_counts(&mut self, at: Timestamp, figures: &Figures, (sent, played): (f32, f32)) {
        self.sent.see_count(at, figures.sent, sent);
        self.received.see_count(at, figures.received, played);
    }

    /// The second is over: what was captured, sent, received and played in it.
    fn end_second(&mut self, figures: &Figures) -> [Light; 4] {
        self.seconds = self.seconds.saturating_add(1);
        let lights = [
            self.captured.take(),
            self.sent.take(),
            self.received.take(),
            self.played.take(),
        ];
        let [_, sent, received, played] = &lights;
        if sent.on {
            self.unsent_before = figures.send_errors;
        }
        if received.on {
            self.refused_before = (figures.not_genuine, figures.dropped);
        }
        if played.on {
            self.unplayed_before = (figures.discarded, figures.received);
        }
        lights
    }

    /// What is true at the end of a second. The reasons are still to be joined with what the call knows of itself.
    pub(crate) fn report(
        &mut self,
        at: Timestamp,
        counters: &StreamCounters,
        stats: &MediaStats,
        from_microphone: bool,
    ) -> SoundView {
        let figures = Figures::of(counters);
        let [captured, sent, received, played] = self.end_second(&figures);
        self.course.push(SoundMark {
            at,
            seconds: 1,
            stats: *stats,
            captured: captured.level,
            played: played.level,
        });
        let name = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let shown = self.seconds.is_multiple_of(COURSE_EVERY);
        SoundView {
            captured,
            sent,
            received,
            played,
            expected_peer: name(counters.announced_peer()),
            actual_peer: name(counters.actual_peer()),
            target: name(counters.target()),
            we_speak: counters.we_speak(),
            they_speak: counters.they_speak(),
            quality: counters.metrics().as_ref().map(quality),
            peer_quality: counters.peer_metrics().as_ref().map(quality),
            silences: self.silences(&figures, from_microphone),
            course: if shown {
                self.course.shown()
            } else {
                Vec::new()
            },
        }
    }

    /// Why something is missing, as far as the stream can tell.
    fn silences(&self, figures: &Figures, from_microphone: bool) -> Vec<Silence> {
        let mut silences = Vec::new();
        if self.sent.dark >= PATIENCE {
            match figures.send_errors.saturating_sub(self.unsent_before) {
                0 if figures.target.is_none() => silences.push(Silence::NoAddress),
                0 => {}
                packets => silences.push(Silence::NotSent { packets }),
            }
        } else if from_microphone && self.captured.dark >= MICROPHONE_PATIENCE {
            silences.push(Silence::NothingCaptured);
        }
        if figures.reports > 0 && figures.peer_loss > ALL_LOST {
            silences.push(Silence::NotArriving);
        }
        if self.received.dark >= PATIENCE {
            let (not_genuine, dropped) = self.refused_before;
            let not_genuine = figures.not_genuine.saturating_sub(not_genuine);
            let dropped = figures.dropped.saturating_sub(dropped);
            let why = match (not_genuine, dropped) {
                (packets @ 1.., _) => Some(Silence::WrongKey { packets }),
                (0, packets @ 1..) => Some(Silence::Dropped { packets }),
                (0, 0) if figures.received == 0 => Some(Silence::NeverReceived {
                    expected: figures.announced.map(|a| a.to_string()),
                    private: figures.announced.is_some_and(|a| is_private(a.ip())),
                }),
                (0, 0) if figures.pauses && self.received.dark < PAUSE => None,
                (0, 0) => Some(Silence::StoppedReceiving {
                    seconds: u64::from(self.received.dark),
                }),
            };
            silences.extend(why);
        } else if self.played.dark >= PATIENCE && figures.received > 0 {
            let (discarded, received) = self.unplayed_before;
            let packets = figures.discarded.saturating_sub(discarded);
            let all = figures.received.saturating_sub(received);
            if packets * 2 > all {
                silences.push(Silence::Discarded { packets });
            } else if self.played.dark >= MICROPHONE_PATIENCE {
                silences.push(Silence::SilenceReceived);
            }
        }
        silences
    }
}

/// Which of the devices that a call should have could not be had, or are set to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Without {
    pub(crate) microphone: bool,
    pub(crate) speaker: bool,
    pub(crate) microphone_down: bool,
    pub(crate) speaker_down: bool,
}

/// Joins what the stream found with what the call knows, and with what is known of the devices: what a person did explains more
/// than what packets do.
pub(crate) fn explain(sound: &mut SoundView, call: &CallView, without: Without) {
    miss(sound, without);
    let held = [
        (call.held_by_us, Silence::HeldByUs),
        (call.held_by_peer, Silence::HeldByPeer),
    ];
    let held: Vec<Silence> = held
        .into_iter()
        .filter_map(|(is, why)| is.then_some(why))
        .collect();
    if !held.is_empty() {
        sound.silences = held;
        return;
    }
    let direction = call.details.media;
    if !direction.is_both() {
        // What was agreed not to flow is missed by nobody.
        sound.silences.retain(|why| match why.is_ours() {
            true => direction.sends(),
            false => direction.receives(),
        });
        sound.silences.insert(0, Silence::Agreed { direction });
    }
    if call.muted {
        sound.silences.retain(|why| {
            !matches!(
                why,
                Silence::NothingCaptured | Silence::NoMicrophone | Silence::MicrophoneDown
            )
        });
        sound.silences.insert(0, Silence::Muted);
    }
}

/// What comes is sound and goes nowhere without a speaker; and without a microphone it is known why nothing is captured.
fn miss(sound: &mut SoundView, without: Without) {
    let speaker = match (without.speaker, without.speaker_down) {
        (true, _) => Some(Silence::NoSpeaker),
        (false, true) => Some(Silence::SpeakerDown),
        (false, false) => None,
    };
    if let Some(why) = speaker {
        sound.played = Light::default();
        sound.silences.push(why);
    }
    let microphone = match (without.microphone, without.microphone_down) {
        (true, _) => Some(Silence::NoMicrophone),
        (false, true) => Some(Silence::MicrophoneDown),
        (false, false) => None,
    };
    if let Some(why) = microphone {
        sound
            .silences
            .retain(|why| *why != Silence::NothingCaptured);
        sound.silences.insert(0, why);
    }
}

/// An address that means nothing outside its own network (RFC 1918, RFC 6598, RFC 3927, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(second: i64) -> SoundMark {
        SoundMark {
            at: Timestamp(second * 1_000),
            seconds: 1,
            stats: MediaStats {
                sent: second as u64,
                ..MediaStats::default()
            },
            captured: if second == 5_000 { 0.9 } else { 0.1 },
            played: 0.0,
        }
    }

    #[test]
    fn the_course_of_a_day_is_bounded_whole_and_keeps_its_peaks() {
        let mut course = Course::default();
        for second in 1..=86_400 {
            course.push(mark(second));
            assert!(course.shown().len() <= SoundView::MOST_MARKS);
        }
        let shown = course.shown();
        assert!(shown.len() > SoundView::MOST_MARKS / 4, "{}", shown.len());
        assert_eq!(shown.iter().map(|m| m.seconds).sum::<u32>(), 86_400);
        assert_eq!(shown.last().unwrap().stats.sent, 86_400);
        assert!(shown.windows(2).all(|w| w[0].at.0 < w[1].at.0));
        assert_eq!(shown.iter().filter(|m| m.captured > 0.5).count(), 1);
    }

    #[test]
    fn a_short_call_has_each_of_its_seconds() {
        let mut course = Course::default();
        (1..=60).for_each(|second| course.push(mark(second)));
        assert_eq!(course.shown().len(), 60);
    }

    #[test]
    fn a_light_goes_out_a_second_after_the_last_packet_and_says_when_that_was() {
        let mut light = Watched::default();
        light.see_count(Timestamp(100), 5, 0.2);
        light.see_count(Timestamp(150), 5, 0.1);
        let lit = light.take();
        assert!(lit.on && lit.level == 0.2 && lit.last == Some(Timestamp(100)));
        light.see_count(Timestamp(1_100), 5, 0.0);
        let out = light.take();
        assert!(!out.on && out.level == 0.0 && out.last == Some(Timestamp(100)));
        assert_eq!(light.dark, 1);
    }

    #[test]
    fn a_silent_stream_says_what_is_missing_and_from_where() {
        let counters = StreamCounters::default();
        let mut lights = Lights::default();
        let mut last = SoundView::default();
        for second in 0..4 {
            lights.look(Timestamp(second * 1_000), &counters);
            last = lights.report(
                Timestamp(second * 1_000),
                &counters,
                &MediaStats::default(),
                true,
            );
        }
        assert_eq!(
            last.silences,
            [
                Silence::NoAddress,
                Silence::NeverReceived {
                    expected: None,
                    private: false
                }
            ]
        );
        for private in ["10.1.2.3", "192.168.0.1", "100.64.0.1", "fd00::1"] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        assert!(!is_private("192.0.2.1".parse().unwrap()));
    }

    /// "Played" promises that it goes to a speaker.
    #[test]
    fn without_a_speaker_nothing_is_played_and_without_a_microphone_that_is_why() {
        let on = Light {
            on: true,
            level: 0.2,
            last: Some(Timestamp(1)),
        };
        let heard = SoundView {
            received: on,
            played: on,
            silences: vec![Silence::NothingCaptured],
            ..SoundView::default()
        };
        let missed = |without: Without| {
            let mut sound = heard.clone();
            miss(&mut sound, without);
            sound
        };
        let both = missed(Without {
            microphone: true,
            speaker: true,
            ..Without::default()
        });
        assert!(both.received.on && !both.played.on);
        assert_eq!(both.silences, [Silence::NoMicrophone, Silence::NoSpeaker]);
        // What is set to nothing is neither broken nor switched off.
        let down = missed(Without {
            microphone_down: true,
            speaker_down: true,
            ..Without::default()
        });
        assert!(down.received.on && !down.played.on);
        assert_eq!(
            down.silences,
            [Silence::MicrophoneDown, Silence::SpeakerDown]
        );
        assert_eq!(missed(Without::default()), heard);
    }

    /// What is said after each second, whose figures are these.
    fn said(lights: &mut Lights, seconds: impl IntoIterator<Item = Figures>) -> Vec<Vec<Silence>> {
        let seconds = seconds.into_iter();
        let each = seconds.map(|figures| {
            lights.look_at_counts(Timestamp(0), &figures, (0.0, 0.0));
            lights.end_second(&figures);
            lights.silences(&figures, false)
        });
        each.collect()
    }

    fn target() -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], 4_000)))
    }

    /// How long it takes until it is said that nothing comes, of a peer that has said that it pauses, or not.
    fn stopped_after(pauses: bool) -> Option<usize> {
        let second = |second: u64| Figures {
            sent: second,
            received: 1,
            pauses,
            target: target(),
            ..Figures::default()
        };
        let said = said(&mut Lights::default(), (1..=60).map(second));
        let stopped = |why: &Silence| matches!(why, Silence::StoppedReceiving { .. });
        said.iter().position(|now| now.iter().any(stopped))
    }

    /// RFC 3389 §3: after the packet that says how it is quiet, nothing has to come before somebody speaks.
    #[test]
    fn a_peer_that_says_so_may_pause() {
        assert_eq!(stopped_after(false), Some(3));
        assert_eq!(stopped_after(true), Some(30));
    }

    #[test]
    fn what_was_refused_before_the_last_packet_says_nothing_of_a_pause() {
        let second = |sent: u64, send_errors: u64| Figures {
            sent,
            send_errors,
            target: target(),
            ..Figures::default()
        };
        let errors = |said: &[Vec<Silence>]| {
            let all = said.iter().flatten();
            let refused = all.filter_map(|why| match why {
                Silence::NotSent { packets } => Some(*packets),
                _ => None,
            });
            refused.collect::<Vec<u64>>()
        };
        let mut lights = Lights::default();
        // Nobody listened yet when the first packet went out; later we pause.
        let pause = (1..=20).map(|n| second(n.min(5), 1));
        assert_eq!(errors(&said(&mut lights, pause)), [0; 0]);
        // What is refused from then on does.
        let refused = [2, 52].map(|errors| second(5, errors));
        assert_eq!(errors(&said(&mut lights, refused)), [1, 51]);
    }
}
