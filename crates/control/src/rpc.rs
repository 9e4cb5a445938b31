//! JSON-RPC 2.0: from a line to a request, from a result to a line.

use model::{Command, Identity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a client asks of the program. `ping` and `events` are answered by the server itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Do this. The result is `null` once it is under way.
    Command(Box<Command>),
    /// Tell everything. The result is a [`model::Snapshot`].
    Snapshot,
    /// Bring the window to the front. The result says with `window` whether there is one.
    ShowWindow {
        /// What is to stand in its number field; nothing is called by it.
        dial: Option<Identity>,
    },
}

/// Why a request failed, as JSON-RPC says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The code, of JSON-RPC 2.0 §5.1 or our own from -32000 down.
    pub code: i64,
    /// One sentence.
    pub message: String,
}

impl RpcError {
    /// The line was not JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON was no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The program failed.
    pub const INTERNAL: i64 = -32603;
    /// The program has too much to do, or is ending.
    pub const BUSY: i64 = -32000;
    /// What the parameters name is not there.
    pub const NOT_FOUND: i64 = -32001;
    /// What is asked cannot be done as things stand.
    pub const NOT_NOW: i64 = -32002;
    /// The answer is longer than a line may be.
    pub const TOO_LONG: i64 = -32003;

    /// An error of this code.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The method and parameters that stand for a command: what [`Request`] is made of again.
///
/// # Errors
/// [`RpcError::INTERNAL`] when the command has no form in JSON.
pub fn method_and_params(command: &Command) -> Result<(String, Map<String, Value>), RpcError> {
    let failed = || RpcError::new(RpcError::INTERNAL, "the command has no form in JSON");
    let Ok(Value::Object(mut params)) = serde_json::to_value(command) else {
        return Err(failed());
    };
    match params.remove(TAG) {
        Some(Value::String(method)) => Ok((method, params)),
        _ => Err(failed()),
    }
}

/// One call as it came: who asks for the answer, and what.
#[derive(Debug)]
pub(crate) struct Call {
    /// `None` is a notification: no answer is wanted.
    pub(crate) id: Option<Value>,
    pub(crate) asked: Result<Asked, RpcError>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    Ping,
    Methods,
    Events,
    Of(Request),
}

/// What stands on one line.
pub(crate) enum Line {
    One(Call),
    Batch(Vec<Call>),
    /// Nothing can be made of it; the answer goes to nobody in particular.
    Bad(RpcError),
}

/// Reads one line.
pub(crate) fn read(line: &[u8]) -> Line {
    match serde_json::from_slice(line) {
        Ok(Value::Array(calls)) if calls.is_empty() => Line::Bad(RpcError::new(
            RpcError::INVALID_REQUEST,
            "the batch is empty",
        )),
        Ok(Value::Array(calls)) if calls.len() > BATCH => Line::Bad(RpcError::new(
            RpcError::INVALID_REQUEST,
            format!("a batch holds at most {BATCH} calls"),
        )),
        Ok(Value::Array(calls)) => Line::Batch(calls.into_iter().map(call).collect()),
        Ok(value) => Line::One(call(value)),
        Err(error) => Line::Bad(RpcError::new(
            RpcError::PARSE,
            format!("this is not JSON: {error}"),
        )),
    }
}

/// The answer to a call.
pub(crate) fn answer(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    }
}

/// Something that is told without having been asked.
pub(crate) fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn call(value: Value) -> Call {
    let invalid = |id, why: &str| Call {
        id: Some(id),
        asked: Err(RpcError::new(RpcError::INVALID_REQUEST, why)),
    };
    let Value::Object(mut object) = value else {
        return invalid(Value::Null, "a request is an object");
    };
    let id = match object.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::Number(_) | Value::String(_))) => Some(id),
        Some(_) => return invalid(Value::Null, "an id is a number or text"),
    };
    // A request that is invalid gets an answer even without an id (JSON-RPC 2.0 §5.1).
    let or_null = |id: Option<Value>| id.unwrap_or(Value::Null);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid(or_null(id), "\"jsonrpc\" is not \"2.0\"");
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return invalid(or_null(id), "there is no method");
    };
    let params = match object.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(Value::Array(params)) if params.is_empty() => Map::new(),
        Some(Value::Array(_)) => {
            let asked = Err(RpcError::new(
                RpcError::INVALID_PARAMS,
                "parameters are given by name",
            ));
            return Call { id, asked };
        }
        Some(_) => return invalid(or_null(id), "parameters are an object"),
    };
    Call {
        id,
        asked: asked(method, params),
    }
}

fn asked(method: String, params: Map<String, Value>) -> Result<Asked, RpcError> {
    let own = match method.as_str() {
        "ping" => Some(Asked::Ping),
        "methods" => Some(Asked::Methods),
        "events" => Some(Asked::Events),
        "snapshot" => Some(Asked::Of(Request::Snapshot)),
        "show_window" => return show_window(params).map(Asked::Of),
        _ => None,
    };
    match own {
        Some(own) if params.is_empty() => Ok(own),
        Some(_) => Err(RpcError::new(
            RpcError::INVALID_PARAMS,
            format!("{method} takes no parameters"),
        )),
        None => command(method, params).map(|command| Asked::Of(Request::Command(command))),
    }
}

fn show_window(mut params: Map<String, Value>) -> Result<Request, RpcError> {
    let dial = match params.remove(DIAL) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            bounded(DIAL, &Value::String(text.clone()), 0)?;
            Some(text.into())
        }
        Some(_) => {
            let text = format!("{DIAL:?} is no text");
            return Err(RpcError::new(RpcError::INVALID_PARAMS, text));
        }
    };
    match params.keys().next() {
        Some(name) => Err(unknown_param(name)),
        None => Ok(Request::ShowWindow { dial }),
    }
}

/// Lets serde find the command: `{"command": method, …params}`.
fn command(method: String, mut params: Map<String, Value>) -> Result<Box<Command>, RpcError> {
    if params.contains_key(TAG) {
        return Err(unknown_param(TAG));
    }
    for (name, value) in &params {
        bounded(name, value, 0)?;
    }
    let names: Vec<String> = params.keys().cloned().collect();
    params.insert(TAG.to_owned(), Value::String(method.clone()));
    let command: Command = serde_json::from_value(Value::Object(params)).map_err(|error| {
        if exists(&method) {
            RpcError::new(RpcError::INVALID_PARAMS, error.to_string())
        } else {
            RpcError::new(
                RpcError::METHOD_NOT_FOUND,
                format!("there is no method {:?}", shortened(&method)),
            )
        }
    })?;
    // Serde passes over fields it does not know; a misspelt one must not be passed over in silence.
    let (_, known) = method_and_params(&command)?;
    match names.iter().find(|name| !known.contains_key(*name)) {
        Some(name) => Err(unknown_param(name)),
        None => Ok(Box::new(command)),
    }
}

/// Refuses texts and lists that are longer than anything a person means, and signs in them that no line can hold. The
/// sentence names the parameter and never its value, which may be a password.
fn bounded(name: &str, value: &Value, depth: usize) -> Result<(), RpcError> {
    let refused = |why: String| {
        let text = format!("{:?} {why}", shortened(name));
        Err(RpcError::new(RpcError::INVALID_PARAMS, text))
    };
    match value {
        Value::String(text) => {
            let (most, is_text) = match name {
                "name" | "label" => (100, false),
                "digits" => (200, false),
                "text" | "body" => (32_000, true),
                "password" | "passphrase" => (1_000, true),
                _ => (1_000, false),
            };
            if text.chars().nth(most).is_some() {
                return refused(format!("has more than {most} characters"));
            }
            if !is_text && text.contains(char::is_control) {
                return refused("holds a control character".to_owned());
            }
            Ok(())
        }
        Value::Array(list) if list.len() > LIST => refused(format!("has more than {LIST} entries")),
        Value::Array(list) => list
            .iter()
            .try_for_each(|item| bounded(name, item, depth + 1)),
        Value::Object(fields) if fields.len() > LIST || depth > DEPTH => {
            refused("holds too much".to_owned())
        }
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(name, value)| bounded(name, value, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Whether a command has this name: any complaint but the one about the name means yes.
fn exists(method: &str) -> bool {
    match serde_json::from_value::<Command>(json!({TAG: method})) {
        Ok(_) => true,
        Err(error) => !error.to_string().starts_with("unknown variant"),
    }
}

/// The names of all methods, ours first.
pub(crate) fn methods() -> Vec<String> {
    let own = ["ping", "methods", "snapshot", "events", "show_window"];
    // Who asks for a command that is none is told which there are, by serde, each between two ticks.
    let error = serde_json::from_value::<Command>(json!({TAG: ""}));
    let words = error.err().map(|error| error.to_string());
    let words = words.as_deref().unwrap_or_default();
    let commands = words.split('`').skip(1).step_by(2);
    let commands = commands.filter(|name| !name.is_empty());
    own.into_iter().chain(commands).map(str::to_owned).collect()
}

fn unknown_param(name: &str) -> RpcError {
    RpcError::new(
        RpcError::INVALID_PARAMS,
        format!("there is no parameter {:?}", shortened(name)),
    )
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

const TAG: &str = "command";
/// The one parameter of `show_window`.
const DIAL: &str = "dial";
const BATCH: usize = 64;
/// Entries of a list in the parameters, and fields of an object.
const LIST: usize = 64;
/// How deep objects may stand in each other.
const DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AccountId, AccountSettings, CallId, Password, TenantId};

    fn one(line: &str) -> Call {
        match read(line.as_bytes()) {
            Line::One(call) => call,
            _ => panic!("{line} is one call"),
        }
    }

    fn code(line: &str) -> i64 {
        match read(line.as_bytes()) {
            Line::Bad(error) => error.code,
            Line::One(call) => call.asked.unwrap_err().code,
            Line::Batch(_) => panic!("{line} is a batch"),
        }
    }

    #[test]
    fn a_command_goes_through_as_method_and_params_and_comes_out_the_same() {
        let commands = [
            Command::PlaceCall {
                account: AccountId::new("alice"),
                target: "600".into(),
                headers: vec!["X-A: b".into()],
                direction: model::MediaDirection::Both,
            },
            Command::AddAccount {
                tenant: Some(TenantId::new("acme")),
                settings: Box::new(AccountSettings::new("sip:alice@example.com")),
                password: Some(Password("pw".to_owned())),
            },
            Command::MuteCall {
                call: CallId(3),
                muted: true,
            },
            Command::RefreshDevices,
            Command::Shutdown,
        ];
        for command in commands {
            let (method, params) = method_and_params(&command).unwrap();
            let line = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let asked = one(&line.to_string()).asked.unwrap();
            assert_eq!(asked, Asked::Of(Request::Command(Box::new(command))));
        }
    }

    #[test]
    fn every_method_is_listed_and_what_is_listed_is_one() {
        let names = methods();
        for name in [
            "ping",
            "snapshot",
            "place_call",
            "set_key_passphrase",
            "shutdown",
        ] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        for name in &names {
            let line = json!({"jsonrpc": "2.0", "id": 1, "method": name}).to_string();
            let no_method = |e: &RpcError| e.code == RpcError::METHOD_NOT_FOUND;
            assert!(!one(&line).asked.is_err_and(|e| no_method(&e)), "{name}");
        }
    }

    #[test]
    fn a_field_with_a_default_may_be_left_out() {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"place_call","params":{"account":"a","target":"600"}}"#;
        assert!(one(line).asked.is_ok());
    }

    #[test]
    fn each_fault_has_its_code() {
        for (line, expected) in [
            ("{", -32700),
            ("", -32700),
            ("[]", -32600),
            ("7", -32600),
            (r#"{"id":1,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":3}"#,
                -32600,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"explode"}"#, -32601),
            (r#"{"jsonrpc":"2.0","id":1,"method":"PlaceCall"}"#, -32601),
            (r#"{"jsonrpc":"2.0","id":1,"method":"place_call"}"#, -32602),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"end_call","params":{"call":"x"}}"#,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"end_call","params":[1]}"#,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"end_call","params":{"call":1,"cal":1}}"#,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"end_call","params":{"call":1,"command":"shutdown"}}"#,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1}}"#,
                -32602,
            ),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn the_window_is_shown_with_a_number_or_without() {
        let shown = |params: &str| {
            let line =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"show_window","params":{params}}}"#);
            one(&line).asked
        };
        let with = |dial: Option<&str>| {
            let dial = dial.map(Identity::from);
            Ok(Asked::Of(Request::ShowWindow { dial }))
        };
        assert_eq!(shown("{}"), with(None));
        assert_eq!(shown(r#"{"dial":null}"#), with(None));
        assert_eq!(shown(r#"{"dial":"tel:110"}"#), with(Some("tel:110")));
        for bad in [r#"{"dial":7}"#, r#"{"number":"110"}"#, r#"{"dial":"1\n2"}"#] {
            let code = shown(bad).expect_err("it is refused").code;
            assert_eq!(code, RpcError::INVALID_PARAMS, "{bad}");
        }
    }

    #[test]
    fn a_volume_is_set_within_its_range_and_refused_beyond() {
        let asked = |params: &str| {
            let line =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"set_volume","params":{params}}}"#);
            one(&line).asked
        };
        let set = |speaker: Option<i64>, microphone: Option<i64>| {
            let command = Command::SetVolume {
                speaker_percent: speaker.map(model::Volume::nearest),
                microphone_percent: microphone.map(model::Volume::nearest),
            };
            Ok(Asked::Of(Request::Command(Box::new(command))))
        };
        let both = r#"{"speaker_percent":0,"microphone_percent":200}"#;
        assert_eq!(asked(both), set(Some(0), Some(200)));
        assert_eq!(asked(r#"{"speaker_percent":70}"#), set(Some(70), None));
        let one = r#"{"speaker_percent":null,"microphone_percent":150}"#;
        assert_eq!(asked(one), set(None, Some(150)));
        for (params, said) in [
            (
                r#"{"speaker_percent":201}"#,
                "a volume is between 0 and 200 percent, and not 201",
            ),
            (
                r#"{"speaker_percent":50,"microphone_percent":-1}"#,
                "a volume is between 0 and 200 percent, and not -1",
            ),
            (r#"{"speaker_percent":"loud"}"#, "invalid type: string"),
            (r#"{"speaker":50}"#, "there is no parameter \"speaker\""),
        ] {
            let error = asked(params).expect_err("it is refused");
            assert_eq!(error.code, RpcError::INVALID_PARAMS, "{params}");
            assert!(error.message.starts_with(said), "{error}");
        }
        assert!(methods().iter().any(|name| name == "set_volume"));
    }

    #[test]
    fn a_missing_id_wants_no_answer_and_a_null_one_does() {
        assert_eq!(one(r#"{"jsonrpc":"2.0","method":"ping"}"#).id, None);
        let null = one(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#);
        assert_eq!(null.id, Some(Value::Null));
    }

    #[test]
    fn every_text_and_list_is_bounded_and_the_parameter_is_named() {
        let long = "x".repeat(1_001);
        let many = vec!["X-A: b"; 65];
        let settings = |field: &str, value: Value| {
            let mut settings =
                serde_json::to_value(AccountSettings::new("sip:a@example.com")).unwrap();
            settings[field] = value;
            json!({"settings": settings})
        };
        for (method, params, said) in [
            (
                "add_tenant",
                json!({"name": "x".repeat(101)}),
                "\"name\" has more than 100 characters",
            ),
            (
                "add_tenant",
                json!({"name": "a\nb"}),
                "\"name\" holds a control character",
            ),
            (
                "place_call",
                json!({"account": "a", "target": long}),
                "\"target\" has more than 1000 characters",
            ),
            (
                "place_call",
                json!({"account": "a", "target": "600", "headers": many}),
                "\"headers\" has more than 64 entries",
            ),
            (
                "send_dtmf",
                json!({"call": 1, "digits": "1".repeat(201)}),
                "\"digits\" has more than 200",
            ),
            (
                "add_account",
                settings("label", long.clone().into()),
                "\"label\" has more than 100",
            ),
            (
                "add_account",
                settings("headers", json!([long])),
                "\"headers\" has more than 1000",
            ),
            (
                "choose_device",
                json!({"role": "capture", "device": long}),
                "\"device\" has more",
            ),
        ] {
            let line = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let error = one(&line.to_string()).asked.unwrap_err();
            assert_eq!(error.code, RpcError::INVALID_PARAMS);
            assert!(error.message.starts_with(said), "{error}");
        }
        let name = "é".repeat(100);
        let line =
            json!({"jsonrpc": "2.0", "id": 1, "method": "add_tenant", "params": {"name": name}});
        assert!(one(&line.to_string()).asked.is_ok());
    }

    /// A registration for no time would be none.
    #[test]
    fn what_is_not_said_of_an_account_is_as_in_a_new_one() {
        let said: AccountSettings =
            serde_json::from_str(r#"{"aor": "sip:a@b.test"}"#).expect("it can be read");
        assert_eq!(said, AccountSettings::new("sip:a@b.test"));
    }

    #[test]
    fn an_error_never_repeats_a_password() {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"add_account","params":{"settings":{"aor":3},"password":"s3cret"}}"#;
        let error = one(line).asked.unwrap_err();
        assert!(!error.message.contains("s3cret"), "{error}");
    }
}
