//! Local JSON-RPC over a private socket.
//!
//! The command line, scripts and tests ask a running Tipring the same things as its window does. One
//! JSON-RPC 2.0 object stands on each line, both ways:
//!
//! ```text
//! → {"jsonrpc":"2.0","id":1,"method":"place_call","params":{"account":"alice","target":"600"}}
//! ← {"jsonrpc":"2.0","id":1,"result":null}
//! → {"jsonrpc":"2.0","id":2,"method":"events"}
//! ← {"jsonrpc":"2.0","id":2,"result":null}
//! ← {"jsonrpc":"2.0","method":"event","params":{"event":"call","call":{…}}}
//! ← {"jsonrpc":"2.0","method":"resync","params":{"lost":17}}
//! ```
//!
//! ```text
//! send_message        {"account":"alice","to":"bob","text":"on my way"}     → events "message": sending, delivered, …
//! mark_messages_read  {"account":"alice"}            clear_messages {"account":"alice"}
//! list_bindings       {"account":"alice"}            → event "account": its "bindings"
//! remove_binding      {"account":"alice","uri":"sip:alice@192.0.2.77"}     clear_bindings {"account":"alice"}
//! set_presence        {"account":"alice","state":"away","note":"at lunch"}  without an account: all of them
//! update_account      settings: "mwi", "watched":["bob"], "watch":"calls"|"presence"|"both", "publish_presence",
//!                     "header_rules":["out INVITE add X-Room: 42"],
//!                     "flows":2, "more_proxies":["sip:edge2.example.com;lr"], "gruu", "login":"token"
//!                     → event "account": "waiting", "lamps", "presence", "flows", "public_gruu", "marks"
//! set_volume          {"speaker_percent":70,"microphone_percent":150}   one or both, 0 to 200; 100 is as it comes
//!                     → event "devices": "speaker_volume", "microphone_gain"
//! set_tenant_bind     {"tenant":"acme","bind":"eth0"}
//! send_request        {"account":"alice","method":"PUBLISH","target":"alice","headers":["Event: presence"],
//!                      "content_type":"text/plain","body":"up"}              → event "request_answered"
//! set_key_passphrase  {"account":"alice","passphrase":"…"}                   opens the key of its certificate
//! ```
//!
//! Methods are the commands of [`model::Command`] in snake_case with their fields as parameters by
//! name, and five more: `ping`, `methods` (the names of all of them), `snapshot` (answers with a [`model::Snapshot`]), `show_window` (brings the
//! window to the front, with `{"dial":"tel:110"}` in its number field, and answers `{"window":false}` where there is none) and `events`. A client that
//! reads too slowly is told with `resync` how many events it missed and asks for a `snapshot`.
//!
//! The socket is for its owner alone: mode 0600 where there are Unix sockets, a port of the loopback
//! interface with a random token in a file elsewhere. Whoever connects may do all that the window may.
//!
//! What a client asks is bounded ([`Limits`]; a text of a parameter has at most a thousand characters, most have fewer)
//! and held against the state by [`check`] before it is passed on: whoever names a call that is not there is told so.
//!
//! A second start finds the first by the lock beside the socket: [`BindError::AlreadyRunning`].

mod check;
mod client;
mod connection;
mod door;
mod events;
mod rpc;
mod server;

pub use check::check;
pub use client::{Client, ClientError, Notification};
pub use door::{BindError, Place};
pub use events::Publisher;
pub use rpc::{Request, RpcError, method_and_params};
pub use server::{Limits, Server};
