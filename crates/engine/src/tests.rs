//! The actors with real mailboxes and real sockets on the loopback interface.

mod callers;
mod calls;
mod closed_ports;
mod early;
mod farewells;
mod floods;
mod flows;
mod house;
mod keepalive;
mod limits;
mod logins;
mod messages;
mod mid_call;
mod moved;
mod moving;
mod peer;
mod policies;
mod registering;
mod secure;
mod servers;
mod size;
mod strangers;
mod supervision;
mod transfers;
mod watching;
