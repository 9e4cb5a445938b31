//! A program of one's own on the engine: a receptionist that takes calls, and sends away whoever does not say who
//! calls.
//!
//! ```text
//! SECRET=… cargo run -p engine --example receptionist -- sip:alice@example.com
//! ```
//!
//! All that the window and the command line do, they do as this does: an [`Event`](model::Event) comes, a
//! [`Command`](model::Command) goes. The same two, as JSON, are what the control socket carries, for programs in other
//! languages.

use std::time::Duration;

use engine::{CallMedia, Engine, EngineConfig, GivenAccount, GivenTenant, Sink, Source};
use model::{AccountSettings, CallState, CallView, Command, Direction, Event};

/// The status for callers who do not want to be known (RFC 5079).
const ANONYMITY_DISALLOWED: u16 = 433;

/// What the receptionist does about an event.
pub(crate) fn decide(event: &Event) -> Option<Command> {
    let Event::Call { call } = event else {
        return None;
    };
    let rings = call.direction == Direction::Incoming && call.state == CallState::Ringing;
    rings.then(|| match is_anonymous(call) {
        true => Command::RejectCall {
            call: call.id,
            code: Some(ANONYMITY_DISALLOWED),
        },
        false => Command::AnswerCall { call: call.id },
    })
}

fn is_anonymous(call: &CallView) -> bool {
    // RFC 3323 §4.1: what stands in From then.
    let nobody = call.remote.uri.reveal().contains("@anonymous.invalid");
    nobody || call.details.anonymous
}

/// An engine with this account, which plays a tone to its callers and keeps no settings.
///
/// # Errors
/// When it does not start.
pub(crate) async fn start(
    account: GivenAccount,
) -> Result<engine::EngineHandle, engine::StartError> {
    let tenant = GivenTenant {
        name: "reception".to_owned(),
        accounts: vec![account],
    };
    let config = EngineConfig {
        use_settings: false,
        given: vec![tenant],
        media: CallMedia::PerCall {
            source: Source::Tone { hz: 440.0 },
            sink: Sink::Discard,
        },
        ..EngineConfig::default()
    };
    Engine::start(config).await
}

#[tokio::main]
#[allow(dead_code)]
async fn main() {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("whose calls? give an address like sip:alice@example.com");
        return;
    };
    let account = GivenAccount {
        settings: AccountSettings::new(address),
        password: std::env::var("SECRET").ok().map(Into::into),
        relay_password: None,
        logins: Vec::new(),
    };
    let engine = match start(account).await {
        Ok(engine) => engine,
        Err(error) => return eprintln!("{error}"),
    };
    let mut events = engine.subscribe(None);
    loop {
        tokio::select! {
            event = events.next() => {
                if let Some(command) = decide(&event) {
                    engine.send(command);
                }
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
}
