//! A client of the private socket: JSON-RPC 2.0, one object per line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::program::SOON;
use super::until;

/// One connection to a running program.
pub(crate) struct Control {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    next: u64,
}

impl Control {
    /// Connects as soon as the socket is there.
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = until("the control socket", SOON, || {
            UnixStream::connect(path).ok()
        });
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time-out can be set");
        let lines = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        Self {
            stream,
            lines,
            next: 0,
        }
    }

    /// Calls a method and gives its result; panics when it is refused.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        writeln!(self.stream, "{request}").expect("the program listens");
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap_or_else(|error| {
                panic!("{method}: no answer on the control socket: {error}")
            });
            assert!(count > 0, "{method}: the program closed the control socket");
            let answer: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{method}: {error} in {line}"));
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The whole state.
    pub(crate) fn snapshot(&mut self) -> Value {
        self.call("snapshot", &json!({}))
    }

    /// Asks for the state until `find` has an answer.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + limit;
        loop {
            let snapshot = self.snapshot();
            if let Some(found) = find(&snapshot) {
                return found;
            }
            for heavy in ["trace", "devices", "history"] {
                last[heavy] = Value::Null;
            }
            last["accounts"] = snapshot["accounts"].clone();
            last["calls"] = snapshot["calls"].clone();
            assert!(
                std::time::Instant::now() < deadline,
                "no {what} in {} s, but {last:#}",
                limit.as_secs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
