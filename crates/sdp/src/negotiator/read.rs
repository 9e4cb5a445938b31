//! Reading their descriptions against ours.

use super::*;

impl Negotiator {
    /// What an answer to `pending` comes to (RFC 3264 §7).
    pub(super) fn read_answer(
        &self,
        pending: &Pending,
        answer: &SessionDescription,
    ) -> Result<(Option<usize>, Negotiated), SdpError> {
        let mut repairs = answer.repairs().to_vec();
        if answer.media().len() != pending.lines.len() {
            repairs.push(format!(
                "the answer has {} media lines for {} offered",
                answer.media().len(),
                pending.lines.len()
            ));
        }
        let Some((place, audio)) = audio_answered(pending, answer) else {
            return Err(self.nothing_in_common(answer));
        };
        if audio.port() == 0 {
            return match &self.agreed {
                Some(agreed) => Ok((None, ended(agreed, repairs))),
                None => Err(SdpError::AudioRefused {
                    offered: self.wanted(),
                }),
            };
        }
        let dtls = self.read_dtls_of_answer(pending, place, &audio, answer, &mut repairs)?;
        let crypto = match dtls {
            Some(_) => None,
            None => self.read_crypto_of_answer(pending, place, &audio, answer)?,
        };
        // We offered to share the port, or could not; its answer decides.
        let rtcp_mux = audio.rtcp_mux() && may_share_port(&pending.numbers, &pending.formats);
        let (formats, mistakable): (Vec<_>, Vec<_>) = audio
            .formats()
            .into_iter()
            .partition(|format| !(rtcp_mux && reads_as_rtcp(format.payload_type)));
        repairs.extend(mistakable.iter().map(|format| {
            format!(
                "payload type {} is not used, for it reads as a report on a port that is shared",
                format.payload_type
            )
        }));
        let mut codecs: Vec<NegotiatedCodec> = Vec::new();
        let mut events: Vec<NegotiatedEvents> = Vec::new();
        for format in &formats {
            // A number without a map is one of those that we offered.
            let is_ours = |ours: &&Format| match ours {
                _ if format.name.is_empty() => pending.numbers.of(**ours) == format.payload_type,
                Format::Codec(codec) => format.codec() == Some(*codec),
                Format::Events(rate) => {
                    format.is_telephone_event() && format.clock_rate_hz == *rate
                }
                Format::ComfortNoise => format.is_comfort_noise(),
            };
            let Some(ours) = pending.formats.iter().find(is_ours) else {
                continue;
            };
            let (send, receive) = (format.payload_type, pending.numbers.of(*ours));
            match *ours {
                Format::Codec(codec) if codecs.iter().all(|c| c.codec != codec) => {
                    codecs.push(NegotiatedCodec {
                        codec,
                        send_payload_type: send,
                        receive_payload_type: receive,
                    });
                }
                Format::Codec(_) | Format::ComfortNoise => {}
                Format::Events(clock_rate_hz) => events.push(NegotiatedEvents {
                    send_pt: send,
                    receive_pt: receive,
                    clock_rate_hz,
                }),
            }
        }
        let Some(chosen) = codecs.first().copied() else {
            return Err(self.nothing_in_common(answer));
        };
        let best = best_events(&events, chosen.codec);
        events.retain(|further| Some(*further) != best);
        let terms = Terms {
            codecs,
            events: best,
            further_events: events,
            wish: pending.direction,
            rtcp_mux,
            crypto,
            dtls,
            offered: true,
            ice_mismatch: self.ice.is_some() && audio.tells_ice_mismatch(),
        };
        let negotiated = self.terms_with(&audio, terms, chosen, repairs)?;
        Ok((Some(place), negotiated))
    }

    /// The cryptographic context with whoever says this: another one with another party.
    pub(super) fn context_with(&self, theirs: &SessionDescription) -> u64 {
        let before = self.peer_session.as_deref();
        self.context + u64::from(before.is_some_and(|before| before != theirs.session_id()))
    }

    /// The suite of ours that an answer names under a tag that is not its own, and the place of its line; where no other
    /// key of the answer is right, and the offer had several that can be mistaken for each other.
    pub(super) fn mistaken_key(
        &self,
        pending: &Pending,
        answer: &SessionDescription,
    ) -> Option<(usize, CryptoSuite)> {
        let read = self.read_answer(pending, answer);
        if !matches!(read, Err(SdpError::StrangeCrypto)) || pending.crypto.len() < 2 {
            return None;
        }
        let (place, audio) = audio_answered(pending, answer)?;
        if pending.keying(place) != Keying::Sdes {
            return None;
        }
        let mut theirs = audio.crypto().into_iter().map(|theirs| theirs.suite);
        let suite = theirs.find(|suite| pending.crypto.iter().any(|ours| ours.suite == *suite))?;
        Some((place, suite))
    }

    /// The handshake that an answer comes to (RFC 5763 §5). None: we offered none, or it takes the line in the clear.
    fn read_dtls_of_answer(
        &self,
        pending: &Pending,
        place: usize,
        audio: &MediaView<'_>,
        answer: &SessionDescription,
        repairs: &mut Vec<String>,
    ) -> Result<Option<NegotiatedDtls>, SdpError> {
        if !matches!(pending.keying(place), Keying::Dtls(_)) {
            return Ok(None);
        }
        if !audio.has_fingerprint() {
            if audio.protocol().is_dtls() {
                return Err(self.not_encrypted(answer));
            }
            return Ok(None);
        }
        let fingerprints = audio.fingerprints();
        if fingerprints.is_empty() {
            return Err(SdpError::StrangeHandshake);
        }
        let role = match audio.setup() {
            Some(Setup::Active) => DtlsRole::Server,
            // RFC 4145 §4: what an answer means that says nothing.
            Some(Setup::Passive) | None => DtlsRole::Client,
            Some(Setup::ActPass) => {
                repairs.push("the answer leaves open who begins the handshake".to_owned());
                DtlsRole::Client
            }
            Some(Setup::HoldConn) => return Err(SdpError::StrangeHandshake),
        };
        let association = association(pending.association.as_deref(), audio);
        Ok(Some(NegotiatedDtls {
            fingerprints,
            role,
            association,
        }))
    }

    /// The keys that an answer comes to (RFC 4568 §5.1.3, §7.1.3). None: it is plain, and may be.
    fn read_crypto_of_answer(
        &self,
        pending: &Pending,
        place: usize,
        audio: &MediaView<'_>,
        answer: &SessionDescription,
    ) -> Result<Option<NegotiatedCrypto>, SdpError> {
        let protocol = audio.protocol();
        let possible = protocol.is_plain() || protocol.is_keyed() && self.encryption.may();
        if !possible {
            return Err(self.nothing_in_common(answer));
        }
        let by_handshake = matches!(pending.keying(place), Keying::Dtls(_));
        if self.encryption.may() && !by_handshake {
            // The tag says which of ours it is.
            let pairs = audio.crypto().into_iter().filter_map(|theirs| {
                let mut ours = pending.crypto.iter();
                let ours = ours.find(|o| o.tag == theirs.tag && o.suite == theirs.suite)?;
                Some((ours.clone(), theirs))
            });
            if let Some((ours, theirs)) = pairs.into_iter().next() {
                return Ok(Some(NegotiatedCrypto {
                    suite: ours.suite,
                    send_key: ours.key,
                    receive_key: theirs.key,
                    receive_mki: theirs.mki,
                    context: self.context_with(answer),
                }));
            }
            if audio.has_crypto() {
                return Err(SdpError::StrangeCrypto);
            }
        }
        if protocol.is_keyed() || self.encryption.must() {
            return Err(self.not_encrypted(answer));
        }
        Ok(None)
    }

    /// What an offer comes to (RFC 3264 §6).
    pub(super) fn read_offer(
        &self,
        offer: &SessionDescription,
        keys: &mut OurKeys,
    ) -> Result<Accepted, SdpError> {
        let mut repairs = offer.repairs().to_vec();
        if offer.media().len() < self.lines.len() {
            repairs.push(format!(
                "the offer has {} media lines, the session had {}",
                offer.media().len(),
                self.lines.len()
            ));
        }
        let current = self.place_of_our_audio();
        let Some(place) = self.place_of_audio(offer, current) else {
            return self.read_end(offer, current, repairs);
        };
        let (Some(audio), mut numbers) = (offer.media().nth(place), self.numbers.clone()) else {
            return Err(self.nothing_in_common(offer));
        };
        let Some((codec, payload_type)) = self.chosen_of(&audio, offer) else {
            return Err(self.nothing_in_common(offer));
        };
        let mut formats = vec![Format::Codec(codec)];
        numbers.adopt(Format::Codec(codec), payload_type);
        let events = self.events_of(&audio, codec);
        if let Some(events) = events {
            formats.push(Format::Events(events.clock_rate_hz));
            numbers.adopt(Format::Events(events.clock_rate_hz), events.receive_pt);
        }
        if let Some(number) = self.comfort_noise_of(&audio, codec) {
            formats.push(Format::ComfortNoise);
            numbers.adopt(Format::ComfortNoise, number);
        }
        let chosen = NegotiatedCodec {
            codec,
            send_payload_type: payload_type,
            receive_payload_type: payload_type,
        };
        let dtls = self.welcome_dtls(&audio);
        let theirs = self.welcome_crypto(&audio).filter(|_| dtls.is_none());
        let ours = theirs.as_ref().and_then(|theirs| {
            Some(CryptoAttribute {
                tag: theirs.tag,
                suite: theirs.suite,
                key: keys.of(theirs.suite)?,
                mki: Vec::new(),
            })
        });
        let crypto = theirs.zip(ours.as_ref());
        let crypto = crypto.map(|(theirs, ours)| NegotiatedCrypto {
            suite: theirs.suite,
            send_key: ours.key.clone(),
            receive_key: theirs.key,
            receive_mki: theirs.mki,
            context: self.context_with(offer),
        });
        let ice_mismatch = self.ice.is_some() && audio.ice().is_some_and(|ice| ice.mismatch);
        let terms = Terms {
            // Our answer names this one and no other.
            codecs: vec![chosen],
            events,
            further_events: Vec::new(),
            wish: self.wish(),
            rtcp_mux: audio.rtcp_mux() && may_share_port(&numbers, &formats),
            crypto,
            dtls,
            offered: false,
            ice_mismatch,
        };
        let negotiated = self.terms_with(&audio, terms, chosen, repairs)?;
        let lines = mirrored(offer, Some(place), keying(&negotiated));
        Ok(Accepted {
            session_lines: self.never_shorter(lines.clone()),
            lines,
            numbers,
            formats,
            negotiated,
            ice_mismatch,
            crypto: ours,
        })
    }

    /// The line of an offer that is taken for our audio.
    pub(super) fn audio_of<'a>(&self, offer: &'a SessionDescription) -> Option<MediaView<'a>> {
        let place = self.place_of_audio(offer, self.place_of_our_audio())?;
        offer.media().nth(place)
    }

    fn place_of_our_audio(&self) -> Option<usize> {
        self.lines.iter().position(Line::is_audio)
    }

    /// Which line of an offer to take: an encrypted one where that is wished, and the one of the call
    /// before others.
    fn place_of_audio(&self, offer: &SessionDescription, current: Option<usize>) -> Option<usize> {
        let usable = |index: &usize| {
            let media = offer.media().nth(*index);
            media.filter(|m| m.port() != 0 && self.chosen_of(m, offer).is_some())
        };
        let places = || current.into_iter().chain(0..offer.media().len());
        let welcome =
            |m: MediaView<'_>| self.welcome_dtls(&m).is_some() || self.welcome_crypto(&m).is_some();
        let encrypted = |place: &usize| usable(place).is_some_and(welcome);
        let plain = |place: &usize| {
            !self.encryption.must() && usable(place).is_some_and(|m| m.protocol().is_plain())
        };
        places().find(encrypted).or_else(|| places().find(plain))
    }

    /// The first of their keys that can be used (RFC 4568 §5.1.2: in their order), where we want one.
    fn welcome_crypto(&self, media: &MediaView<'_>) -> Option<CryptoAttribute> {
        // Who wants the keys to come from a handshake, and no call without, does not want them readable on their way.
        let never = self.encryption.must() && self.offers_dtls();
        let fits = media.protocol().is_plain() || media.protocol().is_keyed();
        if !self.encryption.may() || never || !fits {
            return None;
        }
        media.crypto().into_iter().next()
    }

    /// The handshake that a line offers, where we want encryption (RFC 5763 §5; in plain RTP, RFC 8643 §3.1).
    fn welcome_dtls(&self, media: &MediaView<'_>) -> Option<NegotiatedDtls> {
        let protocol = media.protocol();
        let fits = protocol.is_plain() || protocol.is_dtls();
        if !self.encryption.may() || self.dtls.is_none() || !fits {
            return None;
        }
        let fingerprints = media.fingerprints();
        if fingerprints.is_empty() {
            return None;
        }
        let before = self.agreed.as_ref().and_then(|agreed| agreed.dtls.as_ref());
        let before = before.filter(|before| before.fingerprints == fingerprints);
        let role = match media.setup() {
            // RFC 5763 §5: an answerer that begins loses no time; where its first word cannot arrive, the peer's can. RFC
            // 8842 §5.3: either will do, and one that goes on stays what it is.
            Some(Setup::ActPass) => match before {
                Some(before) => before.role,
                None if self.is_hidden(media) => DtlsRole::Server,
                None => DtlsRole::Client,
            },
            Some(Setup::Passive) => DtlsRole::Client,
            // RFC 4145 §4: what an offer means that says nothing.
            Some(Setup::Active) | None => DtlsRole::Server,
            Some(Setup::HoldConn) => return None,
        };
        let name = self.dtls.as_ref().map(|dtls| dtls.name.as_str());
        Some(NegotiatedDtls {
            fingerprints,
            role,
            association: association(name, media),
        })
    }

    /// Whether what a line announces leads nowhere from here, and no ways are to be tried.
    fn is_hidden(&self, media: &MediaView<'_>) -> bool {
        let tries_ways = self.ice.is_some() && media.ice().is_some_and(|ice| !ice.mismatch);
        let leads_nowhere =
            |theirs: SocketAddr| (self.is_out_of_reach)(theirs.ip(), self.local.address);
        !tries_ways && media.address().is_ok_and(leads_nowhere)
    }

    /// An offer without usable audio: the end of audio within a session, else a refusal.
    fn read_end(
        &self,
        offer: &SessionDescription,
        current: Option<usize>,
        repairs: Vec<String>,
    ) -> Result<Accepted, SdpError> {
        let ends = current
            .and_then(|index| offer.media().nth(index))
            .is_some_and(|m| m.port() == 0);
        let Some(agreed) = self.agreed.as_ref().filter(|_| ends) else {
            // What could not be used may be usable apart from its lack of keys.
            let mut plain = offer.media().filter(|m| m.protocol().is_plain());
            if self.encryption.must() && plain.any(|m| m.port() != 0 && m.is_audio()) {
                return Err(self.not_encrypted(offer));
            }
            return Err(self.nothing_in_common(offer));
        };
        // The place stays that of audio, for the next offer may take it up again.
        Ok(Accepted {
            lines: mirrored(offer, None, Keying::None),
            session_lines: self.never_shorter(mirrored(offer, current, keying(agreed))),
            numbers: self.numbers.clone(),
            formats: Vec::new(),
            negotiated: ended(agreed, repairs),
            ice_mismatch: false,
            crypto: None,
        })
    }

    /// The codec that is in use with this party, or that comes first in our order, with their
    /// payload type.
    fn chosen_of(&self, media: &MediaView<'_>, offer: &SessionDescription) -> Option<(Codec, u8)> {
        let protocol = media.protocol();
        if !media.is_audio() || !(protocol.is_plain() || protocol.is_keyed() || protocol.is_dtls())
        {
            return None;
        }
        let formats = media.formats();
        let same_party = self.peer_session.as_deref() == Some(offer.session_id());
        let agreed = self.agreed.as_ref().filter(|_| same_party);
        let in_use = agreed.map(|agreed| &agreed.codec).into_iter();
        in_use.chain(&self.local.codecs).find_map(|codec| {
            let format = formats
                .iter()
                .find(|format| format.codec() == Some(*codec))?;
            Some((*codec, format.payload_type))
        })
    }

    fn events_of(&self, media: &MediaView<'_>, codec: Codec) -> Option<NegotiatedEvents> {
        if !self.local.telephone_event {
            return None;
        }
        let formats = media.formats();
        let offered: Vec<NegotiatedEvents> = formats
            .iter()
            .filter(|format| format.is_telephone_event())
            .map(|format| NegotiatedEvents {
                send_pt: format.payload_type,
                receive_pt: format.payload_type,
                clock_rate_hz: format.clock_rate_hz,
            })
            .collect();
        best_events(&offered, codec)
    }

    /// Their number for comfort noise, where we want it and the codec has the clock for it.
    fn comfort_noise_of(&self, media: &MediaView<'_>, codec: Codec) -> Option<u8> {
        if !self.comfort_noise || codec.clock_rate_hz() != 8_000 {
            return None;
        }
        let formats = media.formats();
        let found = formats.iter().find(|format| format.is_comfort_noise())?;
        Some(found.payload_type)
    }

    fn terms_with(
        &self,
        audio: &MediaView<'_>,
        terms: Terms,
        chosen: NegotiatedCodec,
        mut repairs: Vec<String>,
    ) -> Result<Negotiated, SdpError> {
        let address = audio.address()?;
        let mut theirs = audio.direction();
        if address.ip().is_unspecified() {
            // RFC 2543 hold: whatever its attribute says, it wants to receive nothing.
            theirs = Direction::new(theirs.sends(), false);
        }
        let remote = (!address.ip().is_unspecified()).then_some(address);
        let remote_rtcp = match remote {
            Some(remote) if terms.rtcp_mux => Some(remote),
            Some(_) => audio.rtcp_address(),
            None => None,
        };
        let parameters = |format: &crate::codec::FormatMap| {
            OpusParameters::parse(format.parameters.as_deref().unwrap_or_default())
        };
        let formats = audio.formats();
        let named = formats
            .iter()
            .find(|f| f.payload_type == chosen.send_payload_type);
        let opus = (chosen.codec == Codec::Opus)
            .then(|| named.map_or_else(OpusParameters::default, parameters));
        let comfort_noise = self.comfort_noise_of(audio, chosen.codec);
        let ice = self.ice_with(audio, &terms);
        if terms.ice_mismatch {
            repairs.push(
                "something between us changed the address of the media, so ICE is left out"
                    .to_owned(),
            );
        }
        let wanted_ms = audio.ptime_ms().unwrap_or(self.local.ptime_ms);
        Ok(Negotiated {
            remote,
            remote_rtcp,
            codec: chosen.codec,
            send_payload_type: chosen.send_payload_type,
            receive_payload_type: chosen.receive_payload_type,
            codecs: terms.codecs,
            telephone_event: terms.events,
            further_events: terms.further_events,
            comfort_noise: comfort_noise.filter(|n| !(terms.rtcp_mux && reads_as_rtcp(*n))),
            direction: terms.wish.and(theirs.reversed()),
            // Who was told that we send nothing need not receive: RFC 3264 §6.1 leaves it no choice.
            held_by_peer: terms.wish.sends() && !theirs.receives(),
            ptime_ms: chosen.codec.packet_time_ms(wanted_ms, audio.maxptime_ms()),
            rtcp_mux: terms.rtcp_mux,
            max_bits_per_second: audio.bandwidth_bits_per_second(),
            crypto: terms.crypto,
            ice,
            extended_reports: self.reports.and(audio.extended_reports()),
            dtls: terms.dtls,
            opus,
            repairs: repairs.into_iter().map(Into::into).collect(),
        })
    }

    /// What to go by where both do ICE. Reports that share the port need no way of their own (RFC 5761 §5.1.3).
    fn ice_with(&self, audio: &MediaView<'_>, terms: &Terms) -> Option<NegotiatedIce> {
        // To an offer of ours that has none, an answer has none.
        let asked = (!terms.offered || self.answers_ice) && !terms.ice_mismatch;
        let ours = self.ice.as_ref().filter(|_| asked)?;
        let mut theirs = audio.ice()?;
        if terms.rtcp_mux {
            theirs
                .candidates
                .retain(|value| !ice::is_for_reports(value));
        }
        Some(NegotiatedIce {
            local: ours.credentials.clone(),
            remote: theirs.credentials,
            candidates: theirs.candidates,
            // RFC 8445 §6.1.1.
            controlling: terms.offered || theirs.lite,
        })
    }

    fn nothing_in_common(&self, theirs: &SessionDescription) -> SdpError {
        SdpError::NoCommonMedia {
            offered: theirs.summary(),
            wanted: self.wanted(),
        }
    }

    fn not_encrypted(&self, theirs: &SessionDescription) -> SdpError {
        SdpError::NotEncrypted {
            offered: theirs.summary(),
            wanted: self.wanted(),
        }
    }

    /// The session keeps lines that a peer forgot (RFC 3264 §8: the count never shrinks).
    fn never_shorter(&self, mut lines: Vec<Line>) -> Vec<Line> {
        for line in self.lines.iter().skip(lines.len()) {
            lines.push(match line {
                Line::Audio { protocol, .. } => Line::Refused {
                    kind: "audio".to_owned(),
                    protocol: protocol.clone(),
                    formats: "0".to_owned(),
                },
                refused @ Line::Refused { .. } => refused.clone(),
            });
        }
        lines
    }
}

/// The line of an answer that is about our audio, and its place.
fn audio_answered<'a>(
    pending: &Pending,
    answer: &'a SessionDescription,
) -> Option<(usize, MediaView<'a>)> {
    let ours = pending.lines.iter().enumerate();
    let ours = ours.filter_map(|(place, line)| match line {
        Line::Audio { .. } => answer.media().nth(place).map(|media| (place, media)),
        Line::Refused { .. } => None,
    });
    let mut in_place: Vec<(usize, MediaView<'_>)> =
        ours.filter(|(_, media)| media.is_audio()).collect();
    // Of two lines the encrypted one stands first; a peer that takes both gets that.
    in_place.sort_by_key(|(_, media)| media.port() == 0);
    let elsewhere = || {
        let audio = answer.media().find(MediaView::is_audio)?;
        let place = pending.lines.iter().position(Line::is_audio)?;
        Some((place, audio))
    };
    in_place.first().copied().or_else(elsewhere)
}

/// What was found in common before the details are read.
struct Terms {
    codecs: Vec<NegotiatedCodec>,
    events: Option<NegotiatedEvents>,
    further_events: Vec<NegotiatedEvents>,
    wish: Direction,
    rtcp_mux: bool,
    crypto: Option<NegotiatedCrypto>,
    dtls: Option<NegotiatedDtls>,
    /// Whether the offer was ours.
    offered: bool,
    /// Something between us has put another address into the offer, but not into its candidates: media has to go by that
    /// address then, as ever without ICE (RFC 8839 §4.2.5). Of an offer of ours the other side says so; where it says
    /// nothing, its checks go on, and ours with them.
    ice_mismatch: bool,
}

/// What our line says about the keys that were agreed on.
fn keying(agreed: &Negotiated) -> Keying {
    match (&agreed.dtls, &agreed.crypto) {
        (Some(dtls), _) => Keying::Dtls(dtls.role.setup()),
        (None, Some(_)) => Keying::Sdes,
        (None, None) => Keying::None,
    }
}

/// Their lines with the one at `place` taken as the call's audio and all others refused.
fn mirrored(theirs: &SessionDescription, place: Option<usize>, keying: Keying) -> Vec<Line> {
    let lines = theirs.media().enumerate().map(|(index, media)| {
        let protocol = media.protocol_name().to_owned();
        if Some(index) == place {
            return Line::Audio { protocol, keying };
        }
        Line::Refused {
            kind: media.kind().to_owned(),
            protocol,
            formats: media.format_list().to_owned(),
        }
    });
    lines.collect()
}

/// Events on the codec's own clock; on another one where the peer has no better (RFC 4733 §2.1
/// asks for the same clock, gateways with Opus forget it).
fn best_events(events: &[NegotiatedEvents], codec: Codec) -> Option<NegotiatedEvents> {
    let same = events
        .iter()
        .find(|e| e.clock_rate_hz == codec.clock_rate_hz());
    same.or_else(|| events.first()).copied()
}

/// What remains of an agreement when audio was ended.
fn ended(agreed: &Negotiated, repairs: Vec<String>) -> Negotiated {
    Negotiated {
        remote: None,
        remote_rtcp: None,
        direction: Direction::Inactive,
        repairs: repairs.into_iter().map(Into::into).collect(),
        ..agreed.clone()
    }
}

/// The association that both sides name.
fn association(ours: Option<&str>, theirs: &MediaView<'_>) -> Option<Association> {
    Some(Association {
        ours: ours?.to_owned(),
        theirs: theirs.association()?.to_owned(),
    })
}
