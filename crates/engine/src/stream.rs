//! One RTP stream: its life cycle, its statistics, and the loss of its media.
//!
//! The actor owns the stream and does not carry it: packets and samples pass through the pump
//! thread, and what the actor learns it reads from atomics. The dialog holds the handle too, so a
//! fault in here stops the reports and not the sound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use codecs::CodecKind;
use media::{StreamCounters, StreamEvent, StreamHandle, VoipMetrics};
use model::{MediaStats, VoiceQuality};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::dialog::DialogMsg;
use crate::lights::Lights;
use crate::wake::now;
use crate::wall;

/// How often the pump is asked for digits and faults.
const LOOK: Duration = Duration::from_millis(50);
/// How often figures are reported.
const REPORT: Duration = Duration::from_secs(1);
/// How long nothing may come before the user is told.
const SILENCE: Duration = Duration::from_secs(10);
/// After a restart that found no way, how long until the next is asked for.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// Changes of codec that are told of one stream: some peers never stop.
const MOST_CHANGES: u32 = 20;

/// What a [`StreamActor`] can be told.
pub(crate) enum StreamMsg {
    /// Look at the pump.
    Look,
    /// Whether media is expected at all: not while held.
    Expecting(bool),
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
}

/// Owns the reports of one stream.
pub(crate) struct StreamActor;

/// What a [`StreamActor`] is started with.
#[derive(Clone)]
pub(crate) struct StreamArgs {
    pub(crate) dialog: ActorRef<DialogMsg>,
    pub(crate) handle: Arc<StreamHandle>,
    /// Whether media is expected from the start.
    pub(crate) expecting: bool,
    /// Whether it is the microphone that is sent: a file, or an echo, may be silent without a reason.
    pub(crate) from_microphone: bool,
}

pub(crate) struct StreamState {
    args: StreamArgs,
    reported_at: Instant,
    received: u64,
    heard_at: Instant,
    expecting: bool,
    silent: bool,
    /// When the ways are to be tried once more.
    asks_at: Option<Instant>,
    /// What was told of the codec that is heard, and how often that may still be.
    heard: Option<CodecKind>,
    changes: u32,
    lights: Lights,
}

impl Actor for StreamActor {
    type Msg = StreamMsg;
    type State = StreamState;
    type Arguments = StreamArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.send_interval(LOOK, || StreamMsg::Look);
        let at = now();
        let received = args.handle.counters().received();
        let expecting = args.expecting;
        Ok(StreamState {
            args,
            reported_at: at,
            received,
            heard_at: at,
            expecting,
            silent: false,
            asks_at: None,
            heard: None,
            changes: MOST_CHANGES,
            lights: Lights::default(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            StreamMsg::Look => state.on_look(now()),
            StreamMsg::Expecting(expecting) => {
                state.expecting = expecting;
                state.heard_at = now();
            }
            #[cfg(test)]
            StreamMsg::Crash => panic!("told to fail"),
        }
        Ok(())
    }
}

impl StreamState {
    fn on_look(&mut self, at: Instant) {
        while let Some(event) = self.args.handle.poll_event() {
            match event {
                StreamEvent::NoWay => self.asks_at = Some(at + ASK_AGAIN),
                StreamEvent::WayFound(_) | StreamEvent::WayLost => self.asks_at = None,
                _ => {}
            }
            let message = match event {
                StreamEvent::Dtmf { digit, duration } => DialogMsg::DigitHeard { digit, duration },
                StreamEvent::DigitSent(digit) => DialogMsg::DigitSent(digit),
                StreamEvent::FirstPacket { from } => DialogMsg::MediaFlows(from),
                StreamEvent::WayFound(to) => DialogMsg::MediaNews(match to {
                    Some(way) if way.relayed => {
                        format!(
                            "of the ways to the peer, the one through the relay to {} works",
                            way.to
                        )
                    }
                    Some(way) => format!("of the ways to the peer, the one to {} works", way.to),
                    None => {
                        "no way to the peer has answered; media goes where its description says"
                            .to_owned()
                    }
                }),
                StreamEvent::Said(number) => DialogMsg::Said(number),
                StreamEvent::RecordingEnded { path, reason } => {
                    DialogMsg::RecordingEnded(path, reason)
                }
                StreamEvent::PeerMoved {
                    announced: Some(announced),
                    actual,
                } => DialogMsg::MediaNews(format!(
                    "media goes to {actual}, where the peer's comes from, and not to {announced}, where it wants it"
                )),
                StreamEvent::WayLost => DialogMsg::WayLost,
                StreamEvent::NoWay => DialogMsg::NoWay,
                StreamEvent::WayKept(way) => DialogMsg::MediaNews(format!(
                    "of the ways that were tried anew none has answered; the one to {} works on",
                    way.to
                )),
                StreamEvent::WaysSettled(settled) => DialogMsg::WaysSettled(settled),
                StreamEvent::KeyServedBefore => DialogMsg::MediaNews(
                    "the key agreed on for what we send has served in this call before: nothing is sent until there is \
                     another"
                        .to_owned(),
                ),
                StreamEvent::RelayRefuses(peer, why) => {
                    DialogMsg::MediaNews(format!("the relay does not lead to {peer}: {why}"))
                }
                StreamEvent::RelayLost(socket, why) => DialogMsg::RelayLost(socket, why),
                StreamEvent::Secured(profile) => DialogMsg::MediaSecured(Ok(profile)),
                StreamEvent::NotSecured(failure) => DialogMsg::MediaSecured(Err(failure)),
                StreamEvent::ReportsNotSecured(failure) => DialogMsg::MediaNews(format!(
                    "on the port of the reports {failure}; there are none, and the speech goes on"
                )),
                other => DialogMsg::MediaNews(format!("{other:?}")),
            };
            let _ = self.args.dialog.cast(message);
        }
        if self.asks_at.is_some_and(|asks_at| at >= asks_at) {
            self.asks_at = None;
            let _ = self.args.dialog.cast(DialogMsg::WayLost);
        }
        let counters = self.args.handle.counters();
        self.lights.look(wall(), &counters);
        let received = counters.received();
        if received != self.received {
            self.received = received;
            self.heard_at = at;
            if std::mem::take(&mut self.silent) {
                let _ = self.args.dialog.cast(DialogMsg::MediaSilent(false));
            }
        } else if self.expecting
            && !self.silent
            && at.saturating_duration_since(self.heard_at) >= SILENCE
        {
            self.silent = true;
            let _ = self.args.dialog.cast(DialogMsg::MediaSilent(true));
        }
        if at.saturating_duration_since(self.reported_at) >= REPORT {
            self.reported_at = at;
            self.tell_codec(counters.codec_heard());
            let stats = stats(&counters);
            let microphone = self.args.from_microphone;
            let sound = self.lights.report(wall(), &counters, &stats, microphone);
            let sound = Box::new(sound);
            let _ = self.args.dialog.cast(DialogMsg::Stats(stats, sound));
        }
    }
}

impl StreamState {
    /// A peer may go to another of the agreed codecs at any time (RFC 3264 §7): whoever looks for the reason of a change of
    /// sound finds it.
    fn tell_codec(&mut self, heard: Option<CodecKind>) {
        let Some(heard) = heard.filter(|heard| self.heard != Some(*heard)) else {
            return;
        };
        if self.heard.replace(heard).is_some() && self.changes > 0 {
            self.changes -= 1;
            let news = format!("the peer is heard with {heard} from now on");
            let _ = self.args.dialog.cast(DialogMsg::MediaNews(news));
        }
    }
}

/// The figures of a stream as they stand.
pub(crate) fn stats(counters: &StreamCounters) -> MediaStats {
    // What was missing when it was to be played counts as well as what was made up for it.
    let made_up = counters.concealed_ms();
    let whole = counters.played_ms().max(made_up);
    MediaStats {
        sent: counters.sent(),
        received: counters.received(),
        lost: counters.lost(),
        late: counters.late(),
        jitter_ms: counters.jitter_us() as f32 / 1_000.0,
        rtt_ms: counters.round_trip().map(|t| t.as_secs_f32() * 1_000.0),
        buffer_ms: counters.buffer_us() as f32 / 1_000.0,
        concealed: made_up as f32 / whole.max(1) as f32,
        mos: counters.mos(),
    }
}

/// How a voice is heard, as one end measures it or tells it.
pub(crate) fn quality(metrics: &VoipMetrics) -> VoiceQuality {
    let share = |share: u8| f32::from(share) / 256.0;
    let mos = |tenths: Option<u8>| tenths.map(|tenths| f32::from(tenths) / 10.0);
    VoiceQuality {
        lost: share(metrics.loss_rate),
        discarded: share(metrics.discard_rate),
        burst_density: share(metrics.burst_density),
        gap_density: share(metrics.gap_density),
        burst_ms: metrics.burst_duration_ms.into(),
        gap_ms: metrics.gap_duration_ms.into(),
        // RFC 3611 §4.7.3: 0 where none was measured, and nobody is that near.
        rtt_ms: Some(metrics.round_trip_ms.into()).filter(|ms| *ms > 0),
        end_system_ms: metrics.end_system_delay_ms.into(),
        signal_dbm: metrics.signal_level_dbm,
        noise_dbm: metrics.noise_level_dbm,
        r_factor: metrics.r_factor,
        mos_lq: mos(metrics.mos_lq),
        mos_cq: mos(metrics.mos_cq),
        buffer_ms: metrics.buffer_nominal_ms.into(),
        buffer_most_ms: metrics.buffer_absolute_maximum_ms.into(),
    }
}
