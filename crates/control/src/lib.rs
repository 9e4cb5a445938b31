//! Local JSON-RPC over a private socket.
