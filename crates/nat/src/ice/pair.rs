//! Pairs of candidates, and the questions that are asked on each.

use std::time::{Duration, Instant};

use crate::stun::TransactionId;

/// How far a pair is (RFC 8445 §6.1.2.6).
///
/// ```text
///  Frozen ─► Waiting ─► InProgress ─► Succeeded
///               ▲           └───────► Failed ─┐
///               └────── the peer asks ────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Another of the same foundation is tried first.
    Frozen,
    /// It is to be asked as soon as it is its turn.
    Waiting,
    /// It was asked, and has not answered.
    InProgress,
    /// It has answered.
    Succeeded,
    /// It has not answered in time, or not so that it counts.
    Failed,
}

/// One of ours and one of theirs.
#[derive(Debug)]
pub(super) struct Pair {
    /// Places in the agent's lists.
    pub(super) local: usize,
    pub(super) remote: usize,
    pub(super) priority: u64,
    /// Of both.
    pub(super) foundation: (u32, u32),
    pub(super) state: State,
    /// Ours asks for it with the next question, or the peer has asked for it and there is no answer yet.
    pub(super) to_be_nominated: bool,
    pub(super) nominated: bool,
    /// The peer asked, or we nominate: this is not to wait for its turn.
    pub(super) is_triggered: bool,
    /// Those under way, the last one asked again.
    pub(super) questions: Vec<Question>,
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: TransactionId,
    pub(super) bytes: Vec<u8>,
    /// When it is asked again or given up; none for one that was overtaken, which may be answered all the same.
    pub(super) due: Option<Instant>,
    pub(super) wait: Duration,
    pub(super) sent: u32,
    /// It says that this is the one.
    pub(super) nominates: bool,
    /// The role that it speaks of.
    pub(super) controlling: bool,
}

/// Questions of one pair whose answers are remembered: later ones and those of consent have the better chance.
const MOST_QUESTIONS: usize = 8;

impl Pair {
    pub(super) fn is_valid(&self) -> bool {
        self.state == State::Succeeded
    }

    /// Whether it may still turn out to be a way, and has not had its time.
    pub(super) fn is_promising(&self) -> bool {
        match self.state {
            State::Frozen | State::Waiting => true,
            // Once asked twice without an answer it is one of those that mostly never answer.
            State::InProgress => self.questions.last().is_some_and(|last| last.sent < 3),
            State::Succeeded | State::Failed => false,
        }
    }

    /// Takes note of a question that was sent.
    pub(super) fn ask(&mut self, question: Question) {
        self.overtake();
        if self.questions.len() >= MOST_QUESTIONS {
            self.questions.remove(0);
        }
        self.questions.push(question);
    }

    /// Nothing is asked again (RFC 8445 §7.3.1.4); what was asked may still be answered.
    pub(super) fn overtake(&mut self) {
        self.questions.iter_mut().for_each(|one| one.due = None);
    }

    /// When something is to be done about what was asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.questions.iter().filter_map(|one| one.due).min()
    }
}

/// RFC 8445 §6.1.2.3; `ours` and `theirs` are priorities of candidates.
pub(super) fn priority(controlling: bool, ours: u32, theirs: u32) -> u64 {
    let (g, d) = match controlling {
        true => (u64::from(ours), u64::from(theirs)),
        false => (u64::from(theirs), u64::from(ours)),
    };
    (g.min(d) << 32) + 2 * g.max(d) + u64::from(g > d)
}
