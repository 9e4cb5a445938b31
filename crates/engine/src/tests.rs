//! The actors with real mailboxes and real sockets on the loopback interface.

mod calls;
mod closed_ports;
mod farewells;
mod floods;
mod flows;
mod house;
mod limits;
mod logins;
mod messages;
mod mid_call;
mod moving;
mod peer;
mod registering;
mod secure;
mod servers;
mod strangers;
mod supervision;
mod transfers;
mod watching;
