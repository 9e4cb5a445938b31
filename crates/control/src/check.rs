//! Whether what a command names is there, and lets itself be commanded so.
//!
//! The engine passes over a command about a call that has ended a moment ago: for a window that is right, since the
//! next frame shows it. A script that gets `null` for a call that never was believes that something happens. So
//! commands of clients are held against the state first, and refused with a sentence.

use std::collections::HashSet;

use model::{
    AccountView, CallState, CallView, Command, Direction, LoginFault, LoginWanted, QuestionId,
    Redirect, Snapshot, Transfer,
};
use serde_json::{Map, Value};

use crate::rpc::{RpcError, method_and_params};

/// Refuses a command about something that is not there, or that the state shows to be impossible now.
///
/// # Errors
/// [`RpcError::NOT_FOUND`] for a tenant, an account, a call or a device that is not in `state`,
/// [`RpcError::INVALID_PARAMS`] for a parameter that says nothing, [`RpcError::NOT_NOW`] for the rest.
pub fn check(command: &Command, state: &Snapshot) -> Result<(), RpcError> {
    let (_, params) = method_and_params(command)?;
    tenant(&params, state)?;
    account(&params, state)?;
    for key in ["call", "other"] {
        call(&params, key, state)?;
    }
    let view = |id: &model::CallId| state.calls.iter().find(|c| c.id == *id);
    match command {
        Command::AddTenant { name } | Command::UpdateTenant { name, .. } => said("name", name),
        Command::PlaceCall { target, .. }
        | Command::SendOptions { target, .. }
        | Command::PickUp { target, .. }
        | Command::JoinIn { target, .. } => said("target", target.reveal()),
        Command::SendRequest { method, target, .. } => {
            said("method", method)?;
            said("target", target.reveal())
        }
        Command::SendMessage { to, text, .. } => {
            said("to", to.reveal())?;
            said("text", text.reveal())
        }
        Command::RemoveBinding { uri, .. } => said("uri", uri.reveal()),
        Command::SetLogin { login, .. } => login.check().map_err(unusable),
        Command::RemoveLogin {
            account,
            realm,
            server,
        } => {
            let mut of = state.accounts.iter().filter(|a| a.id == *account);
            let known = of.any(|a| {
                let mut logins = a.settings.logins.iter();
                logins.any(|login| login.realm == *realm && login.server == *server)
            });
            match known {
                true => Ok(()),
                false => Err(not_found("the account has no such login".to_owned())),
            }
        }
        Command::AnswerLogin { question, user, .. } => {
            let asked = question_for_login(*question, state)?;
            let login = model::Login {
                realm: Some(asked.realm.clone()),
                server: None,
                user: user.clone().unwrap_or_else(|| asked.user.clone()),
            };
            login.check().map_err(unusable)
        }
        Command::DeclineLogin { question } => question_for_login(*question, state).map(drop),
        Command::FollowRedirect { call, target } => {
            let redirect = waiting_redirect(view(call), *call)?;
            let known = usize::try_from(*target).is_ok_and(|at| at < redirect.targets.len());
            match known {
                true => Ok(()),
                false => Err(not_found(format!(
                    "call {call} was not sent to a place number {target}"
                ))),
            }
        }
        Command::DeclineRedirect { call } => waiting_redirect(view(call), *call).map(drop),
        Command::SetPresence {
            account: Some(id), ..
        } => publishes(state.accounts.iter().find(|a| a.id == *id)),
        Command::TransferCall { call, target } => {
            said("target", target.reveal())?;
            up(view(call))
        }
        Command::ConnectCalls { call, other } => {
            if call == other {
                return Err(not_now(format!(
                    "call {call} cannot be connected with itself"
                )));
            }
            up(view(call))?;
            up(view(other))?;
            let tenants = [call, other].map(|id| view(id).map(|c| &c.tenant));
            if tenants[0] != tenants[1] {
                return Err(not_now(
                    "calls of two organisations cannot be connected".to_owned(),
                ));
            }
            Ok(())
        }
        Command::JoinCalls { calls } => {
            for id in calls {
                let call = view(id).ok_or_else(|| not_found(format!("there is no call {id}")))?;
                up(Some(call))?;
            }
            let tenants = calls.iter().filter_map(view).map(|c| &c.tenant);
            if tenants.collect::<HashSet<_>>().len() > 1 {
                return Err(not_now(
                    "calls of two organisations cannot be brought together".to_owned(),
                ));
            }
            match calls.iter().collect::<HashSet<_>>().len() {
                0 | 1 => Err(RpcError::new(
                    RpcError::INVALID_PARAMS,
                    "\"calls\" names fewer than two calls",
                )),
                _ => Ok(()),
            }
        }
        Command::RenewKeys { call } => {
            up(view(call))?;
            match view(call) {
                Some(c) if c.security.sent.is_none() => Err(not_now(format!(
                    "call {call} is not encrypted and has no keys to renew"
                ))),
                _ => Ok(()),
            }
        }
        Command::LeaveConference { call } => match view(call) {
            Some(c) if c.conference.is_none() => {
                Err(not_now(format!("call {call} is in no conference")))
            }
            _ => Ok(()),
        },
        Command::AnswerTransfer { call, .. } => {
            match view(call).and_then(|c| c.transfer.as_ref()) {
                Some(Transfer::Wanted { .. }) => Ok(()),
                _ => Err(not_now(format!(
                    "nobody asks for a transfer in call {call}"
                ))),
            }
        }
        Command::AnswerCall { call } | Command::RejectCall { call, .. } => rings(view(call)),
        Command::HoldCall { call }
        | Command::ResumeCall { call }
        | Command::RecordCall { call, .. }
        | Command::PlayFile { call, .. } => up(view(call)),
        Command::SendDtmf { call, digits } => {
            up(view(call))?;
            let key = |c: char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d');
            if digits.reveal().contains(key) {
                return Ok(());
            }
            Err(RpcError::new(
                RpcError::INVALID_PARAMS,
                "\"digits\" holds no digit; there are 0-9, *, # and A-D",
            ))
        }
        Command::EndCall { call }
        | Command::MuteCall { call, .. }
        | Command::SetDirection { call, .. } => live(view(call)),
        Command::DismissCall { call } => match view(call) {
            Some(c) if c.state.is_live() => {
                Err(not_now(format!("call {call} has not ended; end it first")))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn tenant(params: &Map<String, Value>, state: &Snapshot) -> Result<(), RpcError> {
    match params.get("tenant").and_then(Value::as_str) {
        Some(id) if !state.tenants.iter().any(|t| t.id.as_str() == id) => {
            Err(not_found(format!("there is no organisation {id:?}")))
        }
        _ => Ok(()),
    }
}

fn account(params: &Map<String, Value>, state: &Snapshot) -> Result<(), RpcError> {
    match params.get("account").and_then(Value::as_str) {
        Some(id) if !state.accounts.iter().any(|a| a.id.as_str() == id) => {
            Err(not_found(format!("there is no account {id:?}")))
        }
        _ => Ok(()),
    }
}

fn call(params: &Map<String, Value>, key: &str, state: &Snapshot) -> Result<(), RpcError> {
    match params.get(key).and_then(Value::as_u64) {
        Some(id) if !state.calls.iter().any(|c| c.id.0 == id) => {
            Err(not_found(format!("there is no call {id}")))
        }
        _ => Ok(()),
    }
}

/// A parameter that must not be empty.
fn said(name: &str, value: &str) -> Result<(), RpcError> {
    if value.trim().is_empty() {
        let text = format!("{name:?} is empty");
        return Err(RpcError::new(RpcError::INVALID_PARAMS, text));
    }
    Ok(())
}

/// A login that is asked for still.
fn question_for_login(id: QuestionId, state: &Snapshot) -> Result<&LoginWanted, RpcError> {
    let mut asked = state.logins.iter();
    asked
        .find(|question| question.id == id)
        .ok_or_else(|| not_now(format!("no question {id} for a login is open")))
}

fn unusable(fault: LoginFault) -> RpcError {
    RpcError::new(RpcError::INVALID_PARAMS, fault.to_string())
}

/// Where a call was sent, while the user has not chosen.
fn waiting_redirect(call: Option<&CallView>, id: model::CallId) -> Result<&Redirect, RpcError> {
    call.and_then(|c| c.redirect.as_ref())
        .filter(|r| r.followed.is_none())
        .ok_or_else(|| not_now(format!("call {id} waits for no choice of a place")))
}

fn live(call: Option<&CallView>) -> Result<(), RpcError> {
    match call {
        Some(call) if !call.state.is_live() => Err(not_now(format!("call {} has ended", call.id))),
        _ => Ok(()),
    }
}

fn up(call: Option<&CallView>) -> Result<(), RpcError> {
    live(call)?;
    match call {
        Some(call) if !call.state.is_up() => {
            Err(not_now(format!("call {} is not connected", call.id)))
        }
        _ => Ok(()),
    }
}

fn publishes(account: Option<&AccountView>) -> Result<(), RpcError> {
    match account {
        Some(account) if !account.settings.publish_presence => Err(not_now(format!(
            "account {} publishes no presence; set \"publish_presence\" in its settings",
            account.id.as_str()
        ))),
        _ => Ok(()),
    }
}

fn rings(call: Option<&CallView>) -> Result<(), RpcError> {
    live(call)?;
    match call {
        Some(call)
            if call.direction == Direction::Outgoing
                || !matches!(
                    call.state,
                    CallState::Trying | CallState::Ringing | CallState::Early
                ) =>
        {
            Err(not_now(format!("call {} does not ring here", call.id)))
        }
        _ => Ok(()),
    }
}

fn not_found(text: String) -> RpcError {
    RpcError::new(RpcError::NOT_FOUND, text)
}

fn not_now(text: String) -> RpcError {
    RpcError::new(RpcError::NOT_NOW, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AccountId, CallId, Party, TenantId, TenantView, Timestamp};

    fn tenant(id: &str) -> TenantView {
        let fields = serde_json::json!({"id": id, "name": id, "colour": 0, "degraded": false});
        serde_json::from_value(fields).unwrap()
    }

    fn view(id: u64, tenant: &str, direction: Direction, state: CallState) -> CallView {
        let fields = serde_json::json!({
            "id": id, "tenant": tenant, "account": "a", "direction": direction,
            "remote": Party::default(), "state": state, "held_by_us": false, "held_by_peer": false,
            "muted": false, "created_at": Timestamp(0), "connected_at": null, "ended_at": null,
            "codec": null, "media_peer": null, "secured": false, "dtmf_sent": "",
            "dtmf_received": "", "stats": null, "failure": null, "last_status": null,
            "sip_call_id": "x",
        });
        serde_json::from_value(fields).unwrap()
    }

    /// Two organisations; calls 1 and 2 are up, 3 is up in the other one, 4 rings here, 5 has ended.
    fn state() -> Snapshot {
        use {CallState::*, Direction::*};
        Snapshot {
            tenants: vec![tenant("t"), tenant("u")],
            calls: vec![
                view(1, "t", Outgoing, Connected),
                view(2, "t", Incoming, Held),
                view(3, "u", Incoming, Connected),
                view(4, "t", Incoming, Ringing),
                view(5, "t", Outgoing, Ended),
            ],
            ..Snapshot::default()
        }
    }

    fn refusal(command: Command) -> (i64, String) {
        let error = check(&command, &state()).expect_err("it is refused");
        (error.code, error.message)
    }

    #[test]
    fn what_is_not_there_is_named() {
        let call = CallId(9);
        for command in [
            Command::EndCall { call },
            Command::AnswerCall { call },
            Command::DismissCall { call },
            Command::ConnectCalls {
                call: CallId(1),
                other: call,
            },
            Command::AnswerTransfer { call, accept: true },
            Command::JoinCalls {
                calls: vec![CallId(1), call],
            },
            Command::LeaveConference { call },
        ] {
            let (code, message) = refusal(command);
            assert_eq!(
                (code, message.as_str()),
                (RpcError::NOT_FOUND, "there is no call 9")
            );
        }
        let account = AccountId::new("nobody");
        for command in [
            Command::Register {
                account: account.clone(),
            },
            Command::RemoveAccount {
                account: account.clone(),
            },
            Command::PlaceCall {
                account,
                target: "600".into(),
                headers: Vec::new(),
                direction: model::MediaDirection::Both,
            },
        ] {
            assert_eq!(refusal(command).1, "there is no account \"nobody\"");
        }
        let tenant = TenantId::new("nowhere");
        assert_eq!(
            refusal(Command::RemoveTenant { tenant }).1,
            "there is no organisation \"nowhere\""
        );
    }

    #[test]
    fn logins_are_for_something_and_those_that_are_asked_for_are_answered() {
        let account = AccountId::new("a");
        let login = |realm: Option<&str>| model::Login {
            realm: realm.map(str::to_owned),
            server: None,
            user: "alice".into(),
        };
        let mut settings = model::AccountSettings::new("sip:alice@example.com");
        settings.logins = vec![login(Some("pbx"))];
        let view = AccountView::new(account.clone(), TenantId::new("t"), settings, Timestamp(0));
        let state = Snapshot {
            accounts: vec![view],
            logins: vec![model::LoginWanted {
                id: QuestionId(3),
                account: account.clone(),
                realm: "far".to_owned(),
                server: None,
                user: "alice".into(),
                refused: false,
                purpose: model::LoginPurpose::Message,
                call: None,
                since: Timestamp(0),
            }],
            ..state()
        };
        let set = |realm| Command::SetLogin {
            account: account.clone(),
            login: login(realm),
            password: None,
        };
        let remove = |realm: &str| Command::RemoveLogin {
            account: account.clone(),
            realm: Some(realm.to_owned()),
            server: None,
        };
        let decline = |id: u64| Command::DeclineLogin {
            question: QuestionId(id),
        };
        let answer = |user: &str| Command::AnswerLogin {
            question: QuestionId(3),
            user: Some(user.into()),
            password: model::Password("word".to_owned()),
            keep: true,
        };
        for fine in [set(Some("pbx")), remove("pbx"), decline(3), answer("alice")] {
            assert_eq!(check(&fine, &state), Ok(()), "{fine:?}");
        }
        for (command, code, said) in [
            (
                set(None),
                RpcError::INVALID_PARAMS,
                "a further login is for a realm, a server, or both",
            ),
            (
                answer(" "),
                RpcError::INVALID_PARAMS,
                "a further login needs a user name",
            ),
            (
                remove("far"),
                RpcError::NOT_FOUND,
                "the account has no such login",
            ),
            (
                decline(4),
                RpcError::NOT_NOW,
                "no question 4 for a login is open",
            ),
        ] {
            let error = check(&command, &state).expect_err("it is refused");
            assert_eq!((error.code, error.message.as_str()), (code, said));
        }
    }

    #[test]
    fn what_cannot_be_now_is_said_in_a_sentence() {
        let join = |calls: &[u64]| Command::JoinCalls {
            calls: calls.iter().map(|id| CallId(*id)).collect(),
        };
        let connect = |call, other| Command::ConnectCalls {
            call: CallId(call),
            other: CallId(other),
        };
        for (command, said) in [
            (connect(1, 1), "call 1 cannot be connected with itself"),
            (
                connect(1, 3),
                "calls of two organisations cannot be connected",
            ),
            (connect(1, 4), "call 4 is not connected"),
            (join(&[1, 4]), "call 4 is not connected"),
            (
                join(&[1, 3]),
                "calls of two organisations cannot be brought together",
            ),
            (
                Command::RenewKeys { call: CallId(1) },
                "call 1 is not encrypted and has no keys to renew",
            ),
            (
                Command::LeaveConference { call: CallId(1) },
                "call 1 is in no conference",
            ),
            (Command::EndCall { call: CallId(5) }, "call 5 has ended"),
            (
                Command::DeclineRedirect { call: CallId(1) },
                "call 1 waits for no choice of a place",
            ),
            (
                Command::AnswerCall { call: CallId(1) },
                "call 1 does not ring here",
            ),
            (
                Command::DismissCall { call: CallId(1) },
                "call 1 has not ended; end it first",
            ),
            (
                Command::AnswerTransfer {
                    call: CallId(1),
                    accept: true,
                },
                "nobody asks for a transfer in call 1",
            ),
        ] {
            assert_eq!(refusal(command), (RpcError::NOT_NOW, said.to_owned()));
        }
    }

    #[test]
    fn a_parameter_that_says_nothing_is_no_parameter() {
        for (command, said) in [
            (
                Command::AddTenant {
                    name: "  ".to_owned(),
                },
                "\"name\" is empty",
            ),
            (
                Command::TransferCall {
                    call: CallId(1),
                    target: "".into(),
                },
                "\"target\" is empty",
            ),
            (
                Command::SendDtmf {
                    call: CallId(1),
                    digits: "x".into(),
                },
                "\"digits\" holds no digit; there are 0-9, *, # and A-D",
            ),
        ] {
            assert_eq!(
                refusal(command),
                (RpcError::INVALID_PARAMS, said.to_owned())
            );
        }
    }

    #[test]
    fn what_can_be_is_let_through() {
        for command in [
            Command::AddTenant {
                name: "Acme".to_owned(),
            },
            Command::ConnectCalls {
                call: CallId(1),
                other: CallId(2),
            },
            Command::AnswerCall { call: CallId(4) },
            Command::EndCall { call: CallId(4) },
            Command::DismissCall { call: CallId(5) },
            Command::HoldCall { call: CallId(1) },
            Command::SendDtmf {
                call: CallId(1),
                digits: "12#".into(),
            },
            Command::RefreshDevices,
        ] {
            assert_eq!(check(&command, &state()), Ok(()));
        }
    }

    #[test]
    fn an_empty_message_and_presence_that_nobody_hears_of_are_refused() {
        let mut state = state();
        let settings = model::AccountSettings::new("sip:alice@example.com");
        let id = AccountId::new("a");
        state.accounts = vec![AccountView::new(
            id.clone(),
            TenantId::new("t"),
            settings,
            Timestamp(0),
        )];
        let message = |to: &str, text: &str| Command::SendMessage {
            account: id.clone(),
            to: to.into(),
            text: text.into(),
        };
        assert!(check(&message("bob", "hello"), &state).is_ok());
        for bad in [message("", "hello"), message("bob", " ")] {
            assert!(check(&bad, &state).is_err(), "{bad:?}");
        }
        let away = Command::SetPresence {
            account: Some(id.clone()),
            state: model::PresenceState::Away,
            note: model::Private::default(),
        };
        assert!(check(&away, &state).is_err());
        state.accounts[0].settings.publish_presence = true;
        assert!(check(&away, &state).is_ok());
    }
}
