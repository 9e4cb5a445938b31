//! `tipring message`: sends one text message.

use std::time::Duration;

use engine::{CallMedia, EngineConfig};
use model::{Command, Direction, Event, MessageState, MessageView};

use crate::Outcome;
use crate::cli::{Common, MessageArgs};
use crate::session::{Session, runtime, spoken};

/// Timer F (RFC 3261 §17.1.2.2), and what a challenge and a name take beside it.
const USUAL: Duration = Duration::from_secs(40);

pub(crate) fn run(common: &Common, args: &MessageArgs) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let mut account = args.account.clone();
        // What is said needs no registration.
        account.no_register = true;
        let config = EngineConfig {
            media: CallMedia::null(),
            ..EngineConfig::default()
        };
        let mut session = Session::start_with(common, &account, config).await?;
        session.engine.send(Command::SendMessage {
            account: session.account.clone(),
            to: args.target.as_str().into(),
            text: args.text.as_str().into(),
        });
        let limit = args.limit.unwrap_or(USUAL);
        let outcome = match tokio::time::timeout(limit, until_settled(&mut session)).await {
            Ok(MessageState::Delivered | MessageState::Accepted) => Outcome::Done,
            Ok(_) => Outcome::Failed,
            Err(_) => {
                let text = format!("Nobody has answered the message for {}.", spoken(limit));
                let object = serde_json::json!({
                    "event": "message",
                    "account": session.account,
                    "state": "failed",
                    "code": null,
                    "reason": text,
                });
                session.report.own(object, || text.clone());
                Outcome::Failed
            }
        };
        session.give_up().await;
        Ok(outcome)
    })
}

async fn until_settled(session: &mut Session) -> MessageState {
    loop {
        let message = match session.next().await {
            Event::Message { message } => *message,
            Event::Resync { snapshot } => match snapshot.messages.into_iter().next_back() {
                Some(message) => message,
                None => continue,
            },
            _ => continue,
        };
        if is_settled(&message) {
            return message.state;
        }
    }
}

fn is_settled(message: &MessageView) -> bool {
    message.direction == Direction::Outgoing && message.state != MessageState::Sending
}
