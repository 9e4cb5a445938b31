//! What everybody else holds of one stream.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use codecs::{CodecKind, Encoder, EncoderOptions};
use nat::ice::Component;
use rtp::srtp::{Renewal, Security};
use rtrb::Consumer;

use super::{MediaError, Shared, channels, clean_gain, lines, lock};
use crate::config::{Dtls, Instead, Place, Settled, Sink, Source, StreamEvent, StreamParameters};
use crate::counters::{StreamCounters, Wishes};
use crate::formats::{Formats, Hearable};
use crate::keeper::Order;
use crate::pump::Command;
use crate::ready::Ready;
use crate::record::Trouble;
use crate::send::Prepared;
use crate::socket::MOST_LINES;
use crate::stream::{Change, Parts};
use crate::tape::{Recording, Tape};
use crate::tone::dtmf;

/// One stream. Dropping it says good-bye to the peer and ends it.
pub struct StreamHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) counters: Arc<StreamCounters>,
    pub(super) wishes: Arc<Wishes>,
    pub(super) events: Mutex<Consumer<StreamEvent>>,
    pub(super) last: Mutex<Last>,
}

/// What has to be known to prepare a change.
pub(super) struct Last {
    pub(super) kind: CodecKind,
    /// All that the peer may send.
    pub(super) hearable: Hearable,
    pub(super) encoder: EncoderOptions,
    pub(super) source: Source,
    /// What is said in its place.
    pub(super) instead: Option<Instead>,
    pub(super) security: Option<Security>,
    pub(super) dtls: Option<Dtls>,
    /// Where the peer was to be found.
    pub(super) remote: Option<SocketAddr>,
    /// Where its signalling came from.
    pub(super) signalling: Option<IpAddr>,
    /// The number of the handshake whose keys count.
    pub(super) handshake: u64,
    /// There is a socket for reports.
    pub(super) reports_have_port: bool,
    /// They have a handshake there, of this number.
    pub(super) apart: bool,
    pub(super) report_handshake: u64,
    pub(super) ice: Option<nat::ice::Session>,
    /// The number of the search for a way that counts.
    pub(super) search: u64,
    /// Of the recording, when there is one: its file, and its trouble, told once.
    pub(super) trouble: Option<(PathBuf, Trouble)>,
    /// Of the recording of both sides, the same.
    pub(super) tape_trouble: Option<(PathBuf, Trouble)>,
    /// It has an address at a relay.
    pub(super) relayed: bool,
    /// It has other sockets than when offer and answer agreed.
    pub(super) has_moved: bool,
}

impl StreamHandle {
    /// Follows a new negotiation: another address, codec, direction or key. Hold and resume are this too.
    ///
    /// # Errors
    /// The codec cannot be made, the key not be used, or [`MediaError::Busy`]; the stream goes on as it was then.
    pub fn update(&self, parameters: StreamParameters) -> Result<(), MediaError> {
        let mut last = lock(&self.last);
        let kind = parameters.codec.kind;
        let options = parameters.opus.with(last.encoder);
        let parts = if kind == last.kind {
            None
        } else {
            Some(Parts {
                encoder: Encoder::new(kind, options)?,
                source: Prepared::new(&last.source, kind),
                instead: last
                    .instead
                    .as_ref()
                    .map(|instead| instead.prepared(kind, None)),
            })
        };
        let hearable = Hearable::new(&parameters);
        let formats = if hearable == last.hearable {
            None
        } else {
            Some(Formats::new(&hearable)?)
        };
        let (security, dtls) = (parameters.security.clone(), parameters.dtls.clone());
        let renewal = match (&last.dtls, &dtls) {
            // Whoever means to go on with the keys is heard with them until others come.
            (Some(before), Some(now)) if before.is_with(now) => Renewal::default(),
            (_, Some(_)) => Renewal::close(),
            (Some(_), None) => Renewal::after_handshake(security.as_ref())?,
            (None, None) => Renewal::new(last.security.as_ref(), security.as_ref())?,
        };
        // RFC 5763 §6.6, RFC 8842 §4: at another address of either side it is another association, unless checks lead there or
        // both say that it is the same. Somebody else may be there with the same certificate; or the same peer, who means to go
        // on.
        let place = parameters.remote.zip(last.remote);
        let moved = last.has_moved || place.is_some_and(|(now, before)| now != before);
        let moved = moved && parameters.ice.is_none() && last.ice.is_none();
        let begins = dtls.as_ref().is_some_and(|now| {
            let before = last.dtls.as_ref();
            before.is_none_or(|before| before.ends_with(now, moved))
        });
        let handshake = if begins {
            self.shared.next_handshake.fetch_add(1, Relaxed)
        } else {
            last.handshake
        };
        let apart = last.reports_have_port && parameters.has_reports_apart();
        let reports_begin = apart && (begins || !last.apart);
        let reports_end = !apart && last.apart;
        let (report_handshake, report_renewal) = if reports_begin {
            let number = self.shared.next_handshake.fetch_add(1, Relaxed);
            (number, Renewal::close())
        } else if reports_end {
            let number = self.shared.next_handshake.fetch_add(1, Relaxed);
            (number, Renewal::after_handshake(None)?)
        } else {
            (last.report_handshake, Renewal::default())
        };
        let ice = parameters.ice.clone();
        let goes_on = |now: &nat::ice::Session| last.ice.as_ref().is_some_and(|l| l.goes_on(now));
        let searches = ice.as_ref().is_some_and(|now| !goes_on(now));
        // RFC 8445 §9: a restart that leaves the sockets where they are interrupts nothing.
        let is_there = |now: &nat::ice::Session| last.ice.as_ref().is_some_and(|l| l.is_at(now));
        let keeps = ice.as_ref().is_some_and(is_there);
        let search = if searches {
            self.shared.next_handshake.fetch_add(1, Relaxed)
        } else {
            last.search
        };
        let change = Box::new(Change {
            parameters: parameters.clone(),
            parts,
            options,
            formats,
            renewal,
            handshake,
            report_renewal,
            report_handshake,
            search,
            searches,
            keeps,
        });
        self.shared.command(Command::Change(self.id, change))?;
        if searches {
            self.shared
                .begin_search(self.id, search, keeps, &parameters);
        } else if ice.is_none() && last.ice.is_some() {
            self.shared.order(Order::EndSearch { stream: self.id });
        }
        if begins {
            self.shared
                .begin_handshake(self.id, Component::Media, handshake, &parameters);
        } else if dtls.is_none() && last.dtls.is_some() {
            self.shared.order(Order::End {
                stream: self.id,
                component: Component::Media,
            });
        }
        if let Some(remote) = parameters.remote.filter(|_| dtls.is_some() || last.relayed) {
            self.shared.order(Order::Remote {
                stream: self.id,
                component: Component::Media,
                remote,
            });
        }
        if last.relayed {
            self.shared.permit(self.id, parameters.signalling);
        }
        if reports_begin {
            self.shared
                .begin_handshake(self.id, Component::Reports, report_handshake, &parameters);
        } else if reports_end {
            self.shared.order(Order::End {
                stream: self.id,
                component: Component::Reports,
            });
        } else if let Some(remote) = parameters.reports_at().filter(|_| apart) {
            self.shared.order(Order::Remote {
                stream: self.id,
                component: Component::Reports,
                remote,
            });
        }
        last.kind = kind;
        last.hearable = hearable;
        last.security = security;
        last.dtls = dtls;
        last.remote = parameters.remote.or(last.remote);
        last.signalling = parameters.signalling.or(last.signalling);
        last.handshake = handshake;
        last.apart = apart;
        last.report_handshake = report_handshake;
        last.ice = ice;
        last.search = search;
        last.has_moved = false;
        Ok(())
    }

    /// Says something else from now on.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn set_source(&self, source: Source) -> Result<(), MediaError> {
        let mut last = lock(&self.last);
        let prepared = Prepared::new(&source, last.kind);
        self.shared.command(Command::Source(self.id, prepared))?;
        last.source = source;
        Ok(())
    }

    /// Says this in place of the source, which waits meanwhile: to who is on hold, or a file for all to hear. Being muted does
    /// not silence it. A file that is not looped gives way to the source at its end ([`StreamEvent::Said`]); `None` ends it
    /// before.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn say_instead(&self, what: Option<Instead>) -> Result<(), MediaError> {
        self.say_ready(what, None)
    }

    /// The same with a file's sound that was made ready before: who is not to wait for that does it on another thread. Where
    /// it is for another rate than the codec's, the file is converted here.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn say_ready(
        &self,
        what: Option<Instead>,
        ready: Option<&Ready>,
    ) -> Result<(), MediaError> {
        let mut last = lock(&self.last);
        let prepared = what.as_ref().map(|what| what.prepared(last.kind, ready));
        self.shared.command(Command::Instead(self.id, prepared))?;
        last.instead = what;
        Ok(())
    }

    /// Sends what is heard elsewhere from now on. A recording that this ends is completed.
    ///
    /// # Errors
    /// The file to record to cannot be had, or [`MediaError::Busy`].
    pub fn set_sink(&self, sink: &Sink) -> Result<(), MediaError> {
        let mut last = lock(&self.last);
        let (output, trouble) = self.shared.output(sink, last.kind.sample_rate_hz())?;
        self.shared.command(Command::Output(self.id, output))?;
        last.trouble = trouble;
        Ok(())
    }

    /// Records both sides from now on, in place of a recording of both that goes on; none ends that one, and its file is
    /// complete a moment later. It is apart from what the sink records.
    ///
    /// # Errors
    /// The file to record to cannot be had, or [`MediaError::Busy`].
    pub fn record(&self, recording: Option<&Recording>) -> Result<(), MediaError> {
        // A disk may be slow, and a negotiation must not wait for it.
        let rate_hz = lock(&self.last).kind.sample_rate_hz();
        let (tape, trouble) = match recording {
            Some(recording) => {
                let (recorder, trouble) = self.shared.recorder(&recording.path, rate_hz, 2)?;
                let tape = Box::new(Tape::new(recorder, recording.tone));
                (Some(tape), Some((recording.path.clone(), trouble)))
            }
            None => (None, None),
        };
        self.shared.command(Command::Tape(self.id, tape))?;
        lock(&self.last).tape_trouble = trouble;
        Ok(())
    }

    /// Goes on with other sockets, because the address of the old ones is gone, and with those at further addresses, as
    /// [`StreamConfig::further`](crate::StreamConfig::further) has them. The peer hears the same stream from another place.
    ///
    /// # Errors
    /// The sockets cannot be used, or [`MediaError::Busy`]; the stream has the old ones then.
    pub fn move_to(&self, first: Place, further: Vec<Place>) -> Result<(), MediaError> {
        let mut last = lock(&self.last);
        let reports_have_port = first.rtcp_socket.is_some();
        let (wire, mut relays) = lines(first, further)?;
        let stream = self.id;
        self.shared.command(Command::Wire(stream, wire))?;
        last.reports_have_port = reports_have_port;
        last.has_moved = true;
        if last.relayed || !relays.is_empty() {
            for (line, channels) in (0..).zip(channels(&mut relays)) {
                self.shared
                    .command(Command::Relay(stream, line, channels))?;
            }
        }
        if std::mem::replace(&mut last.relayed, !relays.is_empty()) {
            self.shared.order(Order::EndRelays { stream, from: 0 });
        }
        if last.relayed {
            self.shared.begin_relays(stream, relays, last.remote);
            let heard = self.counters.target().map(|heard| heard.ip());
            self.shared.permit(stream, heard);
            self.shared.permit(stream, last.signalling);
        }
        Ok(())
    }

    /// Whether this is about the search for ways that counts, and not about one before it.
    #[must_use]
    pub fn is_current(&self, settled: &Settled) -> bool {
        lock(&self.last).search == settled.search
    }

    /// Keeps the addresses at relays of these sockets, numbered as in [`nat::ice::Way::socket`], and gives all others back
    /// (RFC 8656 §7). The sockets stay.
    ///
    /// # Errors
    /// [`MediaError::Busy`]; some may stay then, and it may be asked for again.
    pub fn keep_relays(&self, sockets: &[u8]) -> Result<(), MediaError> {
        let last = lock(&self.last);
        if !last.relayed {
            return Ok(());
        }
        let stream = self.id;
        let kept = (0..MOST_LINES as u8).filter(|line| sockets.contains(line));
        let lines = kept.fold(0, |lines, line| lines | 1 << line);
        self.shared.order(Order::KeepRelays { stream, lines });
        // Later ones go to the pump by this way, too: none that is new is taken for one of these.
        for line in (0..MOST_LINES as u8).filter(|line| !sockets.contains(line)) {
            self.shared.command(Command::Relay(stream, line, None))?;
        }
        Ok(())
    }

    /// The way to the relay of this socket, numbered as in [`nat::ice::Way::socket`], has ended where that is not the socket
    /// itself: what the client takes for the relay, at `server`, answers nothing any more. [`StreamEvent::RelayLost`] follows,
    /// unless the stream has another relay meanwhile.
    pub fn relay_ended(&self, socket: u8, server: SocketAddr) {
        self.shared.order(Order::RelayEnded {
            stream: self.id,
            line: socket,
            server,
        });
    }

    /// Sends silence instead of the source, or stops doing so.
    pub fn set_muted(&self, muted: bool) {
        self.wishes.muted.store(muted, Relaxed);
    }

    /// Brings it together with the streams of the same number: from now on the peer hears what theirs say besides what
    /// we say, and theirs hear the peer. `None` takes it out again.
    pub fn set_room(&self, room: Option<NonZeroU64>) {
        let room = room.map_or(0, NonZeroU64::get);
        self.wishes.room.store(room, Relaxed);
    }

    /// Sets the volume of what is heard, 1.0 as it comes.
    pub fn set_volume(&self, volume: f32) {
        self.wishes.volume.set(clean_gain(volume));
    }

    /// Sends a digit, after those that wait: as a telephone event where that is negotiated, else as a tone in
    /// the speech.
    ///
    /// # Errors
    /// It is no key of a telephone, or [`MediaError::Busy`].
    pub fn send_dtmf(&self, digit: char, duration: Duration) -> Result<(), MediaError> {
        if dtmf(digit).is_none() {
            return Err(MediaError::NotADigit(digit));
        }
        self.shared
            .command(Command::Press(self.id, digit, duration))
    }

    /// Forgets the digits that wait, and breaks off the one that is being sent: they were for somebody who does not hear
    /// them any more.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn drop_dtmf(&self) -> Result<(), MediaError> {
        self.shared.command(Command::Unpress(self.id))
    }

    /// Says good-bye to the peer and ends the stream, whoever else holds on to it. The last who does ends it, too.
    pub fn end(&self) {
        self.wishes.removed.store(true, Relaxed);
        self.shared.wake();
        let last = lock(&self.last);
        let media = last.dtls.as_ref().map(|_| Component::Media);
        let reports = last.apart.then_some(Component::Reports);
        for component in media.into_iter().chain(reports) {
            self.shared.order(Order::End {
                stream: self.id,
                component,
            });
        }
        if last.ice.is_some() {
            self.shared.order(Order::EndSearch { stream: self.id });
        }
        if last.relayed {
            self.shared.order(Order::EndRelays {
                stream: self.id,
                from: 0,
            });
        }
    }

    /// What the stream counts; stays readable after its end.
    #[must_use]
    pub fn counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.counters)
    }

    /// The next event, if there is one.
    #[must_use]
    pub fn poll_event(&self) -> Option<StreamEvent> {
        if let Ok(event) = lock(&self.events).pop() {
            return Some(event);
        }
        let mut last = lock(&self.last);
        let Last {
            trouble,
            tape_trouble,
            ..
        } = &mut *last;
        [trouble, tape_trouble].into_iter().find_map(|trouble| {
            let reason = trouble.as_ref()?.1.get()?.clone();
            let (path, _) = trouble.take()?;
            Some(StreamEvent::RecordingEnded { path, reason })
        })
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Instant;

    use nat::ice::{Credentials, Session};

    use super::*;
    use crate::config::Codec;
    use crate::keeper::Way;
    use crate::{PumpHandle, StreamConfig};

    /// The keeper tells of a way while a negotiation takes ICE away: what it tells comes later and counts no more.
    #[test]
    fn a_way_of_a_search_that_was_ended_is_not_followed() {
        let (handle, mut pump, _aside) = PumpHandle::manual();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let here = socket.local_addr().unwrap();
        let credentials = || Credentials {
            ufrag: "name".to_owned(),
            pwd: "a-password-of-22-signs".to_owned(),
        };
        let plain = StreamParameters {
            remote: Some(here),
            ..StreamParameters::new(Codec::new(CodecKind::Pcmu, 0))
        };
        let searching = StreamParameters {
            rtcp_mux: true,
            ice: Some(Session {
                local: credentials(),
                remote: credentials(),
                bases: vec![nat::ice::Base {
                    socket: 0,
                    component: nat::ice::Component::Media,
                    at: here,
                    mapped: None,
                    relayed: None,
                }],
                candidates: Vec::new(),
                controlling: true,
            }),
            ..plain.clone()
        };
        let config = StreamConfig::new(socket, searching, 1);
        let stream = handle.add_stream(config).unwrap();
        let number = lock(&stream.last).search;
        let mut now = Instant::now();
        let mut second = || {
            for _ in 0..100 {
                pump.step(now, 0);
                now += crate::TICK;
            }
            stream.counters().sent()
        };
        assert_eq!(second(), 0);
        stream.update(plain).unwrap();
        for lost in [true, false] {
            let way = Way {
                stream: stream.id,
                number,
                component: nat::ice::Component::Media,
                to: None,
                lost,
            };
            handle.shared.command(Command::Way(way)).unwrap();
        }
        assert!(second() > 40);
        let told: Vec<_> = std::iter::from_fn(|| stream.poll_event()).collect();
        let of_ways =
            |event: &StreamEvent| matches!(event, StreamEvent::WayLost | StreamEvent::WayFound(_));
        assert!(!told.iter().any(of_ways), "{told:?}");
    }

    /// A disk that hangs may hold on to a stream that is to be recorded there: nothing of the call goes out for that.
    #[test]
    fn a_stream_that_was_ended_sends_nothing_while_somebody_holds_on_to_it() {
        let (handle, mut pump, _aside) = PumpHandle::manual();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let parameters = StreamParameters {
            remote: socket.local_addr().ok(),
            ..StreamParameters::new(Codec::new(CodecKind::Pcmu, 0))
        };
        let config = StreamConfig::new(socket, parameters, 1);
        let stream = Arc::new(handle.add_stream(config).unwrap());
        let held = Arc::clone(&stream);
        let mut now = Instant::now();
        let mut second = || {
            for _ in 0..100 {
                pump.step(now, 0);
                now += crate::TICK;
            }
            held.counters().sent()
        };
        assert!(second() > 40);
        stream.end();
        let sent = second();
        assert_eq!(second(), sent);
        drop(stream);
        assert_eq!(second(), sent);
    }
}
