//! The requests of a call that are under way: ours with the paths they try, the peer's with the answers they wait for.

use std::collections::VecDeque;
use std::time::Instant;

use sip_message::{Method, Request, Response, Uri};

use super::refer::ReferId;
use super::send::over_tcp;
use crate::auth::{Asked, Exchange};
use crate::path::{Destination, Inbound, Path, ResolveError, ResolveId, Transport, TransportError};
use crate::transaction::{
    ClientInvite, ClientNonInvite, ClientOutput, ServerInvite, ServerKey, ServerNonInvite,
    ServerOutput, response_matches,
};

/// Names a request under way within its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskId(pub(super) u32);

/// What one of our requests is for.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The INVITE that makes the call.
    Invite,
    /// An INVITE within the call, with the offer it carries, and whether only for the session timer.
    Reinvite {
        offer: Vec<u8>,
        refresh: bool,
    },
    /// The ACK to a 2xx: of which INVITE and which fork.
    Ack {
        cseq: u32,
        tag: String,
        /// The fork is not wanted: BYE as soon as the ACK is out.
        then_bye: bool,
    },
    Cancel,
    Bye,
    Info,
    /// An UPDATE: with an offer or without, in which dialog, and whether only for the session timer.
    Update {
        offer: Option<Vec<u8>>,
        tag: String,
        refresh: bool,
    },
    /// A REFER of ours.
    Refer {
        id: ReferId,
    },
    /// The report of a transfer, and whether it is the last one.
    Notify {
        id: ReferId,
        last: bool,
    },
    /// The acknowledgement of a reliable provisional answer: of which early dialog, and its RSeq.
    Prack {
        tag: String,
        rseq: u32,
    },
}

/// Whether one of our INVITEs is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// Wanted, and held until a provisional answer comes (RFC 3261 §9.1).
    Held,
    Sent,
}

/// One of our requests, on one path after the other until a peer answers.
#[derive(Clone)]
pub(super) struct ClientTask {
    pub(super) id: TaskId,
    pub(super) purpose: Purpose,
    /// Without Via and Contact, which depend on the path.
    pub(super) request: Request,
    /// The next hop, to be asked for paths.
    pub(super) hop: Uri,
    pub(super) way: Way,
    /// What is on the wire now.
    pub(super) attempt: Option<Attempt>,
    /// Attempts that were answered and stay to absorb repeats.
    pub(super) past: Vec<Attempt>,
    /// What it showed to whom that asked for a login.
    pub(super) exchange: Exchange,
    /// How often a person was asked for its login.
    pub(super) logins_asked: Asked,
    /// A person is asked for its login at present: its challenge is not its end.
    pub(super) waits_for_login: bool,
    pub(super) cancel: Cancel,
    /// When to stop waiting for the final answer, where no timer of the transaction does it.
    pub(super) give_up_at: Option<Instant>,
    /// The datagram path that it left for TCP because of its size, to be gone back to where TCP is refused.
    pub(super) too_large_for: Option<Destination>,
    /// It went out again with a longer session interval (RFC 4028 §7.3), which is done once.
    pub(super) lengthened: bool,
    /// Nothing more is to come of it, once its transactions have ended.
    pub(super) done: bool,
}

/// The paths of a request.
#[derive(Clone)]
pub(super) enum Way {
    /// The transport side was asked.
    Asked(ResolveId),
    /// Those not tried yet, best first.
    Known(VecDeque<Destination>),
}

/// A request on one path.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) branch: String,
    pub(super) destination: Destination,
    pub(super) machine: Machine,
    /// The owner had the final answer: what the transaction still says is about repeats only.
    pub(super) answered: bool,
}

/// The transaction of an attempt.
#[derive(Clone)]
pub(super) enum Machine {
    Invite(Box<ClientInvite>),
    Other(Box<ClientNonInvite>),
    /// An ACK to a 2xx is no transaction: these bytes go out again for each repeated 2xx.
    Ack(Vec<u8>),
}

/// Why a path did not carry a request to an answer.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nobody said anything (Timer B or F).
    Silence,
    /// It could not be sent.
    Transport(TransportError),
    /// The next hop has no address.
    Unresolved(ResolveError),
    /// The server there cannot serve at present: 503.
    Unavailable(Box<Response>),
}

impl ClientTask {
    pub(super) fn is_invite(&self) -> bool {
        matches!(self.purpose, Purpose::Invite | Purpose::Reinvite { .. })
    }

    /// Whether somebody owes an answer to it, which nobody does to an ACK.
    pub(super) fn awaits_answer(&self) -> bool {
        let machine = self.attempt.as_ref().map(|attempt| &attempt.machine);
        self.is_open() && !matches!(machine, Some(Machine::Ack(_)))
    }

    /// The offer that it carries, where it is a re-INVITE, and whether that only refreshes the session.
    pub(super) fn offer(&mut self) -> Option<(Vec<u8>, bool)> {
        match &mut self.purpose {
            Purpose::Reinvite { offer, refresh } => Some((std::mem::take(offer), *refresh)),
            _ => None,
        }
    }

    /// Whether it still waits for its final answer.
    pub(super) fn is_open(&self) -> bool {
        !self.done
            && self
                .attempt
                .as_ref()
                .is_none_or(|attempt| !attempt.answered)
    }

    /// The destination to try before all others because of the request's size: TCP where the network says that the
    /// datagram is too large, and the datagram after all where there is no TCP (RFC 3261 §18.1.1). The RFC knows a refusal
    /// by then; most firewalls of today say nothing.
    pub(super) fn other_for_size(
        &mut self,
        failed: Destination,
        fault: &Fault,
    ) -> Option<Destination> {
        match fault {
            // Once: where TCP has failed before, one would follow the other for ever.
            Fault::Transport(TransportError::TooLarge)
                if failed.transport() == Transport::Udp && self.too_large_for != Some(failed) =>
            {
                self.too_large_for = Some(failed);
                Some(over_tcp(failed))
            }
            Fault::Transport(error) if error.is_no_listener() => {
                self.too_large_for.filter(|udp| over_tcp(*udp) == failed)
            }
            _ => None,
        }
    }

    /// Whether it goes there by TCP for its size alone.
    pub(super) fn is_for_size(&self, destination: Destination) -> bool {
        self.too_large_for
            .is_some_and(|udp| over_tcp(udp) == destination)
    }

    /// The attempt, present or past, that this response answers.
    pub(super) fn attempt_for(&mut self, response: &Response) -> Option<&mut Attempt> {
        let method = self.request.method.clone();
        self.attempt
            .iter_mut()
            .chain(&mut self.past)
            .find(|attempt| response_matches(response, &attempt.branch, &method))
    }

    /// Whether it is an INVITE that was sent with this branch, by the present path or one that was given up.
    pub(super) fn is_invite_with(&self, branch: &str) -> bool {
        let mut attempts = self.attempt.iter().chain(&self.past);
        self.request.method == Method::Invite && attempts.any(|attempt| attempt.branch == branch)
    }

    pub(super) fn attempt_with(&mut self, branch: &str) -> Option<&mut Attempt> {
        self.attempt
            .iter_mut()
            .chain(&mut self.past)
            .find(|attempt| attempt.branch == branch)
    }

    /// The next output of any attempt; true with it when it comes from the present one.
    pub(super) fn poll_output(&mut self) -> Option<(bool, Destination, ClientOutput)> {
        if let Some(attempt) = &mut self.attempt
            && let Some(output) = attempt.poll_output()
        {
            return Some((true, attempt.destination, output));
        }
        self.past.iter_mut().find_map(|attempt| {
            let output = attempt.poll_output()?;
            Some((false, attempt.destination, output))
        })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let machines = self
            .attempt
            .iter()
            .chain(&self.past)
            .filter_map(Attempt::deadline);
        machines.chain(self.give_up_at).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for attempt in self.attempt.iter_mut().chain(&mut self.past) {
            attempt.handle_timeout(now);
        }
    }

    /// Whether it can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.done
            && self
                .attempt
                .iter()
                .chain(&self.past)
                .all(Attempt::is_terminated)
    }
}

impl Attempt {
    pub(super) fn handle_response(&mut self, now: Instant, response: &Response) {
        match &mut self.machine {
            Machine::Invite(machine) => {
                machine.handle_response(now, response);
            }
            Machine::Other(machine) => {
                machine.handle_response(now, response);
            }
            Machine::Ack(_) => {}
        }
    }

    pub(super) fn handle_transport_error(&mut self, now: Instant, error: TransportError) {
        match &mut self.machine {
            Machine::Invite(machine) => machine.handle_transport_error(now, error),
            Machine::Other(machine) => machine.handle_transport_error(now, error),
            Machine::Ack(_) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Invite(machine) => machine.handle_timeout(now),
            Machine::Other(machine) => machine.handle_timeout(now),
            Machine::Ack(_) => {}
        }
    }

    fn poll_output(&mut self) -> Option<ClientOutput> {
        match &mut self.machine {
            Machine::Invite(machine) => machine.poll_output(),
            Machine::Other(machine) => machine.poll_output(),
            Machine::Ack(_) => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
            Machine::Ack(_) => None,
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_terminated(),
            Machine::Other(machine) => machine.is_terminated(),
            Machine::Ack(_) => true,
        }
    }
}

/// A request of the peer, from its arrival until its repeats have ended.
#[derive(Clone)]
pub(super) struct ServerTask {
    pub(super) id: TaskId,
    pub(super) key: ServerKey,
    /// As received, marked with where it came from; without its body.
    pub(super) request: Request,
    pub(super) inbound: Inbound,
    /// The way from where we are by now, if that is elsewhere.
    pub(super) moved_to: Option<Path>,
    pub(super) machine: ServerMachine,
}

/// The transaction of a peer's request.
#[derive(Clone)]
pub(super) enum ServerMachine {
    Invite(Box<ServerInvite>),
    Other(Box<ServerNonInvite>),
}

impl ServerTask {
    /// The path that its answer names us by.
    pub(super) fn path(&self) -> &Path {
        self.moved_to.as_ref().unwrap_or(&self.inbound.path)
    }

    /// Whether the peer has not acknowledged our refusal of its INVITE.
    pub(super) fn awaits_ack(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.awaits_ack(),
            ServerMachine::Other(_) => false,
        }
    }

    pub(super) fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    /// The branch of its top Via.
    pub(super) fn has_branch(&self, branch: &str) -> bool {
        let via = self.request.headers.via_top();
        via.is_ok_and(|via| via.branch() == Some(branch))
    }

    pub(super) fn has_final(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.has_final(),
            ServerMachine::Other(machine) => machine.has_final(),
        }
    }

    pub(super) fn handle_request(&mut self, now: Instant, request: &Request) {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.handle_request(now, request),
            ServerMachine::Other(machine) => machine.handle_request(now, request),
        }
    }

    pub(super) fn respond(&mut self, now: Instant, response: Response) {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.respond(now, response),
            ServerMachine::Other(machine) => machine.respond(now, response),
        }
    }

    pub(super) fn handle_transport_error(&mut self, now: Instant, error: TransportError) {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.handle_transport_error(now, error),
            ServerMachine::Other(machine) => machine.handle_transport_error(now, error),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.handle_timeout(now),
            ServerMachine::Other(machine) => machine.handle_timeout(now),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<ServerOutput> {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.poll_output(),
            ServerMachine::Other(machine) => machine.poll_output(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.deadline(),
            ServerMachine::Other(machine) => machine.deadline(),
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.is_terminated(),
            ServerMachine::Other(machine) => machine.is_terminated(),
        }
    }
}
