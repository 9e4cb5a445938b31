//! The one body of all protocol actors: after every input, drain the outputs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ractor::ActorRef;
use replay::Sink;
use sip_core::{Output, ResolveId, Transport};
use sip_message::Uri;
use wire::ClientTls;

use crate::identity::Identity;
use crate::recorder::RecorderMsg;
use crate::shared::{Service, Shared};
use crate::transport::{Owner, TransportMsg};

/// Where the outputs of a protocol object go.
pub(crate) struct Outlet<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) transport: &'a ActorRef<TransportMsg>,
    /// The local address that the account is bound to.
    pub(crate) bind: Option<SocketAddr>,
    /// How the account is a client of TLS, where its settings say so.
    pub(crate) tls: Option<&'a Arc<ClientTls>>,
}

impl<'a> Outlet<'a> {
    /// That of an actor that speaks for an account.
    pub(crate) fn of(
        owner: &'a Owner,
        transport: &'a ActorRef<TransportMsg>,
        identity: &'a Identity,
    ) -> Self {
        Self {
            owner,
            transport,
            bind: identity.bind,
            tls: identity.tls.as_ref(),
        }
    }

    /// Asks for the places behind a next hop.
    fn ask(&self, question: &Question) {
        let _ = self.transport.cast(TransportMsg::Resolve {
            owner: self.owner.clone(),
            id: question.id,
            uri: question.uri.clone(),
            transport: question.transport,
            bind: self.bind,
            lane: question.lane,
            tls: self.tls.cloned(),
        });
    }
}

/// Questions for the way that wait for an answer: a new transport does not know them.
#[derive(Default)]
pub(crate) struct Questions(Vec<Question>);

struct Question {
    id: ResolveId,
    uri: Uri,
    transport: Option<Transport>,
    lane: Option<u32>,
}

impl Questions {
    /// Asks, and remembers that.
    pub(crate) fn ask(
        &mut self,
        outlet: &Outlet<'_>,
        id: ResolveId,
        uri: Uri,
        transport: Option<Transport>,
    ) {
        self.ask_for(outlet, id, uri, transport, None);
    }

    /// The same for one of several flows.
    fn ask_for(
        &mut self,
        outlet: &Outlet<'_>,
        id: ResolveId,
        uri: Uri,
        transport: Option<Transport>,
        lane: Option<u32>,
    ) {
        let question = Question {
            id,
            uri,
            transport,
            lane,
        };
        outlet.ask(&question);
        self.0.push(question);
    }

    /// Asks everything again that was not answered.
    pub(crate) fn ask_again(&self, outlet: &Outlet<'_>) {
        self.0.iter().for_each(|question| outlet.ask(question));
    }

    /// An answer has come.
    pub(crate) fn on_answer(&mut self, id: ResolveId) {
        self.0.retain(|question| question.id != id);
    }
}

/// The tape of a protocol object that is made now, where records are kept: its name and where its lines
/// go. The name is another one after each start of the program.
pub(crate) fn tape(
    shared: &Shared,
    recorder: &Arc<Service<RecorderMsg>>,
    what: &str,
) -> Option<(String, Sink)> {
    shared.trace_dir.as_ref()?;
    let recorder = Arc::clone(recorder);
    let name = format!("{what} {}", crate::wall());
    Some((
        name,
        Box::new(move |line| recorder.cast(RecorderMsg::Tape(line))),
    ))
}

/// Polls until the object answers with its deadline: sends go out, questions are asked, events are
/// queued for the actor, which handles them one by one and drains again after each.
pub(crate) fn drain<E>(
    mut poll: impl FnMut() -> Output<E>,
    outlet: &Outlet<'_>,
    questions: &mut Questions,
    events: &mut VecDeque<E>,
) -> Option<Instant> {
    loop {
        match poll() {
            // A transport that has ended is being started again; timers send the request again.
            Output::Transmit(transmit) => {
                let _ = outlet.transport.cast(TransportMsg::Send {
                    from: outlet.owner.clone(),
                    transmit,
                });
            }
            Output::Resolve {
                id,
                uri,
                transport,
                lane,
            } => {
                questions.ask_for(outlet, id, *uri, transport, lane);
            }
            Output::Event(event) => events.push_back(event),
            Output::Deadline(deadline) => return deadline,
        }
    }
}
