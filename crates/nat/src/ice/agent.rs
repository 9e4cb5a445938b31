//! The agent: lists of pairs, checks, roles, nomination and consent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use super::candidate::{self, Local, MOST_REMOTE, Remote};
use super::pair::{self, Pair, Question, State};
use super::{Component, Credentials, Event, Output, Session, Way};
use crate::message::{self, Draft, Key, View};
use crate::stun::TransactionId;

/// See the module above.
pub struct Agent {
    local: Credentials,
    ours: Key,
    theirs: Key,
    remote_ufrag: String,
    controlling: bool,
    /// Who keeps its role when both want the same (RFC 8445 §16.1).
    tie_breaker: u64,
    /// Secrets of both sides, mixed: whence names of questions come that nobody can guess.
    seed: [u8; 20],
    drawn: u64,
    locals: Vec<Local>,
    remotes: Vec<Remote>,
    pairs: Vec<Pair>,
    parts: Vec<Part>,
    /// When the next check may go out.
    paced_until: Instant,
    give_up: Option<Instant>,
    /// When the candidates that no component uses may be freed; `settled` once it is known which those are.
    frees_at: Option<Instant>,
    settled: bool,
    lost: bool,
    out: VecDeque<(Vec<u8>, Way)>,
    events: VecDeque<Event>,
}

/// What is known of one component.
#[derive(Debug)]
struct Part {
    component: Component,
    selected: Option<Way>,
    /// When a pair first answered.
    first_valid: Option<Instant>,
    /// We have asked for one, or the peer has.
    nominating: bool,
    /// It is settled which.
    concluded: bool,
    /// Consent was lost: it is never asked for by these names again.
    over: bool,
    /// When consent is asked for next, and when it ends.
    asks_at: Option<Instant>,
    lose_at: Option<Instant>,
}

impl Agent {
    /// Begins to look.
    #[must_use]
    pub fn new(now: Instant, session: &Session) -> Self {
        let Session { local, remote, .. } = session;
        let seed = Sha1::new()
            .chain_update(&local.pwd)
            .chain_update([0])
            .chain_update(&remote.pwd)
            .chain_update([0])
            .chain_update(&local.ufrag)
            .finalize();
        // What is seen from outside is checked from the socket itself (§6.1.2.4).
        let mut locals = candidate::locals(&session.bases);
        locals.retain(|local| local.kind != candidate::Kind::ServerReflexive);
        let components = [Component::Media, Component::Reports];
        let present = components
            .into_iter()
            .filter(|component| locals.iter().any(|local| local.component == *component));
        let mut agent = Self {
            local: local.clone(),
            ours: Key::short_term(&local.pwd),
            theirs: Key::short_term(&remote.pwd),
            remote_ufrag: remote.ufrag.clone(),
            controlling: session.controlling,
            tie_breaker: 0,
            seed: seed.into(),
            drawn: 0,
            parts: present.map(Part::new).collect(),
            locals,
            remotes: Vec::new(),
            pairs: Vec::new(),
            paced_until: now,
            give_up: Some(now + GIVE_UP),
            frees_at: None,
            settled: false,
            lost: false,
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        agent.tie_breaker = agent.draw_number();
        agent.learn(&session.candidates);
        agent.form_pairs();
        agent.handle_timeout(now);
        agent
    }

    /// Takes in a datagram that came by this way; false when it is none of this session's checks.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8], way: Way) -> bool {
        let Some(view) = View::parse(datagram) else {
            return false;
        };
        let is_ours = match view.kind {
            REQUEST => self.is_for_us(view),
            SUCCESS | ERROR => self.asked(view.id).is_some(),
            _ => false,
        };
        if !is_ours {
            return false;
        }
        // One that is broken on its way is as good as lost (RFC 8489 §6.3).
        if view.has_right_fingerprint() != Some(false) {
            match view.kind {
                REQUEST => self.on_request(now, view, way),
                SUCCESS => self.on_success(now, view, way),
                _ => self.on_error(view),
            }
            self.settle(now);
        }
        true
    }

    /// Its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.lose(now);
        if !self.lost {
            self.repeat(now);
            self.ask_for_consent(now);
            self.settle(now);
            self.check(now);
        }
        if self.give_up.is_some_and(|at| now >= at) {
            self.give_up = None;
            if self.selected().is_none() {
                self.events.push_back(Event::Failed);
            }
        }
        if self.frees_at.is_some_and(|at| now >= at) {
            self.frees_at = None;
            self.events.push_back(Event::Concluded);
        }
    }

    /// The next thing to do for the caller.
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some((datagram, way)) = self.out.pop_front() {
            return Output::Transmit { datagram, way };
        }
        let parts = self.parts.iter();
        let consent = parts.clone().flat_map(|part| [part.asks_at, part.lose_at]);
        let wait = parts.filter_map(|part| part.nominates_at().filter(|_| self.controlling));
        let questions = self.pairs.iter().filter_map(Pair::due);
        let check = self.next_pair().map(|_| self.paced_until);
        let rest = consent
            .chain([self.give_up, self.frees_at, check])
            .flatten();
        Output::Deadline(rest.chain(wait).chain(questions).min())
    }

    /// Where to send the media, once that is known.
    #[must_use]
    pub fn selected(&self) -> Option<Way> {
        self.selected_for(Component::Media)
    }

    /// Where to send what this component carries, once that is known.
    #[must_use]
    pub fn selected_for(&self, component: Component) -> Option<Way> {
        let part = self.parts.iter().find(|part| part.component == component);
        part.and_then(|part| part.selected)
    }

    /// How much there is of what peers can make more.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.pairs.len() + self.remotes.len()
    }

    // Lists

    /// Takes the peer's candidates, as many of each component as may be.
    fn learn(&mut self, values: &[String]) {
        for remote in values.iter().filter_map(|value| Remote::parse(value)) {
            let same = |other: &&Remote| other.component == remote.component;
            let full = self.remotes.iter().filter(same).count() >= MOST_REMOTE;
            let known = self.remotes.iter().filter(same).any(|o| o.at == remote.at);
            if !full && !known {
                self.remotes.push(remote);
            }
        }
    }

    /// RFC 8445 §6.1.2: every one of ours with every one of theirs that it can reach, the best of them.
    fn form_pairs(&mut self) {
        for local in 0..self.locals.len() {
            for remote in 0..self.remotes.len() {
                self.pairs.extend(self.pair(local, remote, State::Frozen));
            }
        }
        self.pairs
            .sort_by_key(|pair| std::cmp::Reverse(pair.priority));
        self.pairs.truncate(MOST_PAIRS);
        // §6.1.2.6: of each foundation the lowest component begins. All of its pairs do, since there are peers that call
        // all their candidates alike, and would be asked one by one for minutes.
        let places = || 0..self.pairs.len();
        let is_for = |place: usize, wanted| self.component_of(place) == Some(wanted);
        let foundation = |place: usize| self.pairs.get(place).map(|pair| pair.foundation);
        let media: Vec<usize> = places()
            .filter(|place| is_for(*place, Component::Media))
            .collect();
        let tried: Vec<_> = media.iter().map(|place| foundation(*place)).collect();
        let alone = places().filter(|place| {
            is_for(*place, Component::Reports) && !tried.contains(&foundation(*place))
        });
        let begin: Vec<usize> = media.iter().copied().chain(alone).collect();
        for place in begin {
            if let Some(pair) = self.pairs.get_mut(place) {
                pair.state = State::Waiting;
            }
        }
    }

    /// These two, where they fit together.
    fn pair(&self, local: usize, remote: usize, state: State) -> Option<Pair> {
        let (ours, theirs) = (self.locals.get(local)?, self.remotes.get(remote)?);
        // RFC 8445 §5.1.1.1: nobody offers loopback who means another machine. What listens there is ours, and no peer's to ask.
        let inward = theirs.at.ip().is_loopback() && !ours.at.ip().is_loopback();
        let fit = ours.component == theirs.component
            && ours.at.is_ipv4() == theirs.at.is_ipv4()
            && !inward;
        let mut all = self.remotes.iter();
        let name = all.position(|other| other.foundation == theirs.foundation)?;
        fit.then(|| Pair {
            local,
            remote,
            priority: pair::priority(self.controlling, ours.priority, theirs.priority),
            foundation: (ours.foundation, u32::try_from(name).unwrap_or(u32::MAX)),
            state,
            to_be_nominated: false,
            nominated: false,
            is_triggered: false,
            questions: Vec::new(),
        })
    }

    fn component_of(&self, place: usize) -> Option<Component> {
        let local = self.pairs.get(place)?.local;
        self.locals.get(local).map(|local| local.component)
    }

    fn way_of(&self, pair: &Pair) -> Option<Way> {
        let (local, remote) = (self.locals.get(pair.local)?, self.remotes.get(pair.remote)?);
        Some(Way {
            to: remote.at,
            socket: local.socket,
            relayed: local.kind == candidate::Kind::Relayed,
        })
    }

    /// Which of ours a datagram came to.
    fn local_of(&self, way: Way) -> Option<usize> {
        self.locals.iter().position(|local| {
            local.socket == way.socket
                && (local.kind == candidate::Kind::Relayed) == way.relayed
                && local.at.is_ipv4() == way.to.is_ipv4()
        })
    }

    // What comes

    fn is_for_us(&self, view: View<'_>) -> bool {
        let names = view.text(message::USERNAME).and_then(|n| n.split_once(':'));
        names.is_some_and(|(ours, theirs)| ours == self.local.ufrag && theirs == self.remote_ufrag)
    }

    /// RFC 8445 §7.3. Who does not know the password, or says nothing that we could use, is told so.
    fn on_request(&mut self, now: Instant, view: View<'_>, way: Way) {
        if view.get(message::MESSAGE_INTEGRITY).is_none() {
            return self.refuse(view, way, 400, None, &[]);
        }
        if !view.is_proved_by(&self.ours) {
            return self.refuse(view, way, 401, None, &[]);
        }
        let ours = self.ours.clone();
        let unknown = view.unknown(&KNOWN);
        if !unknown.is_empty() {
            return self.refuse(view, way, 420, Some(&ours), &unknown);
        }
        let roles = (
            view.large_number(message::ICE_CONTROLLING),
            view.large_number(message::ICE_CONTROLLED),
        );
        let priority = view.number(message::PRIORITY);
        let priority = priority.filter(|priority| (1..1 << 31).contains(priority));
        let (Some(priority), false) = (priority, matches!(roles, (Some(_), Some(_)))) else {
            return self.refuse(view, way, 400, Some(&ours), &[]);
        };
        let Some(local) = self.local_of(way) else {
            return;
        };
        if self.keeps_role_against(roles) {
            return self.refuse(view, way, 487, Some(&ours), &[]);
        }
        let answer = Draft::new(SUCCESS, view.id)
            .with_address(message::XOR_MAPPED_ADDRESS, way.to, view.id)
            .finish(Some(&ours));
        self.out.push_back((answer, way));
        let component = self.locals.get(local).map(|local| local.component);
        let part = component.and_then(|component| self.part(component));
        if self.lost || part.is_none_or(|part| part.over) {
            return;
        }
        let Some(place) = self.place_of(local, way.to, priority) else {
            return;
        };
        let nominates = view.get(message::USE_CANDIDATE).is_some() && !self.controlling;
        self.trigger(place, nominates, now);
    }

    /// Both want the same role: the one with the greater number nominates (RFC 8445 §7.3.1.1). True when the peer is to
    /// give way; false when there is nothing to settle, or we have.
    fn keeps_role_against(
        &mut self,
        (controlling, controlled): (Option<u64>, Option<u64>),
    ) -> bool {
        match (self.controlling, controlling, controlled) {
            (true, Some(theirs), _) if self.tie_breaker >= theirs => true,
            (false, _, Some(theirs)) if self.tie_breaker < theirs => true,
            (true, Some(_), _) | (false, _, Some(_)) => {
                self.switch_role();
                false
            }
            _ => false,
        }
    }

    fn switch_role(&mut self) {
        self.controlling = !self.controlling;
        for pair in &mut self.pairs {
            let (local, remote) = (self.locals.get(pair.local), self.remotes.get(pair.remote));
            if let (Some(local), Some(remote)) = (local, remote) {
                pair.priority = pair::priority(self.controlling, local.priority, remote.priority);
            }
            pair.to_be_nominated = false;
        }
        for part in self.parts.iter_mut().filter(|part| !part.concluded) {
            part.nominating = false;
        }
    }

    /// The pair of this place of ours and theirs, which may be a new one (§7.3.1.3, §7.3.1.4).
    fn place_of(&mut self, local: usize, from: SocketAddr, priority: u32) -> Option<usize> {
        let component = self.locals.get(local)?.component;
        let mut remotes = self.remotes.iter();
        let known = remotes.position(|r| r.component == component && r.at == from);
        let remote = match known {
            Some(known) => known,
            None => {
                let same = self.remotes.iter().filter(|r| r.component == component);
                let room = same.count() < MOST_REMOTE + MOST_FOUND;
                if !room || !candidate::may_be_asked(from) {
                    return None;
                }
                // No announced foundation has a space in it.
                let foundation = format!("found {}", self.remotes.len());
                self.remotes.push(Remote {
                    component,
                    at: from,
                    foundation,
                    priority,
                });
                self.remotes.len() - 1
            }
        };
        let mut pairs = self.pairs.iter();
        let place = pairs.position(|pair| pair.local == local && pair.remote == remote);
        if place.is_some() {
            return place;
        }
        let pair = self.pair(local, remote, State::Waiting)?;
        if self.pairs.len() < MOST_PAIRS {
            self.pairs.push(pair);
            return Some(self.pairs.len() - 1);
        }
        // One that is asked for from over there is worth more than what is only guessed.
        let pairs = self.pairs.iter().enumerate();
        let idle = pairs.filter(|(_, pair)| {
            !pair.is_triggered
                && matches!(pair.state, State::Frozen | State::Waiting | State::Failed)
        });
        let (place, _) = idle.min_by_key(|(_, pair)| pair.priority)?;
        *self.pairs.get_mut(place)? = pair;
        Some(place)
    }

    /// The peer has asked on this pair: it is asked in turn (§7.3.1.4), and is the one where the peer says so (§7.3.1.5).
    fn trigger(&mut self, place: usize, nominates: bool, now: Instant) {
        let concluded = self
            .component_of(place)
            .and_then(|component| self.part(component))
            .is_some_and(|part| part.concluded);
        let Some(pair) = self.pairs.get_mut(place) else {
            return;
        };
        if pair.is_valid() {
            pair.nominated |= nominates;
            return self.settle(now);
        }
        if concluded && !nominates {
            return;
        }
        pair.to_be_nominated |= nominates;
        pair.overtake();
        pair.state = State::Waiting;
        pair.is_triggered = true;
    }

    /// RFC 8445 §7.2.5.
    fn on_success(&mut self, now: Instant, view: View<'_>, way: Way) {
        let Some((place, number)) = self.asked(view.id) else {
            return;
        };
        if !view.is_proved_by(&self.theirs) {
            return;
        }
        let sent = self.pairs.get(place).and_then(|pair| self.way_of(pair));
        let mapped = view.address(message::XOR_MAPPED_ADDRESS);
        let makes_sense = view.unknown(&KNOWN).is_empty() && mapped.is_some();
        let component = self.component_of(place);
        let (Some(pair), Some(component)) = (self.pairs.get_mut(place), component) else {
            return;
        };
        let question = pair.questions.remove(number);
        if sent != Some(way) || !makes_sense {
            // §7.2.5.2.1: an answer from elsewhere shows no way both ways.
            if !pair.is_valid() {
                pair.state = State::Failed;
                pair.overtake();
            }
            return;
        }
        // What was asked beside it is answered by it as well, but for the word that this is the one.
        for other in &mut pair.questions {
            if question.nominates || !other.nominates {
                other.due = None;
            }
        }
        pair.state = State::Succeeded;
        pair.is_triggered = false;
        if question.nominates && question.controlling && self.controlling
            || pair.to_be_nominated && !self.controlling
        {
            pair.nominated = true;
            pair.to_be_nominated = false;
        }
        let foundation = pair.foundation;
        for other in &mut self.pairs {
            if other.state == State::Frozen && other.foundation == foundation {
                other.state = State::Waiting;
            }
        }
        if let Some(part) = self.part_mut(component) {
            part.first_valid.get_or_insert(now);
            if part.selected == Some(way) {
                part.lose_at = Some(now + CONSENT);
            }
        }
    }

    /// RFC 8445 §7.2.5.1, §7.2.5.2.4. Without proof it is nobody's word.
    fn on_error(&mut self, view: View<'_>) {
        let Some((place, number)) = self.asked(view.id) else {
            return;
        };
        if !view.is_proved_by(&self.theirs) {
            return;
        }
        let code = view.error().map(|(code, _)| code);
        let Some(pair) = self.pairs.get_mut(place) else {
            return;
        };
        let question = pair.questions.remove(number);
        let was_last = question.due.is_some();
        if code == Some(487) {
            if question.controlling == self.controlling {
                self.switch_role();
                // §7.2.5.1: what the conflict was settled by is settled.
                self.tie_breaker = self.draw_number();
            }
            if let Some(pair) = self.pairs.get_mut(place)
                && !pair.is_valid()
            {
                pair.overtake();
                pair.state = State::Waiting;
                pair.is_triggered = true;
            }
        } else if was_last && !pair.is_valid() {
            pair.state = State::Failed;
        }
    }

    /// The pair on which this was asked, and which of its questions it was.
    fn asked(&self, id: TransactionId) -> Option<(usize, usize)> {
        self.pairs.iter().enumerate().find_map(|(place, pair)| {
            let number = pair.questions.iter().position(|one| one.id == id)?;
            Some((place, number))
        })
    }

    fn refuse(&mut self, view: View<'_>, way: Way, code: u16, key: Option<&Key>, unknown: &[u16]) {
        let [class, number] = [(code / 100) as u8, (code % 100) as u8];
        let mut draft =
            Draft::new(ERROR, view.id).with(message::ERROR_CODE, &[0, 0, class, number]);
        if !unknown.is_empty() {
            let kinds: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
            draft = draft.with(message::UNKNOWN_ATTRIBUTES, &kinds);
        }
        self.out.push_back((draft.finish(key), way));
    }

    // What goes

    /// Asks on the next pair, if its time has come (§6.1.4.2).
    fn check(&mut self, now: Instant) {
        if now < self.paced_until {
            return;
        }
        if let Some(place) = self.next_pair() {
            self.paced_until = now + PACE;
            self.ask(now, place);
        }
    }

    fn next_pair(&self) -> Option<usize> {
        let best = |fits: &dyn Fn(&Pair) -> bool| {
            let pairs = self.pairs.iter().enumerate();
            let fitting = pairs.filter(|(_, pair)| fits(pair));
            fitting
                .max_by_key(|(_, pair)| pair.priority)
                .map(|(place, _)| place)
        };
        let is_free = |pair: &Pair| {
            let mut busy = self
                .pairs
                .iter()
                .filter(|other| other.state != State::Frozen && other.is_promising());
            busy.all(|other| other.foundation != pair.foundation)
        };
        best(&|pair| pair.is_triggered)
            .or_else(|| best(&|pair| pair.state == State::Waiting))
            .or_else(|| best(&|pair| pair.state == State::Frozen && is_free(pair)))
    }

    fn ask(&mut self, now: Instant, place: usize) {
        let busy = self.pairs.iter();
        let busy = busy.filter(|p| matches!(p.state, State::Waiting | State::InProgress));
        // §14.3.
        let wait = RETRY.max(PACE * u32::try_from(busy.count()).unwrap_or(u32::MAX));
        self.say(place, Some(now + wait), wait);
        if let Some(pair) = self.pairs.get_mut(place) {
            pair.is_triggered = false;
            if !pair.is_valid() {
                pair.state = State::InProgress;
            }
        }
    }

    /// Sends a question on this pair (§7.2.4).
    fn say(&mut self, place: usize, due: Option<Instant>, wait: Duration) {
        let id = self.draw();
        let controlling = self.controlling;
        let Some(pair) = self.pairs.get(place) else {
            return;
        };
        let (Some(way), Some(local)) = (self.way_of(pair), self.locals.get(pair.local)) else {
            return;
        };
        let nominates = controlling && (pair.to_be_nominated || pair.nominated);
        let name = format!("{}:{}", self.remote_ufrag, self.local.ufrag);
        let role = match controlling {
            true => message::ICE_CONTROLLING,
            false => message::ICE_CONTROLLED,
        };
        let mut draft = Draft::new(REQUEST, id)
            .with(message::USERNAME, name.as_bytes())
            .with(message::PRIORITY, &local.priority_if_found.to_be_bytes())
            .with(role, &self.tie_breaker.to_be_bytes());
        if nominates {
            draft = draft.with(message::USE_CANDIDATE, &[]);
        }
        let bytes = draft.finish(Some(&self.theirs));
        self.out.push_back((bytes.clone(), way));
        if let Some(pair) = self.pairs.get_mut(place) {
            pair.ask(Question {
                id,
                bytes,
                due,
                wait,
                sent: 1,
                nominates,
                controlling,
            });
        }
    }

    /// Asks again what was not answered, or gives it up (RFC 8489 §6.2.1).
    fn repeat(&mut self, now: Instant) {
        for place in 0..self.pairs.len() {
            let way = self.pairs.get(place).and_then(|pair| self.way_of(pair));
            let (Some(pair), Some(way)) = (self.pairs.get_mut(place), way) else {
                continue;
            };
            let due = |one: &&mut Question| one.due.is_some_and(|due| now >= due);
            let Some(question) = pair.questions.iter_mut().find(due) else {
                continue;
            };
            if question.sent >= MOST_SENT {
                question.due = None;
                if !pair.is_valid() {
                    pair.state = State::Failed;
                    pair.to_be_nominated = false;
                    pair.questions.clear();
                }
                continue;
            }
            question.sent += 1;
            question.wait = match question.sent == MOST_SENT {
                true => RETRY * LAST_WAIT,
                false => question.wait * 2,
            };
            question.due = Some(now + question.wait);
            let bytes = question.bytes.clone();
            self.out.push_back((bytes, way));
        }
    }

    // What comes of it

    /// Nominates, and selects.
    fn settle(&mut self, now: Instant) {
        if self.lost {
            return;
        }
        for number in 0..self.parts.len() {
            let Some(part) = self.parts.get(number) else {
                continue;
            };
            let component = part.component;
            let of_part = |place: &usize| self.component_of(*place) == Some(component);
            let places: Vec<usize> = (0..self.pairs.len()).filter(of_part).collect();
            let pair = |place: &usize| self.pairs.get(*place);
            let priority = |place: &usize| pair(place).map(|pair| pair.priority);
            let valid = places.iter().copied();
            let valid = valid.filter(|place| pair(place).is_some_and(Pair::is_valid));
            let Some(best) = valid.clone().max_by_key(priority) else {
                continue;
            };
            let chosen = valid.filter(|place| pair(place).is_some_and(|pair| pair.nominated));
            let chosen = chosen.max_by_key(priority);
            let better = |place: &usize| priority(place) > priority(&best);
            let mut rivals = places.iter().filter(|place| better(place));
            let unrivalled = !rivals.any(|place| pair(place).is_some_and(Pair::is_promising));
            let patient = part.nominates_at().is_some_and(|at| now < at);
            let nominates = self.controlling
                && chosen.is_none()
                && !part.nominating
                && (unrivalled || !patient);
            let way = pair(&chosen.unwrap_or(best)).and_then(|pair| self.way_of(pair));
            if nominates && let Some(pair) = self.pairs.get_mut(best) {
                (pair.to_be_nominated, pair.is_triggered) = (true, true);
            }
            if chosen.is_some() {
                self.rest(&places);
            }
            if let Some(part) = self.parts.get_mut(number) {
                part.nominating |= nominates;
                part.concluded |= chosen.is_some();
            }
            self.select(now, number, way);
        }
        self.conclude(now);
    }

    /// RFC 8445 §8.1.2, §8.3.1: once every component has its way, or none to hope for, the others are kept for as long as
    /// the peer may take to see it as well.
    fn conclude(&mut self, now: Instant) {
        let is_done = |part: &Part| {
            let is_open = |pair: &Pair| {
                let local = self.locals.get(pair.local);
                local.is_some_and(|local| local.component == part.component)
                    && pair.state != State::Failed
            };
            let hopeless = || !self.pairs.iter().any(is_open);
            part.over || part.concluded || part.component != Component::Media && hopeless()
        };
        let settled = self.selected().is_some() && self.parts.iter().all(is_done);
        if !settled {
            self.frees_at = None;
        } else if !self.settled {
            self.frees_at = Some(now + FREE_AFTER);
        }
        self.settled = settled;
    }

    /// A component is settled: nothing more is asked for it (§8.1.2), but what the peer still asks for.
    fn rest(&mut self, places: &[usize]) {
        for place in places {
            let Some(pair) = self.pairs.get_mut(*place) else {
                continue;
            };
            match pair.state {
                State::Frozen | State::Waiting if !pair.is_triggered => pair.state = State::Failed,
                State::InProgress if !pair.to_be_nominated => pair.overtake(),
                _ => {}
            }
        }
    }

    fn select(&mut self, now: Instant, number: usize, way: Option<Way>) {
        let before = self.parts.get(number).and_then(|part| part.selected);
        if way.is_none() || way == before {
            return;
        }
        let spread = self.draw_number();
        let (Some(part), Some(way)) = (self.parts.get_mut(number), way) else {
            return;
        };
        part.selected = Some(way);
        part.asks_at.get_or_insert(now + asks_after(spread));
        // Another way has until then to answer, too: it was found by an answer, but maybe by an old one.
        part.lose_at.get_or_insert(now + CONSENT);
        self.events.push_back(Event::Selected(part.component, way));
        // What is known about the rest is to be found out anew.
        self.settled = false;
    }

    /// RFC 7675 §5.1: each time it is another question, and none is asked twice.
    fn ask_for_consent(&mut self, now: Instant) {
        for number in 0..self.parts.len() {
            let due = |part: &&Part| part.asks_at.is_some_and(|at| now >= at);
            let part = self.parts.get(number).filter(due);
            let Some(way) = part.and_then(|part| part.selected) else {
                continue;
            };
            let spread = self.draw_number();
            let Some(part) = self.parts.get_mut(number) else {
                continue;
            };
            part.asks_at = Some(now + asks_after(spread));
            let mut places = 0..self.pairs.len();
            let place = places.find(|place| {
                let pair = self.pairs.get(*place);
                pair.and_then(|pair| self.way_of(pair)) == Some(way)
            });
            if let Some(place) = place {
                self.say(place, None, RETRY);
            }
        }
    }

    /// Ends what the peer has not consented to for too long.
    fn lose(&mut self, now: Instant) {
        for part in &mut self.parts {
            if part.lose_at.is_none_or(|at| now < at) {
                continue;
            }
            (part.selected, part.lose_at, part.asks_at) = (None, None, None);
            part.first_valid = None;
            self.lost |= part.component == Component::Media;
            self.events.push_back(Event::Lost(part.component));
            // Whatever answered once is no consent to anything more by these names.
            let locals = &self.locals;
            self.pairs.retain(|pair| {
                let local = locals.get(pair.local);
                local.is_some_and(|local| local.component != part.component)
            });
            part.over = true;
        }
        if self.lost {
            (self.frees_at, self.settled) = (None, false);
            self.pairs.clear();
            for part in &mut self.parts {
                (part.selected, part.lose_at, part.asks_at) = (None, None, None);
                part.first_valid = None;
            }
        }
    }

    fn part(&self, component: Component) -> Option<&Part> {
        self.parts.iter().find(|part| part.component == component)
    }

    fn part_mut(&mut self, component: Component) -> Option<&mut Part> {
        let mut parts = self.parts.iter_mut();
        parts.find(|part| part.component == component)
    }

    fn draw_bytes(&mut self) -> [u8; 20] {
        self.drawn += 1;
        let hash = Sha1::new()
            .chain_update(self.seed)
            .chain_update(self.drawn.to_be_bytes());
        hash.finalize().into()
    }

    fn draw(&mut self) -> TransactionId {
        let mut id = [0; 12];
        let hash = self.draw_bytes();
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        TransactionId(id)
    }

    fn draw_number(&mut self) -> u64 {
        let bytes = self.draw_bytes();
        let first = bytes.iter().take(8);
        first.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl Part {
    fn new(component: Component) -> Self {
        Self {
            component,
            selected: None,
            first_valid: None,
            nominating: false,
            concluded: false,
            over: false,
            asks_at: None,
            lose_at: None,
        }
    }

    /// When the best so far is good enough, whatever may still come.
    fn nominates_at(&self) -> Option<Instant> {
        let waits = !self.nominating && !self.concluded;
        let first = self.first_valid.filter(|_| waits)?;
        Some(first + NOMINATE_AFTER)
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("parts", &self.parts)
            .field("pairs", &self.pairs.len())
            .finish_non_exhaustive()
    }
}

/// Five seconds, give or take a fifth (RFC 7675 §5.1).
fn asks_after(spread: u64) -> Duration {
    Duration::from_millis(4_000 + spread % 2_001)
}

/// Pairs of all components (RFC 8445 §6.1.2.5).
const MOST_PAIRS: usize = 100;
/// Places of the peer that it did not announce, each component.
const MOST_FOUND: usize = 16;
/// Ta (§14.2).
const PACE: Duration = Duration::from_millis(50);
/// RTO, Rc and Rm (§14.3, RFC 8489 §6.2.1).
const RETRY: Duration = Duration::from_millis(500);
const MOST_SENT: u32 = 7;
const LAST_WAIT: u32 = 16;
/// How long the best way that has answered waits for a better one that has not (§8.1.1 leaves that to us).
const NOMINATE_AFTER: Duration = Duration::from_secs(2);
/// How long candidates that were not selected are kept, for a peer that has not concluded yet (§8.3.1).
const FREE_AFTER: Duration = Duration::from_secs(3);
/// Without any way for so long there is none: the default address is as good as any then.
const GIVE_UP: Duration = Duration::from_secs(10);
/// For how long the peer's last word holds that it wants what we send (RFC 7675 §5.1).
const CONSENT: Duration = Duration::from_secs(30);

const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
/// Attributes that must be understood, and are.
const KNOWN: [u16; 10] = [
    0x0001, // MAPPED-ADDRESS
    message::USERNAME,
    message::MESSAGE_INTEGRITY,
    message::ERROR_CODE,
    message::UNKNOWN_ATTRIBUTES,
    message::REALM,
    message::NONCE,
    message::XOR_MAPPED_ADDRESS,
    message::PRIORITY,
    message::USE_CANDIDATE,
];
